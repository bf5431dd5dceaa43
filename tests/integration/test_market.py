"""A whole month, from published bytes to every table, against the plain reading of the same files; counts reconcile."""

import hashlib
import io
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, cast

import numpy as np
import polars as pl
import pytest

import flows.extract.provider_references
import flows.tables.payer_builds
from flows.cli.demo import run_demo
from flows.download.sources import HashingStream, Source
from flows.orchestration.month_report import MonthReport
from flows.orchestration.run import RunRequest, run
from flows.storage.layout import Layout
from flows.tables.nppes_lookup import build_nppes
from flows.tables.utilization_lookup import build_utilization
from schemas.published import NETWORK_SUMMARIES, RATE_GRAIN
from tests.documents import BAD_CHECK_DIGIT, EVE
from tests.field_notes import CASES, GENERATED_REMOTE
from tests.fuzz.plain_rows import respelled
from tests.market_files import (
    CODES,
    NATIONAL_USD,
    PLAIN_NPPES,
    SERVICES,
    generated_file,
    market_file,
    utilization_csv,
)
from tests.nppes_files import npidata, record
from tests.plain_localities import localities_of_2026
from tests.plain_payers import plain_payers, reviewed_payers
from tests.plain_reading import (
    PlainProvider,
    PlainRate,
    PlainSummary,
    ProviderKey,
    RateRow,
    SummaryKey,
    plain_network_summaries,
    plain_providers,
    plain_rates,
    plain_summaries,
)
from tests.plain_taxonomies import plain_tier
from transforms.cms.medicare import MedicareReference, national_amounts, price_localities
from transforms.errors import BadFileError

MONTH = date(2026, 6, 1)


@cache
def contents() -> list[bytes]:
    notes = [
        case.published
        for case in CASES[::3]
        if b"TOC_Files" not in case.data
        and b"reporting_st" not in case.data
        and not case.skipped  # broken in what nobody asked for: the scanning reader may pass over it
    ]
    return [*map(market_file, range(14)), *map(generated_file, range(60)), *notes]


@dataclass(frozen=True)
class Month:
    """What a run published."""

    output: Path
    result: MonthReport

    def table(self, name: str, file: str = "*") -> pl.DataFrame:
        paths = self.output / name / f"period={MONTH:%Y-%m}"
        return pl.read_parquet(f"{paths}/**/{file}.parquet", hive_partitioning=False)


@contextmanager
def served(source: Source, *_settings: object, **_named: object) -> Iterator[HashingStream]:
    """Remote provider references out of memory."""
    if source.location not in GENERATED_REMOTE:
        raise BadFileError("nobody there")
    yield HashingStream(cast("Any", io.BytesIO(GENERATED_REMOTE[source.location])))


@pytest.fixture(scope="module", params=["with NPPES", "without NPPES"])
def month(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Month, bool]:
    """The files above, run."""
    folder = tmp_path_factory.mktemp("market")
    sources = []
    for number, content in enumerate(contents()):
        path = folder / "mrf" / f"{number:03}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        sources.append(Source(str(path)))
    with_nppes = request.param == "with NPPES"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flows.extract.provider_references, "open_source", served)
        patch.setattr(flows.tables.payer_builds, "PAIRS_EACH", 1_000)
        lookup = nppes_lookup(folder) if with_nppes else None
        of_month = RunRequest(tuple(sources), MONTH, CODES, folder / "output", lookup, workers=1, report=False)
        result = run(replace(of_month, utilization=utilization(folder)))
    return Month(folder / "output", result), with_nppes


def utilization(folder: Path) -> Path:
    """The services above through the real builder: the latest year that is not after the month counts."""
    for year, factor in ((2022, 3), (2024, 1), (2027, 5)):
        (folder / f"MUP_PHY_R26_P05_V10_D{year % 100}_Prov_Svc.csv").write_bytes(utilization_csv(factor))
    build_utilization(sorted(folder.glob("MUP*.csv")), folder / "utilization", CODES)
    return folder / "utilization"


def nppes_lookup(folder: Path) -> Path:
    """The NPPES above through the real builder, from the real layout."""
    records = (
        record(
            npi,
            known.state or "",
            *known.taxonomies,
            country=known.country or "",
            postal_code=known.postal_code,
            deactivated="01/02/2020" if known.deactivated else "",
        )
        for npi, known in sorted(PLAIN_NPPES.items())
    )
    (folder / "npidata.csv").write_bytes(npidata(*records))
    build_nppes(folder / "npidata.csv", folder / "nppes.parquet")
    return folder / "nppes.parquet"


@cache
def plain(with_nppes: bool) -> list[PlainRate]:
    nppes = PLAIN_NPPES if with_nppes else None
    rates = plain_rates(contents(), CODES, nppes, tier_of=plain_tier, remote=GENERATED_REMOTE)
    payers = plain_payers({found.row.reporting_entity_name for found in rates}, reviewed_payers())
    for found in rates:
        found.payer = payers[found.row.reporting_entity_name]
    return rates


@cache
def national() -> dict[str, float]:
    amounts = national_amounts(MedicareReference.packaged(), CODES, MONTH)
    return {code: float(amount) for code, amount in amounts.select("billing_code", "amount_usd").iter_rows()}


@cache
def medicare_observations() -> dict[tuple[str, str], list[float]]:
    localities = price_localities(MedicareReference.packaged(), CODES, MONTH)
    found: dict[tuple[str, str], list[float]] = {}
    for code, state, amount in localities.select("billing_code", "state", "amount_usd").iter_rows():
        for geography in ("US", state):
            found.setdefault((code, geography), []).append(float(amount))
    return found


def plain_medians() -> dict[tuple[str, str], float]:
    return {place: float(np.median(amounts)) for place, amounts in medicare_observations().items()}


@cache
def plain_provider_rows(with_nppes: bool) -> dict[ProviderKey, PlainProvider]:
    return plain_providers(plain(with_nppes), national(), localities_of_2026(), SERVICES)


def grain_of(row: dict[str, Any]) -> RateRow:
    return RateRow._make(tuple(row[name]) if isinstance(row[name], list) else row[name] for name in RATE_GRAIN)


def test_the_market_is_worth_comparing() -> None:
    """Every rule, every tier, every class and hundreds of providers occur, or the comparisons below say little."""
    rows = plain(with_nppes=True)
    assert len(rows) > 3_000
    assert {rate.exclusion for rate in rows} >= {
        *(None, "arrangement", "not_dollars", "bad_rate", "modifier", "place_of_service", "expired"),
        *("provider_unresolved", "no_npi", "npi_invalid", "npi_unknown", "npi_deactivated", "outside_us"),
        "billing_class",
    }
    assert any(len(rate.source_ids) > 1 for rate in rows)
    assert set(national().values()) <= set(NATIONAL_USD)  # so that there are rates at the bounds
    providers = plain_provider_rows(with_nppes=True).values()
    assert len(providers) > 500
    assert {provider.exclusion for provider in providers} == {None, "outlier"}
    assert {provider.taxonomy_tier for provider in providers} == {"strict", "balanced", "other"}
    assert {provider.evidence for provider in providers} == {"billed", "related", "none", None}
    assert {provider.locality for provider in providers} == {None, "AK 01", "CA 05", "DC 01", "NY 01", "PR 20"}
    assert {rate.payer for rate in rows} >= {"Aetna", "Cigna", "UnitedHealth Group", "ACME Health-Plan, L.L.C."}
    assert "Acme Health Plan" not in {rate.payer for rate in rows}  # another spelling of the same
    assert BAD_CHECK_DIGIT not in PLAIN_NPPES and EVE not in PLAIN_NPPES


def test_rates_are_those_of_the_plain_reading(month: tuple[Month, bool]) -> None:
    published, with_nppes = month
    columns = ("payer", "state", "taxonomy_tier", "exclusion", "last_updated_on", "business_name", "group_size")
    found = {
        respelled(grain_of(row)): (
            *(row[name] for name in columns),
            *(frozenset(row["source_ids"]), frozenset(row["network_names"])),
        )
        for row in published.table("rates").iter_rows(named=True)
    }
    expected = {
        respelled(rate.row): (
            *(getattr(rate, name) for name in columns),
            *(frozenset(rate.source_ids), frozenset(rate.network_names)),
        )
        for rate in plain(with_nppes)
    }
    assert published.table("rates").height == len(found)
    assert found == expected


def test_providers_are_those_of_the_plain_reading(month: tuple[Month, bool]) -> None:
    published, with_nppes = month
    rows = published.table("providers")
    found = {
        ProviderKey(*(row[name] for name in ProviderKey._fields)): (
            *(row["state"], row["zip5"], row["locality"], row["taxonomy_tier"], row["representative_rate_usd"]),
            *(row["medicare_usd"], row["n_rates"], row["exclusion"], row["evidence"], row["services"]),
        )
        for row in rows.iter_rows(named=True)
    }
    expected = {
        key: (
            *(p.state, p.zip5, p.locality, p.taxonomy_tier, p.representative_rate_usd),
            *(p.medicare_usd, p.n_rates, p.exclusion, p.evidence, p.services),
        )
        for key, p in plain_provider_rows(with_nppes).items()
    }
    assert rows.height == len(found)
    assert found == expected


COUNTS = ("payer_kind", "n_npi", "n_tin", "n_rates", "n_files", "low_sample")
FIGURES = ("mean_usd", "min_usd", "p10_usd", "p25_usd", "p50_usd", "p75_usd", "p90_usd", "max_usd", "iqr_usd")


def test_summaries_are_those_of_the_plain_reading(month: tuple[Month, bool]) -> None:
    published, with_nppes = month
    expected: dict[SummaryKey, PlainSummary] = plain_summaries(
        plain_provider_rows(with_nppes).values(), plain_medians(), with_nppes
    )
    rows = published.table("summaries").filter(pl.col("payer_kind") != "benchmark")
    found = {SummaryKey(*(row[name] for name in SummaryKey._fields)): row for row in rows.iter_rows(named=True)}
    assert rows.height == len(found) > (200 if with_nppes else 30)
    assert_same_figures(found, expected)


def test_network_summaries_are_those_of_the_plain_reading(month: tuple[Month, bool]) -> None:
    published, with_nppes = month
    expected = plain_network_summaries(
        plain(with_nppes), national(), plain_medians(), localities_of_2026(), with_nppes, SERVICES
    )
    rows = published.table("network_summaries")
    assert rows.equals(rows.sort(NETWORK_SUMMARIES.grain))
    names = ("payer", *(name.replace("payer", "network_name") for name in SummaryKey._fields))
    found = {
        (row[0], SummaryKey(*row[1:])): named
        for row, named in zip(rows.select(names).iter_rows(), rows.iter_rows(named=True), strict=True)
    }
    assert rows.height == len(found) > (200 if with_nppes else 20)
    assert_same_figures(found, expected)


def assert_same_figures(found: Mapping[Any, dict[str, Any]], expected: Mapping[Any, PlainSummary]) -> None:
    assert found.keys() == expected.keys()
    for key, summary in expected.items():
        row = found[key]
        assert [row[name] for name in COUNTS] == [getattr(summary, name) for name in COUNTS], key
        assert [row[name] for name in FIGURES] == pytest.approx([getattr(summary, name) for name in FIGURES]), key
        assert row["pct_of_medicare"] == pytest.approx(summary.pct_of_medicare), key
        assert row["pct_of_local_medicare"] == pytest.approx(summary.pct_of_local_medicare), key
        assert (row["month"], row["methodology"]) == (MONTH, "2")


def test_medicare_rows_are_its_localities(month: tuple[Month, bool]) -> None:
    published, _ = month
    rows = published.table("summaries").filter(pl.col("payer_kind") == "benchmark")
    found = {(row["billing_code"], row["geography"]): row for row in rows.iter_rows(named=True)}
    assert found.keys() == medicare_observations().keys()
    for place, amounts in medicare_observations().items():
        row = found[place]
        assert (row["payer"], row["billing_class"], row["taxonomy_tier"], row["weighting"]) == (
            *("Medicare", "professional", "all", "locality"),
        )
        assert (row["n_rates"], row["n_npi"], row["n_tin"], row["n_files"]) == (len(amounts), None, None, None)
        assert row["pct_of_medicare"] == pytest.approx(100)
        assert row["p25_usd"] == pytest.approx(float(np.quantile(amounts, 0.25)))
        assert row["mean_usd"] == pytest.approx(float(np.mean(amounts)))
        assert row["low_sample"] is False


def assert_reconciles(month: Month) -> None:
    """Rows in = rows eligible + exclusions, for every file, and all of it again from the rate rows themselves."""
    files = month.table("quality", "files")
    exclusions = month.table("quality", "exclusions").drop("month")
    rates = month.table("rates").explode("source_ids")
    rows = Counter(rates["source_ids"].to_list())
    eligible = Counter(rates.filter(pl.col("exclusion").is_null())["source_ids"].to_list())
    refused = Counter(
        rates.filter(pl.col("exclusion").is_not_null())
        .select("source_ids", "payer", "billing_code", "exclusion")
        .iter_rows()
    )
    stated = {row[:4]: row[4] for row in exclusions.iter_rows()}
    assert exclusions.columns == ["source_id", "payer", "billing_code", "reason", "rows"]
    assert stated == refused
    for row in files.iter_rows(named=True):
        of_file = exclusions.filter(pl.col("source_id") == row["source_id"])["rows"].sum()
        assert row["rows"] == row["rows_eligible"] + of_file
        assert row["rows"] == rows[row["source_id"]]
        assert row["rows_eligible"] == eligible[row["source_id"]]
        assert (row["status"] == "quarantined") == (row["reason"] is not None)
        assert row["status"] != "no_match" or row["rows"] == 0
    assert set(rows) <= set(files["source_id"])
    assert month.result.rows == month.table("rates").height
    assert month.result.rows_eligible == month.table("rates")["exclusion"].null_count()


def test_counts_reconcile_for_every_file(month: tuple[Month, bool]) -> None:
    published, _ = month
    assert_reconciles(published)
    files = published.table("quality", "files")
    assert sorted(files["source_id"]) == sorted(hashlib.sha256(content).hexdigest() for content in contents())
    assert set(files["status"]) == {"matched", "no_match", "quarantined"}


@pytest.mark.slow
def test_counts_of_the_demo_reconcile(tmp_path: Path) -> None:
    kept: list[MonthReport] = []

    def run_and_keep(request: RunRequest) -> MonthReport:
        kept.append(run(request))
        return kept[0]

    run_demo(Layout.at(tmp_path), MONTH, run_and_keep)
    assert_reconciles(Month(tmp_path, kept[0]))
