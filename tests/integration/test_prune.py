"""`tic-rates prune`: what goes and what stays of an output and its cache, after whatever nights came before."""

import json
import os
import random
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from flows.operations import prune as pruning
from flows.publish import publish
from flows.publish.retention import output_in_use
from flows.storage.atomic_files import exchange_folders
from flows.storage.layout import Layout
from tests.command_line import Ended, call, digests
from tests.documents import ANN, BOB, document, group, item, price, rate
from tests.json_text import json_bytes

Capture = pytest.CaptureFixture[str]
MONTHS = [f"2025-{number:02}" for number in range(7, 13)] + [f"2026-{number:02}" for number in range(1, 7)]
PAYERS = {
    "aetna": "Aetna Life Insurance Company",
    "acme": "Acme Health Plan",
    "cigna": "Cigna Health Life Insurance Company",
}
DAY = 86_400.0


class Place:
    """A configuration of three payers with a file each month, and outputs of its nights."""

    def __init__(self, folder: Path, capsys: Capture) -> None:
        self.folder, self.capsys = folder, capsys

    def write(self, month: str, payer: str, usd: float) -> None:
        """The payer's file of a month, with one price of two providers."""
        made = document(
            item(rate(group(ANN, BOB), prices=[price(negotiated_rate=usd)])),
            reporting_entity_name=PAYERS[payer],
            last_updated_on=f"{month}-01",
        )
        self.put(month, payer, json_bytes(made))

    def put(self, month: str, payer: str, content: bytes) -> None:
        """These bytes as the payer's file."""
        path = self.folder / "mrf" / month / f"{payer}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def night(self, month: str, *words: object, output: str = "out") -> Ended:
        """`nightly` of one month."""
        blocks = [f'[[payer]]\nname = "{name.title()}"\nfiles = ["mrf/{{month}}/{name}.json"]\n' for name in PAYERS]
        config = self.folder / f"{output.replace('/', '-').replace(':', '')}.toml"
        config.write_text("\n".join([f'output = "{output}"', *blocks]))
        return call(self.capsys, "nightly", "--config", config, "--month", month, "--json", *words)

    def prune(self, *words: object, output: str = "out") -> dict[str, Any]:
        """What `prune` says."""
        place = output if "://" in output else self.folder / output
        ended = call(self.capsys, "prune", "--output", place, "--json", *words)
        assert ended.code == 0, ended.err
        return ended.json_line

    def age(self, days: float, output: str = "out") -> None:
        """Make everything in the cache older."""
        for path in sorted((self.folder / output / ".cache").rglob("*")):
            status = path.stat()
            os.utime(path, (status.st_atime - days * DAY, status.st_mtime - days * DAY))

    def manifest(self, output: str = "out") -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / output / "manifest.json").read_bytes())
        return found

    def tables(self, months: list[str], output: str = "out") -> dict[str, str]:
        """Digests of every published table of these months, but for how the files were read this time."""
        found = digests(self.folder / output, "rates", "providers", "summaries", "network_summaries", "coverage")
        found |= digests(self.folder / output)
        return {path: digest for path, digest in found.items() if any(f"period={month}" in path for month in months)}


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the four months are published once, and kept as they were."""
    return tmp_path_factory.mktemp("nights")


@pytest.fixture
def place(nights: Path, capsys: Capture) -> Place:
    """Four published months of three payers, always in one place: the cache knows sources by path."""
    made, kept = Place(nights / "place", capsys), nights / "kept"
    if kept.exists():
        shutil.rmtree(made.folder)
        subprocess.run(["cp", "-a", kept, made.folder], check=True)
        return made
    for month in MONTHS[:4]:
        for number, payer in enumerate(PAYERS):
            made.write(month, payer, 30.0 + 10 * number)
        assert made.night(month).code == 0
    subprocess.run(["cp", "-a", made.folder, kept], check=True)
    return made


def files(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Time and content of every file."""
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.rglob("*") if path.is_file()}


def used_bytes(folder: Path) -> int:
    """As `du --apparent-size` counts: a file with two names once."""
    found = {(s.st_dev, s.st_ino): s.st_size for path in folder.rglob("*") if path.is_file() and (s := path.stat())}
    return sum(found.values())


# ---- Months ---------------------------------------------------------------------------------------------------------


def test_months_beyond_the_number_go_with_all_that_is_of_them(place: Place) -> None:
    out = place.folder / "out"
    practice = call(place.capsys, "practice", "--npi", ANN, "--month", MONTHS[0], "--output", out)
    assert practice.code == 0, practice.err
    stay = place.tables(MONTHS[2:4])
    found = place.prune("--keep-months", 2)
    assert (found["months_kept"], found["months_removed"]) == (MONTHS[2:4], MONTHS[:2])
    assert place.tables(MONTHS) == stay
    assert sorted(place.manifest()["months"]) == MONTHS[2:4]
    left = [path for path in out.rglob("*") if MONTHS[0] in path.name and path.suffix != ".lock"]
    assert left == [], "neither tables nor practices nor pages nor the record of its run"
    package = (out / "datapackage.json").read_text()
    assert MONTHS[0] not in package and MONTHS[2] in package
    assert MONTHS[0] not in (out / "report" / "index.html").read_text()
    assert place.prune("--keep-months", 2)["bytes"] == 0


def test_a_dry_run_changes_nothing_and_names_the_bytes_that_are_freed(place: Place) -> None:
    out = place.folder / "out"
    (out / ".cache" / "extracts" / ".tmp-0123").mkdir()
    (out / ".cache" / "extracts" / ".tmp-0123" / "prices.parquet").write_bytes(b"x" * 1_000)
    place.age(40)
    before, size = files(out), used_bytes(out)
    words = ("--keep-months", 1, "--cache-days", 30)
    planned = place.prune(*words, "--dry-run")
    assert files(out) == before
    manifest = (out / "manifest.json").stat().st_size
    pruned = place.prune(*words)
    assert {key: pruned[key] for key in ("bytes", "kinds", "months_removed")} == {
        key: planned[key] for key in ("bytes", "kinds", "months_removed")
    }
    assert pruned["kinds"]["leftovers"]["bytes"] == 1_000
    package = before[str(out / "datapackage.json")][1]
    rewritten = (
        *(manifest - (out / "manifest.json").stat().st_size, len(package)),
        -(out / "datapackage.json").stat().st_size,
    )
    assert size - used_bytes(out) == planned["bytes"] + sum(rewritten) > 10_000


def test_without_numbers_only_leftovers_go(place: Place) -> None:
    place.age(1_000)
    before = files(place.folder / "out")
    assert place.prune()["bytes"] == 0
    after = files(place.folder / "out")
    assert after == before | {path: after[path] for path in after if path.endswith("in_use.lock")}


def test_the_newest_month_and_the_reference_data_stay(place: Place) -> None:
    reference = place.folder / "out" / "reference" / "2027" / "fees.csv"
    reference.parent.mkdir(parents=True)
    reference.write_text("code,amount\n")
    found = place.prune("--keep-months", 1)
    assert (found["months_kept"], "reference" in found["untouched"]) == (MONTHS[3:4], True)
    assert reference.exists()


def test_a_month_with_the_last_rows_of_a_withheld_payer_stays(place: Place) -> None:
    for payer, usd in (("aetna", 30.0), ("acme", 40.0), ("cigna", 500.0)):
        place.write(MONTHS[4], payer, usd)
    assert place.night(MONTHS[4]).code == 3
    assert "Cigna" in place.manifest()["months"][MONTHS[4]]["withheld"]
    found = place.prune("--keep-months", 1)
    assert found["months_needed"] == {MONTHS[3]: f"the last rows of Cigna, withheld in {MONTHS[4]}"}
    assert sorted(place.manifest()["months"]) == MONTHS[3:5]
    place.write(MONTHS[4], "cigna", 50.0)
    assert place.night(MONTHS[4]).code == 0
    assert place.prune("--keep-months", 1)["months_removed"] == [MONTHS[3]]


def test_gates_compare_with_a_month_that_was_removed(place: Place) -> None:
    place.prune("--keep-months", 1)
    place.write(MONTHS[3], "cigna", 500.0)
    ended = place.night(MONTHS[3])
    assert ended.code == 3
    assert MONTHS[2] in ended.json_line["withheld"][0]["reason"]


def test_an_unchanged_night_after_it_publishes_nothing(place: Place) -> None:
    place.prune("--keep-months", 1, "--cache-days", 1)
    assert place.night(MONTHS[3]).json_line["status"] == "unchanged"


# ---- Runs, and kills ------------------------------------------------------------------------------------------------


def test_it_is_refused_while_a_run_uses_the_output(place: Place) -> None:
    before = files(place.folder / "out")
    with output_in_use(Layout(place.folder / "out")):
        ended = call(place.capsys, "prune", "--keep-months", 1, "--output", place.folder / "out")
    assert (ended.code, "a run uses it now" in ended.err) == (2, True)
    after = files(place.folder / "out")
    assert {path: after[path] for path in before} == before


def test_it_is_refused_while_a_run_of_another_output_uses_a_shared_cache(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIC_RATES_CACHE", str(tmp_path / "shared"))
    assert place.night(MONTHS[3], "--force").code == 0
    with output_in_use(Layout(tmp_path / "other", None, str(tmp_path / "shared"))):
        ended = call(place.capsys, "prune", "--cache-days", 1, "--output", place.folder / "out")
    assert (ended.code, "shared: a run uses it now" in ended.err) == (2, True)
    found = place.prune("--keep-months", 1, "--cache-days", 1)
    assert "shared with other outputs" in found["untouched"]["cache"]
    assert found["kinds"]["builds"]["entries"] == 0


class Killed(BaseException):
    """The process ends here."""


def kill(*_: object, **__: object) -> None:
    raise Killed


@pytest.mark.slow
@pytest.mark.parametrize("where", ["publish_folder", "_finish", "remove_entry", "remove_month"])
def test_one_that_is_killed_leaves_a_readable_output_and_the_next_finishes(
    place: Place, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = place.folder / "out"
    call(place.capsys, "report", "--output", out)
    call(place.capsys, "practice", "--npi", ANN, "--month", MONTHS[0], "--output", out)
    place.age(40)
    shutil.copytree(out, place.folder / "whole", symlinks=True)
    words = ("--keep-months", 2, "--cache-days", 30)
    with monkeypatch.context() as patch:
        patch.setattr(pruning, where, kill)
        with pytest.raises(Killed):
            pruning.prune(Layout(out), 2, 30)
    stay = place.tables(MONTHS[2:4])
    assert call(place.capsys, "report", "--output", out).code == 0
    place.prune(*words)
    place.prune(*words, output="whole")
    assert place.tables(MONTHS) == stay == place.tables(MONTHS, output="whole")
    assert names(out) == names(place.folder / "whole")
    assert MONTHS[0] not in (out / "report" / "index.html").read_text()
    assert "pruning" not in place.manifest()


def names(output: Path) -> set[str]:
    """What is in an output, but for locks."""
    return {str(path.relative_to(output)) for path in output.rglob("*") if path.is_file() and path.suffix != ".lock"}


RENAMES = [1, 4, *(pytest.param(renames, marks=pytest.mark.slow) for renames in (2, 3, 5, 6, 7, 8))]


@pytest.mark.parametrize("renames", RENAMES)
def test_a_removal_killed_among_its_renames_is_finished_by_the_next_command(
    place: Place, renames: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, done = exchange_folders, 0

    def exchange(new: Path, target: Path) -> None:
        nonlocal done
        done += 1
        if done == renames:
            os._exit(9)
        real(new, target)

    pid = os.fork()
    if pid == 0:
        monkeypatch.setattr(publish, "exchange_folders", exchange)
        pruning.prune(Layout(place.folder / "out"), 3)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    stay = place.tables(MONTHS[1:4])
    found = place.prune("--keep-months", 3)
    assert os.waitstatus_to_exitcode(status) == (9 if renames <= len(publish.TABLES) else 0)
    assert sorted(place.manifest()["months"]) == MONTHS[1:4]
    assert (place.tables(MONTHS), found["months_kept"]) == (stay, MONTHS[1:4])


# ---- The cache ------------------------------------------------------------------------------------------------------


def test_cache_entries_go_that_no_run_used_for_so_many_days(place: Place) -> None:
    place.age(40)
    assert place.night(MONTHS[2]).json_line["status"] == "unchanged"
    found = place.prune("--cache-days", 30)["kinds"]
    # extracts of this night stay, and extracts and builds of the newest month: an unchanged night opens no build
    assert (found["extracts"]["entries"], found["builds"]["entries"]) == (12 - 6, 12 - 3)
    assert place.night(MONTHS[2]).json_line["sources"] == {"unchanged": 3}
    before = place.tables(MONTHS)
    assert place.night(MONTHS[0]).json_line["sources"] == {"matched": 3}, "they are read again"
    assert place.tables(MONTHS) == before


# ---- Object storage -------------------------------------------------------------------------------------------------


def test_in_object_storage_months_and_entries_go_as_one_publication(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "machine"))
    place, store = Place(tmp_path, capsys), tmp_path / "store"
    url = f"file://{store}"
    for month in MONTHS[:3]:
        for number, payer in enumerate(PAYERS):
            place.write(month, payer, 30.0 + 10 * number)
        assert place.night(month, "--report", output=url).code == 0
    staged = store / ".staging" / "0123" / "rates.parquet"
    staged.parent.mkdir(parents=True)
    staged.write_bytes(b"x" * 100)
    for path in [staged, *(store / ".cache").rglob("*")]:
        os.utime(path, (0, 0))
    stay, before = place.tables(MONTHS[1:3], output="store"), files(store)
    words = ("--keep-months", 2, "--cache-days", 30)
    planned = place.prune(*words, "--dry-run", output=url)
    assert files(store) == before
    shutil.rmtree(tmp_path / "machine")
    found = place.prune(*words, output=url)
    assert (found["kinds"], found["bytes"]) == (planned["kinds"], planned["bytes"])
    assert (found["kinds"]["leftovers"]["bytes"], staged.exists()) == (100, False)
    assert place.tables(MONTHS, output="store") == stay
    manifest = place.manifest("store")
    assert sorted(manifest["months"]) == MONTHS[1:3]
    assert not [path for path in manifest["objects"] if f"={MONTHS[0]}/" in path]
    assert MONTHS[0] not in (store / "datapackage.json").read_text()
    assert MONTHS[0] not in (store / "report" / "index.html").read_text()
    left = {path.name[:64] for path in (store / ".cache" / "extracts").iterdir() if any(path.iterdir())}
    assert left == {file["source_id"] for file in manifest["months"][MONTHS[2]]["files"]}
    assert place.night(MONTHS[2], output=url).json_line["status"] == "unchanged"
    assert place.tables(MONTHS, output="store") == stay


# ---- Histories ------------------------------------------------------------------------------------------------------


class History:
    """Random nights of two outputs, one of which is pruned now and then."""

    def __init__(self, place: Place, seed: int, patch: pytest.MonkeyPatch) -> None:
        self.place, self.chance, self.patch = place, random.Random(seed), patch
        self.published = 4
        for month in MONTHS[:4]:
            assert place.night(month, output="twin").code == 0

    def step(self) -> str:
        """One night of both outputs, or a prune of one."""
        kind = self.chance.choice(("night", "night", "next month", "failure", "prune", "prune"))
        if kind == "prune":
            self.place.age(self.chance.choice((0, 5, 50)))
            self.prune(self.chance.choice((None, 1, 1, 2, 3, 5)), self.chance.choice((None, 1, 10, 100)))
        elif kind == "next month":
            self.published += 1
            for payer, entry in self.entries().items():
                self.change(MONTHS[self.published - 1], payer, usd=entry)
            self.night(MONTHS[self.published - 1])
        else:
            month = self.chance.choice(sorted(self.place.manifest()["months"])[-2:])
            self.change(month, self.chance.choice([*PAYERS]))
            self.night(month, fails=kind == "failure")
        return kind

    def entries(self) -> dict[str, float]:
        return {payer: 30.0 + 10 * number for number, payer in enumerate(PAYERS)}

    def change(self, month: str, payer: str, usd: float = 40.0) -> None:
        """The payer's file of a month with another price, far from the month before or not, broken, or gone."""
        fate = self.chance.choice(("near", "near", "near", "far", "broken", "gone"))
        if fate == "near":
            self.place.write(month, payer, usd + self.chance.randint(0, 3))
        elif fate == "far":
            self.place.write(month, payer, usd * 5)
        elif fate == "broken":
            self.place.put(month, payer, b'{"reporting_entity_name": "cut')
        else:
            (self.place.folder / "mrf" / month / f"{payer}.json").unlink(missing_ok=True)

    def night(self, month: str, *, fails: bool = False) -> None:
        def refuse(new: Path, target: Path) -> None:
            raise OSError(5, "the disk fails")

        with self.patch.context() as patch:
            if fails:
                patch.setattr(publish, "exchange_folders", refuse)
            ended = [self.place.night(month, output=output) for output in ("out", "twin")]
        lines = [each.json_line for each in ended]
        assert ended[0].code == ended[1].code
        assert lines[0].get("withheld") == lines[1].get("withheld")
        assert lines[0].get("status") == lines[1].get("status")
        self.check()

    def prune(self, keep: int | None, days: int | None) -> None:
        words = [word for name, n in (("--keep-months", keep), ("--cache-days", days)) if n for word in (name, n)]
        before = self.place.manifest()
        planned = self.place.prune(*words, "--dry-run")
        found = self.place.prune(*words)
        assert (found["bytes"], found["months_removed"]) == (planned["bytes"], planned["months_removed"])
        newest = sorted(before["months"])[-keep:] if keep else sorted(before["months"])
        for month in newest:
            absent = before["months"][month]["withheld"].keys() - before["months"][month]["payers"].keys()
            last = [
                max([m for m in before["months"] if payer in before["months"][m]["payers"]] or [""]) for payer in absent
            ]
            assert {*last} - {""} <= self.place.manifest()["months"].keys()
        assert self.place.manifest()["months"].keys() >= {*newest}
        self.check()

    def check(self) -> None:
        """Every table of every month that stays is the same, byte for byte, as where nothing was ever pruned."""
        kept = sorted(self.place.manifest()["months"])
        assert kept, "the newest month is always there"
        assert self.place.tables(MONTHS) == self.place.tables(kept, output="twin")
        for month in kept:
            assert self.place.tables([month]), month


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(9))
def test_nights_after_prunes_publish_what_they_do_without(
    place: Place, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = History(place, seed, monkeypatch)
    for _ in range(12 if seed < 3 else 25):
        if history.published == len(MONTHS):
            break
        history.step()
