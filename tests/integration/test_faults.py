"""A machine that lacks something at any step: a clear end, the last good tables, and the next run gives the same bytes.

Each case begins with a month that stands published; then every source and the provider register change, the fault
comes, and the run is repeated without it.
"""

import errno
import importlib
import json
import os
import resource
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pytest

from tests.command_line import Ended, call, digests
from tests.documents import ANN, BOB, EVE, document, group, item, npi_of, price, rate, reference
from tests.faults import execute, memory_group, small_disk
from tests.json_text import json_bytes
from tests.large_files import in_network_chunks, write_gzip
from tests.nppes_files import npidata, record

ENTITIES = ("Aetna Life Insurance Company", "Acme Health Plan", "Bcme Health Plan")
STEPS = {  # what the message says -> what is called then
    "building the provider lookup": "flows.tables.nppes_lookup:build_nppes",
    "reading": "flows.extract.extract_source:_read",
    "keeping what was read": "flows.extract.extract_source:remember",
    "building the tables of Acme Health Plan": "flows.tables.payer_builds:_write",
    "summarising the month": "flows.tables.month_tables:MonthBuilder._write_summaries",
    "publishing the month": "flows.publish.publish:sync_folder",
    "publishing the month, when a table is out": "flows.publish.publish:exchange_folders",
    "building the report": "flows.report.report:report_files",
}


@dataclass(frozen=True)
class Market:
    """Sources that can change, and the command over them."""

    folder: Path

    def write(self, version: int) -> None:
        """Three payers' files, and the register of their providers."""
        (self.folder / "mrf").mkdir(parents=True, exist_ok=True)
        for number, entity in enumerate(ENTITIES):
            prices = [price(negotiated_rate=10 + number + version / 4)]
            rates = (rate(group(ANN, BOB), prices=prices), rate(provider_references=[7], prices=prices))
            references = [reference(7, group(EVE, BOB, tin={"type": "ein", "value": "98-7654321"}))]
            text = json_bytes(document(item(*rates), references=references, reporting_entity_name=entity))
            (self.folder / "mrf" / f"{number}.json").write_bytes(text)
        states = ("AK", "NY", "CA") if version else ("AK", "AK", "CA")
        records = (record(npi, state, "225100000X") for npi, state in zip((ANN, BOB, EVE), states, strict=True))
        (self.folder / "npidata_pfile_x.csv").write_bytes(npidata(*records))

    @property
    def command(self) -> tuple[object, ...]:
        """`tic-rates run` over it, without --output."""
        nppes = self.folder / "npidata_pfile_x.csv"
        return "run", self.folder / "mrf", "--month", "2026-06", "--nppes", nppes, "--workers", 1


@dataclass(frozen=True)
class Published:
    """An output folder, to be copied, and its tables' digests."""

    output: Path
    tables: dict[str, str]


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Market:
    return Market(tmp_path_factory.mktemp("market"))


@pytest.fixture(scope="module")
def undisturbed(market: Market, tmp_path_factory: pytest.TempPathFactory) -> list[Published]:
    """Both versions, of runs that lacked nothing."""
    from flows.cli.app import main

    found = []
    for version in (0, 1):
        market.write(version)
        output = tmp_path_factory.mktemp("undisturbed")
        assert main([*map(str, market.command), "--output", str(output), "--no-report"]) == 0
        found.append(Published(output, digests(output)))
    assert found[0].tables != found[1].tables
    return found


def fail(kind: str) -> NoReturn:
    """As a machine that lacks this, or a user who wants to stop."""
    if kind == "memory":
        raise MemoryError
    if isinstance(getattr(signal, kind, None), signal.Signals):
        os.kill(os.getpid(), getattr(signal, kind))
        raise AssertionError("the signal was not met")
    number = getattr(errno, kind)
    raise OSError(number, os.strerror(number))


def break_step(patch: pytest.MonkeyPatch, place: str, kind: str, *, after: int = 0) -> None:
    """Let a function fail this way when it has been called so often."""
    module, _, path = place.partition(":")
    owner: Any = importlib.import_module(module)
    *parents, name = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    whole: Callable[..., Any] = getattr(owner, name)
    calls = iter(range(1_000))

    def broken(*args: Any, **kwargs: Any) -> Any:
        if next(calls) >= after:
            patch.setattr(owner, name, whole)  # what is undone is done with it
            fail(kind)
        return whole(*args, **kwargs)

    patch.setattr(owner, name, broken)


QUICK = (
    ("reading", "ENOSPC"),
    ("building the tables of Acme Health Plan", "memory"),
    ("publishing the month, when a table is out", "ENOSPC"),
    ("publishing the month, when a table is out", "SIGTERM"),
)
SAID = {
    "ENOSPC": (4, "no space left on the disk"),
    "EDQUOT": (4, "quota"),
    "EMFILE": (4, "may open no more files"),
    "EIO": (4, "failed to read or write"),
    "EAGAIN": (4, "no more processes"),
    "EROFS": (2, "Read-only file system"),
    "memory": (4, "out of memory"),
    "SIGTERM": (143, "stopped; finished work is saved"),
    "SIGHUP": (129, "stopped; finished work is saved"),
    "SIGINT": (130, "stopped; finished work is saved"),
}


def marks(step: str, kind: str) -> list[pytest.MarkDecorator]:
    """How often this case is tried."""
    if (step, kind) in QUICK:
        return []
    return [pytest.mark.slow if kind == "ENOSPC" else pytest.mark.soak]


FAULTS = [pytest.param(step, kind, marks=marks(step, kind)) for kind in SAID for step in STEPS]


@pytest.mark.parametrize(("step", "kind"), FAULTS)
def test_a_fault_leaves_the_last_good_tables_and_the_next_run_gives_the_undisturbed_ones(
    step: str,
    kind: str,
    market: Market,
    undisturbed: list[Published],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = tmp_path / "output"
    command = (*market.command, "--output", output)
    shutil.copytree(undisturbed[0].output, output)  # the sources are those of version 1 by now
    with pytest.MonkeyPatch.context() as patch:
        break_step(patch, STEPS[step], kind, after=2 if "when a table is out" in step else 0)
        ended = call(capsys, *command, *(("--report",) if "report" in step else ()))
    code, text = SAID[kind]
    assert "Traceback" not in ended.err
    if (kind, step) in (("memory", "reading"), ("memory", "keeping what was read")):
        assert ended.code == 3 and "more memory than" in ended.out, "one file is left out"
    else:
        assert ended.code == code and text in ended.err, ended.err
        assert digests(output) == undisturbed["report" in step].tables, "all tables are as they were"
    if code == 4 and not step.startswith(("keeping", "reading")):
        assert f"while {step.partition(',')[0]}" in ended.err

    assert call(capsys, *command).code == 0
    assert digests(output) == undisturbed[1].tables
    assert list(output.rglob(".tmp-*")) == []
    assert json.loads((output / "manifest.json").read_bytes())["publishing"] == []


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> tuple[Market, Published]:
    """A market with a file that spills, and is worth two workers."""
    from flows.cli.app import main

    market = Market(tmp_path_factory.mktemp("large"))
    market.write(1)
    write_gzip(market.folder / "mrf" / "large.json.gz", in_network_chunks(9_000_000, 1_500_000))
    output = tmp_path_factory.mktemp("undisturbed-large")
    assert main([*map(str, market.command), "--output", str(output)]) == 0
    return market, Published(output, digests(output))


def check_recovers(large: tuple[Market, Published], output: Path, ended: Ended) -> None:
    """It ended in order, and what comes next is as if nothing had been."""
    market, undisturbed = large
    assert "Traceback" not in ended.err and "Exception ignored" not in ended.err, ended.err
    assert ended.code in (0, 2, 3, 4), ended.err
    if ended.code == 4:
        assert ended.err.splitlines()[-1].startswith("tic-rates: "), ended.err
        if "while building the report" not in ended.err:
            assert not (output / "summaries").exists()
    again = execute(*market.command, "--workers", 2, "--output", output, "--no-report")
    assert again.code == 0, again.err
    assert digests(output) == undisturbed.tables


@pytest.mark.soak
@pytest.mark.parametrize("kilobytes", [50, 500, 1_500, 2_500, 3_000, 3_500, 4_000, 5_000, 6_000, 9_000])
def test_a_disk_of_any_size_ends_clearly(kilobytes: int, large: tuple[Market, Published], tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", kilobytes) as disk:
        output = disk.place / "output"
        ended = execute(*large[0].command, "--workers", 2, "--output", output, "--json")
        disk.resize(300_000)
        check_recovers(large, output, ended)


@pytest.mark.soak
@pytest.mark.parametrize(
    ("which", "most"),
    [
        *(("RLIMIT_FSIZE", size) for size in (1_000, 20_000, 200_000, 2_000_000)),
        *(("RLIMIT_NOFILE", number) for number in (10, 16, 24, 40, 64)),
    ],
)
def test_limits_of_any_size_end_clearly(which: str, most: int, large: tuple[Market, Published], tmp_path: Path) -> None:
    limits = {getattr(resource, which): most}
    ended = execute(*large[0].command, "--workers", 2, "--output", tmp_path, "--json", limits=limits)
    check_recovers(large, tmp_path, ended)


@pytest.mark.soak
def test_an_output_that_became_read_only_is_named(large: tuple[Market, Published], tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 300_000) as disk:
        output = disk.place / "output"
        assert execute(*large[0].command, "--output", output, "--no-report").code == 0
        disk.set_writable(writable=False)
        for command in (large[0].command, ("report",)):
            ended = execute(*command, "--output", output)
            assert ended.code == 2
            (error,) = (line for line in ended.err.splitlines() if " INFO " not in line)
            assert "Read-only file system" in error
        other = (*large[0].command, "--codes", "97028", "--output", tmp_path / "other")
        cached = execute(*other, TIC_RATES_CACHE=str(output / ".cache"))
        assert cached.code == 2 and "Read-only file system" in cached.err
        disk.set_writable(writable=True)
        check_recovers(large, output, ended)


@pytest.fixture(scope="module")
def heavy(tmp_path_factory: pytest.TempPathFactory) -> tuple[Market, Published]:
    """A small file that comes to three million rows: a thousand prices for three thousand providers."""
    from flows.cli.app import main

    market = Market(tmp_path_factory.mktemp("heavy"))
    market.write(1)
    prices = [price(negotiated_rate=10 + number / 64, service_code=["11"]) for number in range(1_000)]
    npis = [npi_of(100_000_000 + number) for number in range(3_000)]
    text = json_bytes(document(item(rate(group(*npis), prices=prices)), reporting_entity_name=ENTITIES[0]))
    (market.folder / "mrf" / "heavy.json").write_bytes(text)
    output = tmp_path_factory.mktemp("undisturbed-heavy")
    assert main([*map(str, market.command), "--output", str(output), "--no-report"]) == 0
    return market, Published(output, digests(output))


@pytest.mark.soak
@pytest.mark.parametrize("megabytes", [250, 300, 400, 500, 700])
def test_memory_that_a_container_has_not_is_said(
    megabytes: int, heavy: tuple[Market, Published], tmp_path: Path
) -> None:
    market, undisturbed = heavy
    output = tmp_path / "output"
    with memory_group(f"tic-rates-{os.getpid()}", megabytes) as memory:
        ended = execute(*market.command, "--output", output, "--no-report", group=memory)
        assert ended.code == 4, (ended.code, ended.err)
        assert "out of memory, it seems: the process that did it was killed, while building" in ended.err, ended.err
        assert "Traceback" not in ended.err
        assert not (output / "summaries").exists()
    again = execute(*market.command, "--output", output, "--no-report")
    assert again.code == 0, again.err
    assert digests(output) == undisturbed.tables


CLOCK = """
import time, flows.publish.manifest
time.time = lambda: (YEAR - 1970) * 365.25 * 86400
flows.publish.manifest.now = lambda: "YEAR-01-01T00:00:00+00:00"
"""


@pytest.mark.soak
def test_clocks_that_jump_change_nothing(market: Market, undisturbed: list[Published], tmp_path: Path) -> None:
    for version, year in ((0, 2040), (1, 1990), (0, 1990), (1, 2040)):
        market.write(version)
        for path in market.folder.rglob("*.json"):
            os.utime(path, (version * 4e9, 4e9 - year))  # in the future, or long ago
        ended = execute(*market.command, "--output", tmp_path, "--no-report", program=CLOCK.replace("YEAR", str(year)))
        assert ended.code == 0, ended.err
        assert digests(tmp_path) == undisturbed[version].tables


def test_nobody_reading_stdout_or_stderr_is_no_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        nobody = execute("nightly", "--example", stdout=writing)
        assert (nobody.code, nobody.err) == (0, "")
        assert execute("rvu", "97026", "--json", stdout=writing, stderr=writing).code == 2
    finally:
        os.close(writing)


@pytest.mark.soak
def test_closed_streams_do_not_lend_their_numbers_to_tables(
    market: Market, undisturbed: list[Published], tmp_path: Path
) -> None:
    market.write(1)
    command = (*market.command, "--output", tmp_path, "--json")
    closing = "import os; [os.close(n) for n in (0, 1, 2)]; import sys; sys.stdin = sys.stdout = sys.stderr = None"
    assert execute(*command, program=closing).code == 0
    assert digests(tmp_path) == undisturbed[1].tables


@pytest.mark.soak
def test_a_result_that_can_not_be_written_is_told(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        ended = execute("rvu", "97026", "--state", "AK", "--year", "2025", "--json", stdout=full.fileno())
    assert ended.code == 4
    assert "no space left" in ended.err and "Traceback" not in ended.err
