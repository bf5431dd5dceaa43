"""Publishing in object storage: a kill at any write is mended by the next run, and two publishers lose nothing."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

import flows.storage.object_store
from flows.publish import object_publication
from flows.publish.object_publication import (
    RECORDS,
    STAGED,
    finish_publication,
    named_files,
    publish,
    published_manifest,
)
from flows.publish.publish import fetch_published, publish_package
from flows.storage.layout import Layout
from flows.storage.object_store import Objects
from transforms.errors import UsageError

FOLDERS = [f"{table}/period=2026-06" for table in ("rates", "summaries", "quality")]
PATHS = [f"{FOLDERS[0]}/payer_slug=a/rates.parquet", f"{FOLDERS[0]}/payer_slug=b/rates.parquet"] + [
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
    monkeypatch.setattr(flows.storage.object_store, "_store", lambda _root: dying)
    monkeypatch.setattr("flows.publish.object_publication.AT_ONCE", 1)
    return dying


def month(folder: Path, version: str, *, same: str = "") -> dict[str, Path]:
    """A month's files, each of which says which version it is."""
    files = {}
    for path in PATHS:
        files[path] = folder / version / path
        files[path].parent.mkdir(parents=True, exist_ok=True)
        files[path].write_text(f"{path} {same if 'payer_slug=b' in path and same else version}")
    return files


def note(version: str, name: str = "2026-06") -> Callable[[dict[str, Any]], None]:
    def change(manifest: dict[str, Any]) -> None:
        manifest.setdefault("months", {})[name] = {"published_at": version}
        manifest["publishing"] = []

    return change


def put(folder: Path, version: str, **how: str) -> None:
    publish(Objects(OUT), note(version), month(folder, version, **how), FOLDERS)


def read() -> tuple[set[str], str, list[str]]:
    """The versions that the files under the contract's names say they are, and what the manifest says."""
    manifest = published_manifest(Objects(OUT))
    contents = {path: Objects(OUT).get(path) for path in PATHS}
    if not manifest["publishing"]:
        named = {path: file["sha256"] for path, file in named_files(manifest, *FOLDERS).items()}
        assert named == {path: sha256(content).hexdigest() for path, content in contents.items() if content is not None}
    versions = {content.decode().split()[1] for content in contents.values() if content is not None}
    return versions, manifest["months"]["2026-06"]["published_at"], manifest["publishing"]


def under(folder: str) -> set[str]:
    return {found.key for found in Objects(OUT).list(folder)}


def test_the_manifest_names_every_published_file(store: Dying, tmp_path: Path) -> None:
    put(tmp_path, "v1")
    assert read() == ({"v1"}, "v1", [])
    manifest = published_manifest(Objects(OUT))
    assert {*named_files(manifest, *FOLDERS)} == {*PATHS}
    assert len(named_files(manifest, "rates/period=2026-06")) == 2
    assert len(named_files(manifest, "rates/period=2026-06/payer_slug=a")) == 1
    assert named_files(manifest, "rates/period=2026-0") == {}


def test_what_did_not_change_is_not_sent_again(store: Dying, tmp_path: Path) -> None:
    put(tmp_path, "v1")
    kept = f"{FOLDERS[0]}/payer_slug=b/rates.parquet"
    before = {path: Objects(OUT).head(path) for path in PATHS}
    put(tmp_path, "v2", same="v1")
    assert [path for path in PATHS if Objects(OUT).head(path) == before[path]] == [kept]
    number = published_manifest(Objects(OUT))["publication"]
    put(tmp_path, "v2", same="v1")
    assert published_manifest(Objects(OUT))["publication"] == number == 2, "nothing changed: nothing was published"


def test_files_that_are_gone_are_deleted(store: Dying, tmp_path: Path) -> None:
    put(tmp_path, "v1")
    files = month(tmp_path, "v2")
    del files[PATHS[1]]
    publish(Objects(OUT), note("v2"), files, FOLDERS)
    assert Objects(OUT).get(PATHS[1]) is None
    assert len(named_files(published_manifest(Objects(OUT)), FOLDERS[0])) == 1


def kills(store: Dying, act: Callable[[], object]) -> Iterator[int]:
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


def test_a_kill_at_any_write_is_undone_or_finished_by_the_next_run(store: Dying, tmp_path: Path) -> None:
    put(tmp_path, "v0")
    seen = set()
    killed = 0
    for writes in kills(store, lambda: put(tmp_path, "v1", same="v0")):
        killed = writes + 1
        versions, said, publishing = read()
        assert publishing == ["2026-06"] or versions == ({"v1", "v0"} if said == "v1" else {"v0"})
        finish_publication(Objects(OUT))  # as every run begins
        versions, said, publishing = read()
        assert (versions, publishing) == ({"v1", "v0"} if said == "v1" else {"v0"}, [])
        seen.add(said)
        put(tmp_path, "v0")
    assert seen == {"v0", "v1"}
    assert killed > 8


def test_a_file_copied_by_a_killed_run_is_deleted_when_the_next_one_has_none(store: Dying, tmp_path: Path) -> None:
    put(tmp_path, "v0")
    more = "rates/period=2026-06/payer_slug=c/rates.parquet"
    files = month(tmp_path, "v1")
    files[more] = files[PATHS[0]]
    for _ in kills(store, lambda: publish(Objects(OUT), note("v1"), files, FOLDERS)):
        if Objects(OUT).get(more) is not None and published_manifest(Objects(OUT))["publishing"]:
            break  # between the copy of the new file and the manifest
        put(tmp_path, "v0")
    else:
        raise AssertionError("never killed there")
    put(tmp_path, "v2")
    assert Objects(OUT).get(more) is None
    assert read() == ({"v2"}, "v2", [])


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
    manifest = published_manifest(Objects(OUT))
    published = {name: entry["published_at"] for name, entry in manifest["months"].items()}
    assert published == {"2026-06": "v1", "2026-07": "2"}
    assert manifest["publication"] == 3
    assert read() == ({"v1"}, "v1", [])


def test_one_that_was_overtaken_by_several_starts_from_the_last(store: Dying, tmp_path: Path) -> None:
    """The record of its number is gone by then, so that its own can be created; a later one is there."""
    put(tmp_path, "v0")
    interrupted: list[bool] = []

    def meanwhile(manifest: dict[str, Any]) -> None:
        note("mine", "2026-07")(manifest)
        if not interrupted:
            interrupted.append(True)
            put(tmp_path, "v1")
            put(tmp_path, "v2")

    july = {path.replace("2026-06", "2026-07"): file for path, file in month(tmp_path, "july").items()}
    publish(Objects(OUT), meanwhile, july, [folder.replace("2026-06", "2026-07") for folder in FOLDERS])
    assert {*published_manifest(Objects(OUT))["months"]} == {"2026-06", "2026-07"}
    assert published_manifest(Objects(OUT))["publication"] == 4
    assert read() == ({"v2"}, "v2", [])


def test_a_change_may_refuse_what_another_published_meanwhile(store: Dying, tmp_path: Path) -> None:
    put(tmp_path, "v0")

    def change(manifest: dict[str, Any]) -> None:
        if manifest["months"]["2026-06"]["published_at"] != "v0":
            raise UsageError("published meanwhile")
        put(tmp_path, "v1")

    with pytest.raises(UsageError, match="published meanwhile"):
        publish(Objects(OUT), change, month(tmp_path, "v2"), FOLDERS)
    assert read() == ({"v1"}, "v1", [])


@pytest.mark.parametrize("late", range(4))
def test_a_slow_run_that_writes_after_a_later_publication_repairs_it(
    late: int, store: Dying, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy of the slow run lands when the later publication is done."""
    put(tmp_path, "v0")
    copy, copied, interrupted = Objects.copy, [0], list[bool]()

    def slow(self: Objects, source: str, target: str) -> None:
        copied[0] += 1
        if copied[0] <= late or interrupted:
            copy(self, source, target)
            return
        interrupted.append(True)
        content = self.get(source)
        assert content is not None
        put(tmp_path, "v2")
        self.put(target, content)

    monkeypatch.setattr(Objects, "copy", slow)
    put(tmp_path, "v1")
    assert read() == ({"v2"}, "v2", [])


def test_uploads_and_records_of_earlier_publications_are_deleted(store: Dying, tmp_path: Path) -> None:
    for version in ("v1", "v2", "v3"):
        put(tmp_path, version)
    assert under(RECORDS) == {f"{RECORDS}/00000003.json"}
    assert len(under(STAGED)) == len(PATHS)


def test_uploads_that_never_had_a_record_are_deleted_after_a_day(
    store: Dying, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, "v1")
    lost = f"{STAGED}/killed/{PATHS[0]}"
    Objects(OUT).put(lost, b"never published")
    put(tmp_path, "v2")
    assert lost in under(STAGED), "its run may be at work"
    monkeypatch.setattr(object_publication, "ABANDONED", timedelta(0))
    put(tmp_path, "v3")
    assert lost not in under(STAGED)
    assert len(under(STAGED)) == len(PATHS)


def test_a_folder_that_was_copied_there_is_not_published_over(store: Dying, tmp_path: Path) -> None:
    Objects(OUT).put("manifest.json", b'{"months": {}}')
    with pytest.raises(UsageError, match=r"out/manifest\.json: does not name its files"):
        put(tmp_path, "v1")


def test_an_output_where_nothing_was_published_has_no_manifest(store: Dying) -> None:
    finish_publication(Objects(OUT))
    assert published_manifest(Objects(OUT)) == {}


def test_the_package_is_sent_where_it_changed_and_names_what_is_there(store: Dying, tmp_path: Path) -> None:
    put(tmp_path, "v0")
    layout = Layout(tmp_path / "here", Objects(OUT))
    fetch_published(layout)
    publish_package(layout)
    package = json.loads(Objects(OUT).get("datapackage.json") or b"")
    rates, summaries = PATHS[:2], PATHS[2]  # the third folder's file is of no table
    assert [each["path"] for each in package["resources"]] == [summaries, rates]
    store.left = 0  # any write would be its last
    fetch_published(layout)
    publish_package(layout)
