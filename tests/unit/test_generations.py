"""Publishing in object storage: whole versions or none, whoever is killed and whoever publishes at the same time."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import flows.object_store
from flows.generations import COPIES, drop_unused, latest, manifest_of, publish, published_files, settle
from flows.object_store import Objects
from transforms.errors import UsageError

FOLDERS = [f"{table}/month=2026-06" for table in ("rates", "summaries", "quality")]
PATHS = [f"{FOLDERS[0]}/payer=a/rates.parquet", f"{FOLDERS[0]}/payer=b/rates.parquet"] + [
    f"{folder}/{folder.partition('/')[0]}.parquet" for folder in FOLDERS[1:]
]
OUT = "s3://bucket/out"


class Killed(BaseException):
    """What no code of ours catches."""


class Dying:
    """A store that kills whoever writes to it for the n-th time."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.left = -1

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        return self._counting(method) if name in ("put", "copy", "delete") else method

    def _counting(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def act(*args: Any, **kwargs: Any) -> Any:
            if self.left == 0:
                raise Killed
            self.left -= 1
            return method(*args, **kwargs)

        return act


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Dying:
    """A bucket in memory, whose writers can be killed."""
    from obstore.store import MemoryStore

    dying = Dying(MemoryStore())
    monkeypatch.setattr(flows.object_store, "_store", lambda _root: dying)
    monkeypatch.setattr("flows.generations.AT_ONCE", 1)
    return dying


def month(folder: Path, version: str, *, same: str = "") -> dict[str, Path]:
    """A month's files, each of which says which version it is."""
    files = {}
    for path in PATHS:
        files[path] = folder / version / path
        files[path].parent.mkdir(parents=True, exist_ok=True)
        files[path].write_text(f"{path} {same if 'payer=b' in path and same else version}")
    return files


def note(version: str, name: str = "2026-06") -> Callable[[dict[str, Any]], None]:
    def change(manifest: dict[str, Any]) -> None:
        manifest.setdefault("months", {})[name] = {"published_at": version}

    return change


def put(folder: Path, version: str, **how: str) -> None:
    publish(Objects(OUT), note(version), month(folder, version, **how), FOLDERS)
    settle(Objects(OUT))


def read(urls: list[str]) -> set[str]:
    """The versions that the files say they are."""
    contents = [Objects("s3://bucket").get(url.removeprefix("s3://bucket/")) for url in urls]
    assert all(content is not None for content in contents), "a published file is missing"
    return {content.decode().split()[1] for content in contents if content is not None}


def read_by_name() -> tuple[set[str], str, list[str]]:
    """What the names of the contract hold, and what the manifest says."""
    manifest = json.loads(Objects(OUT).get("manifest.json") or b"{}")
    return (
        read([f"{OUT}/{path}" for path in PATHS]),
        manifest["months"]["2026-06"]["published_at"],
        manifest.get("publishing", []),
    )


def test_a_generation_names_every_published_file(store: Dying, tmp_path: Path) -> None:
    put(tmp_path, "v1")
    assert len(published_files(OUT, *FOLDERS)) == len(PATHS)
    assert read(published_files(OUT, *FOLDERS)) == {"v1"}
    assert len(published_files(OUT, "rates/month=2026-06")) == 2
    assert len(published_files(f"{OUT}/", "rates/month=2026-06/payer=a")) == 1
    assert published_files(OUT, "rates/month=2026-0") == []
    assert read_by_name() == ({"v1"}, "v1", [])


def test_what_did_not_change_is_not_sent_again(store: Dying, tmp_path: Path) -> None:
    put(tmp_path, "v1")
    before = latest(Objects(OUT)).files
    put(tmp_path, "v2", same="v1")
    after = latest(Objects(OUT)).files
    assert [path for path in PATHS if before[path] == after[path]] == [f"{FOLDERS[0]}/payer=b/rates.parquet"]
    put(tmp_path, "v2", same="v1")
    assert latest(Objects(OUT)).number == 2, "nothing changed: nothing was published"


def test_files_that_are_gone_are_gone_by_every_name(store: Dying, tmp_path: Path) -> None:
    put(tmp_path, "v1")
    files = month(tmp_path, "v2")
    del files[PATHS[1]]
    publish(Objects(OUT), note("v2"), files, FOLDERS)
    settle(Objects(OUT))
    assert Objects(OUT).get(PATHS[1]) is None
    assert len(published_files(OUT, FOLDERS[0])) == 1


def kills(store: Dying, act: Callable[[], None]) -> Iterator[int]:
    """``act``, killed before its first write, before its second, and so on until it ends."""
    for writes in range(200):
        store.left = writes
        try:
            act()
        except Killed:
            store.left = -1
            yield writes
            continue
        store.left = -1
        return
    raise AssertionError("it never ends")


def test_a_kill_at_any_write_leaves_one_version_and_the_next_run_mends_the_rest(store: Dying, tmp_path: Path) -> None:
    put(tmp_path, "v0")
    seen = set()
    killed = 0
    for writes in kills(store, lambda: put(tmp_path, "v1", same="v0")):
        killed = writes + 1
        versions = read(published_files(OUT, *FOLDERS)) - {"v0"} or {"v0"}
        seen |= versions
        expected = {"v1", "v0"} if versions == {"v1"} else {"v0"}
        assert read(published_files(OUT, *FOLDERS)) == expected
        by_name, said, publishing = read_by_name()
        assert publishing == ["2026-06"] or by_name == ({"v1", "v0"} if said == "v1" else {"v0"})
        settle(Objects(OUT))  # as every run begins
        assert read_by_name() == (expected, max(versions), [])
        put(tmp_path, "v0")
    assert seen == {"v0", "v1"}
    assert killed > 10


def test_a_copy_begun_by_a_killed_run_goes_when_its_file_does(store: Dying, tmp_path: Path) -> None:
    put(tmp_path, "v0")
    more = "rates/month=2026-06/payer=c/rates.parquet"
    files = month(tmp_path, "v1")
    publish(Objects(OUT), note("v1"), files | {more: files[PATHS[0]]}, FOLDERS)
    for _ in kills(store, lambda: settle(Objects(OUT))):
        if Objects(OUT).get(more) is not None:
            break
    assert read_by_name()[2] == ["2026-06"], "killed right after the copy of the new file"
    put(tmp_path, "v2")
    assert Objects(OUT).get(more) is None
    assert read_by_name() == ({"v2"}, "v2", [])


def test_the_second_of_two_publishers_starts_from_what_the_first_published(store: Dying, tmp_path: Path) -> None:
    put(tmp_path, "v0")
    interrupted: list[bool] = []

    def meanwhile(manifest: dict[str, Any]) -> None:
        note("2", "2026-07")(manifest)
        if not interrupted:
            interrupted.append(True)
            put(tmp_path, "v1")

    july = {path.replace("2026-06", "2026-07"): file for path, file in month(tmp_path, "july").items()}
    publish(Objects(OUT), meanwhile, july, [folder.replace("2026-06", "2026-07") for folder in FOLDERS])
    settle(Objects(OUT))
    months = manifest_of(Objects(OUT), latest(Objects(OUT)))["months"]
    assert {name: entry["published_at"] for name, entry in months.items()} == {"2026-06": "v1", "2026-07": "2"}
    assert latest(Objects(OUT)).number == 3
    assert read(published_files(OUT, *FOLDERS)) == {"v1"}
    assert read_by_name() == ({"v1"}, "v1", [])


def test_a_change_may_refuse_what_another_published_meanwhile(store: Dying, tmp_path: Path) -> None:
    put(tmp_path, "v0")

    def change(manifest: dict[str, Any]) -> None:
        if manifest["months"]["2026-06"]["published_at"] != "v0":
            raise UsageError("published meanwhile")
        put(tmp_path, "v1")

    with pytest.raises(UsageError, match="published meanwhile"):
        publish(Objects(OUT), change, month(tmp_path, "v2"), FOLDERS)
    assert read(published_files(OUT, *FOLDERS)) == {"v1"}


def test_a_slow_copier_ends_with_the_latest(store: Dying, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "v0")
    copy, interrupted = Objects.copy, list[bool]()

    def slow(self: Objects, source: str, target: str) -> None:
        if not interrupted:
            interrupted.append(True)
            put(tmp_path, "v2")
        copy(self, source, target)

    monkeypatch.setattr(Objects, "copy", slow)
    put(tmp_path, "v1")
    assert read_by_name() == ({"v2"}, "v2", [])


def test_the_last_two_generations_and_young_ones_are_kept(store: Dying, tmp_path: Path) -> None:
    for version in ("v1", "v2", "v3", "v4"):
        put(tmp_path, version)
    objects = Objects(OUT)
    files = {
        number: json.loads(objects.get(f"generations/{number:08}.json") or b"")["files"] for number in (1, 2, 3, 4)
    }
    drop_unused(objects)
    assert len(list(objects.list("generations"))) == 4, "superseded just now: somebody may be reading them"
    drop_unused(objects, timedelta(0))
    assert [found.key[-6:-5] for found in objects.list("generations")] == ["3", "4"]
    there = {found.key for found in objects.list("versions")}
    assert there == {file["key"] for number in (3, 4) for file in files[number].values()}


def test_a_folder_that_was_copied_there_is_not_published_over(store: Dying, tmp_path: Path) -> None:
    Objects(OUT).put("manifest.json", b"{}")
    with pytest.raises(UsageError, match=r"out/manifest\.json: not published by a run to object storage"):
        put(tmp_path, "v1")


def test_an_output_where_nothing_was_published_has_no_files(store: Dying) -> None:
    settle(Objects(OUT))
    assert published_files(OUT, "summaries") == []
    assert Objects(OUT).get(COPIES) is None
