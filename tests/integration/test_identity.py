"""The same inputs give the same bytes: whatever the order, names, copies, workers, chunks and earlier runs."""

import random
import shutil
from collections.abc import Iterable
from pathlib import Path

import polars as pl
import pytest

import flows.extract.workers
import flows.tables.payer_builds
from tests.command_line import call, digests
from tests.containers import gzipped
from tests.documents import cited_document, document, group, item, npi_of, price, rate, reference
from tests.effort import usually
from tests.field_notes import CASES
from tests.json_text import json_bytes
from tests.nppes_files import npidata, record

MONTH = ("--month", "2026-06")
SAME = ("summaries", "rates", "providers")

Capture = pytest.CaptureFixture[str]


def many_providers(seed: int) -> bytes:
    """Some hundred prices of one payer, among them the same rows in other files, and a rate written as minus zero."""
    chance = random.Random(seed)
    entity = chance.choice(("Cigna Health Life Insurance Company", "Acme Health Plan"))
    npis = [npi_of(100_000_000 + chance.randrange(60)) for _ in range(40)]
    rates = [
        rate(
            group(*chance.sample(npis, 5), tin={"type": "ein", "value": f"{chance.randrange(9):09d}"}),
            prices=[
                price(negotiated_rate=chance.choice((10, 10.0, 12.5, 0, -0.0, 33.33, 1e9))),
                price(negotiated_type=chance.choice(("derived", "fee schedule")), billing_class="institutional"),
            ],
        )
        for _ in range(12)
    ]
    last_updated_on = f"2026-0{chance.randrange(1, 7)}-01"
    return json_bytes(document(item(*rates), reporting_entity_name=entity, last_updated_on=last_updated_on))


@pytest.fixture(scope="module")
def contents() -> list[bytes]:
    """Files of several payers, good, empty-handed and broken."""
    cited = cited_document(reference("G-1", group(npi_of(100_000_007)), network_name=["HMO"]), cites=["G-1", 2])
    field_notes = [case.published for case in CASES[::6] if b"://" not in case.data]  # nothing to fetch
    return [*(many_providers(seed) for seed in range(6)), json_bytes(cited), *field_notes]


@pytest.fixture(scope="module")
def nppes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Most of the providers, in several states."""
    states, taxonomies = ("AK", "NY", "PR", "ZZ"), ("225100000X", "111N00000X", "207Q00000X")
    records = (record(npi_of(100_000_000 + number), states[number % 4], taxonomies[number % 3]) for number in range(50))
    path = tmp_path_factory.mktemp("nppes") / "npidata_pfile_20260607.csv"
    path.write_bytes(npidata(*records))
    return path


def write(folder: Path, contents: Iterable[bytes], name: str = "{number:03}.json") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number, content in enumerate(contents):
        (folder / name.format(number=number)).write_bytes(content)
    return folder


@pytest.fixture(scope="module")
def mrf(contents: list[bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("mrf"), contents)


def tables(capsys: Capture, output: Path, nppes: Path, *words: object) -> dict[str, str]:
    """Digests of what CONTRACT section 3 calls byte-identical."""
    ended = call(capsys, "run", *words, "--output", output, "--nppes", nppes, *MONTH, "--json")
    assert ended.code in (0, 3), ended.err
    exclusions = {path: digest for path, digest in digests(output).items() if path.endswith("exclusions.parquet")}
    assert len(exclusions) == 1
    return digests(output, *SAME) | exclusions


@pytest.fixture
def expected(mrf: Path, nppes: Path, tmp_path: Path, capsys: Capture) -> dict[str, str]:
    """One worker, a fresh folder."""
    return tables(capsys, tmp_path / "expected", nppes, mrf, "--workers", 1)


@pytest.mark.slow
def test_order_names_and_copies_change_nothing(
    contents: list[bytes], mrf: Path, nppes: Path, expected: dict[str, str], tmp_path: Path, capsys: Capture
) -> None:
    assert len(expected) > 5
    backwards = sorted((str(path) for path in mrf.iterdir()), reverse=True)
    assert tables(capsys, tmp_path / "1", nppes, *backwards) == expected
    renamed = write(tmp_path / "renamed", random.Random(7).sample(contents, len(contents)), "x{number}")
    assert tables(capsys, tmp_path / "2", nppes, renamed) == expected
    assert tables(capsys, tmp_path / "3", nppes, mrf, renamed, *backwards[:3]) == expected


@pytest.mark.slow
def test_a_used_folder_and_an_interrupted_month_change_nothing(
    mrf: Path, nppes: Path, expected: dict[str, str], tmp_path: Path, capsys: Capture
) -> None:
    output = tmp_path / "used"
    some = sorted(mrf.iterdir())[:4]
    assert tables(capsys, output, nppes, *some) != expected
    assert tables(capsys, output, nppes, mrf) == expected
    assert tables(capsys, output, nppes, mrf) == expected
    shutil.rmtree(output / ".cache" / "sources")
    assert tables(capsys, output, nppes, mrf) == expected


@pytest.mark.slow
def test_two_workers_change_nothing(
    mrf: Path,
    nppes: Path,
    expected: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
) -> None:
    monkeypatch.setattr(flows.extract.workers, "PARALLEL_FROM_BYTES", 0)
    assert tables(capsys, tmp_path / "two", nppes, mrf, "--workers", 2) == expected


@pytest.mark.parametrize("pairs_each", [7, 1, 100][: usually(1, 3)])
def test_the_size_of_chunks_changes_nothing(
    pairs_each: int,
    mrf: Path,
    nppes: Path,
    expected: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
) -> None:
    monkeypatch.setattr(flows.tables.payer_builds, "PAIRS_EACH", pairs_each)
    assert tables(capsys, tmp_path / "chunks", nppes, mrf) == expected


def test_the_same_json_recompressed_is_another_file_with_the_same_figures(
    contents: list[bytes], nppes: Path, tmp_path: Path, capsys: Capture
) -> None:
    """Content identity is that of the bytes as published: rows stay one, and name both files."""
    plain = write(tmp_path / "plain", contents[:3])
    packed = write(tmp_path / "packed", map(gzipped, contents[:3]))
    alone = tables(capsys, tmp_path / "alone", nppes, plain)
    both = tables(capsys, tmp_path / "both", nppes, plain, packed)
    assert alone["providers/period=2026-06/providers.parquet"] == both["providers/period=2026-06/providers.parquet"]

    def summaries(name: str) -> pl.DataFrame:
        return pl.read_parquet(tmp_path / name / "summaries" / "period=2026-06" / "summaries.parquet")

    assert summaries("alone").drop("n_files").equals(summaries("both").drop("n_files"))
    commercial = pl.col("payer_kind") != "benchmark"
    doubled = summaries("alone").filter(commercial)["n_files"] * 2
    assert doubled.equals(summaries("both").filter(commercial)["n_files"])


def test_minus_zero_is_zero(tmp_path: Path, nppes: Path, capsys: Capture) -> None:
    """Two files that say 0 and -0.0 state one row; which of them is met first must not show."""

    def stating(zero: str, version: str) -> bytes:
        made = json_bytes(
            document(item(rate(group(npi_of(1)), prices=[price(negotiated_rate=77.25)])), version=version)
        )
        return made.replace(b"77.25", zero.encode())

    found = set()
    for number, (first, second) in enumerate((("0", "-0.0"), ("-0.0", "0"))):
        folder = write(tmp_path / str(number), [stating(first, "1"), stating(second, "2")])
        output = tmp_path / f"out{number}"
        assert tables(capsys, output, nppes, folder)
        rates = pl.read_parquet(output / "rates" / "period=2026-06" / "*" / "*.parquet", hive_partitioning=False)
        found.add((rates.height, str(rates["negotiated_rate"].to_list())))
    assert found == {(1, "[0.0]")}
