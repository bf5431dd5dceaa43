"""The methodology from extracts to summaries, in memory, against the plain reading of the same files."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from functools import cache
from itertools import pairwise, repeat
from typing import Any

import polars as pl
import pytest

from schemas.published import NETWORK_SUMMARIES, PROVIDERS, RATE_GRAIN, RATES, SUMMARIES
from tests.documents import ANN, BOB, EVE, Record, document, group, item, price, rate, reference
from tests.fuzz.plain_rows import respelled
from tests.json_text import json_bytes
from tests.market_files import CODES, MARKET_REMOTE, NPIS, PLAIN_NPPES, SERVICES, market_contents, plain_market
from tests.pipeline import Extracted, extract_bytes, join_sources
from tests.plain_localities import PlainLocalities, localities_of_2026
from tests.plain_reading import (
    PlainNpi,
    PlainProvider,
    PlainSummary,
    ProviderKey,
    RateRow,
    SummaryKey,
    plain_network_summaries,
    plain_providers,
    plain_summaries,
)
from transforms.benchmark.evidence import find_evidence
from transforms.benchmark.networks import rates_by_network, summarize_networks
from transforms.benchmark.payers import map_payers
from transforms.benchmark.rates import Facts, describe_rates, gather_facts
from transforms.benchmark.representative_rates import MedicareAmounts, list_files, observe_providers
from transforms.benchmark.resolve import (
    Extracts,
    Resolved,
    count_pairs,
    count_stated_pairs,
    distinct_npis,
    iter_pairs,
    npi_ranges,
    resolve_providers,
)
from transforms.benchmark.summarize import Comparison, Observed, summarize

MONTH = date(2026, 6, 1)
NATIONAL = {"97026": 6.79}  # 97028 is not priced: never trimmed, compared with nothing
LOCALITIES = (("97026", "AK", 8.0), ("97026", "AK", 8.5), ("97026", "NY", 7.25), ("97026", "PR", 6.5))
ALL_LOCALITIES = localities_of_2026()
LOCALITIES_OF_2026 = PlainLocalities(
    ALL_LOCALITIES.by_zip, {key: usd for key, usd in ALL_LOCALITIES.amounts_usd.items() if key[0] in NATIONAL}
)
ZIPS = pl.DataFrame(list(ALL_LOCALITIES.by_zip.items()), schema=["zip5", "locality"], orient="row")
MEDICARE_P50 = {("97026", "US"): 7.625, ("97026", "AK"): 8.25, ("97026", "NY"): 7.25, ("97026", "PR"): 6.5}


@cache
def plain_provider_rows(with_nppes: bool) -> dict[ProviderKey, PlainProvider]:
    return plain_providers(plain_market(with_nppes), NATIONAL, LOCALITIES_OF_2026, SERVICES)


@cache
def sources() -> list[Extracted]:
    by_id = {source.source_id: source for source in map(extract_bytes, market_contents())}
    return [by_id[source_id] for source_id in sorted(by_id)]


def zip_of(known: PlainNpi) -> str | None:
    return known.postal_code[:5] if known.postal_code[:5].isdecimal() and known.country != "CA" else None


def nppes_lookup() -> pl.LazyFrame:
    rows = [
        (npi, known.state or None, known.country, zip_of(known), list(known.taxonomies), known.deactivated)
        for npi, known in PLAIN_NPPES.items()
    ]
    return pl.LazyFrame(rows, schema=["npi", "state", "country", "zip5", "taxonomies", "deactivated"], orient="row")


@cache
def resolved_by_payer() -> dict[str, tuple[Resolved, pl.DataFrame]]:
    """Each payer's resolved extracts, and its names' mapping."""
    extracts = join_sources(sources(), MARKET_REMOTE)
    matched = extracts.prices.select("source_no", "document").unique()
    documents = extracts.documents.join(matched, on=["source_no", "document"], how="semi").collect()
    mapping = map_payers(documents["reporting_entity_name"].to_list())
    found = {}
    for payer in mapping["payer"].unique().sort():
        own = mapping.filter(pl.col("payer") == payer)
        named = documents.join(own, on="reporting_entity_name", how="semi", nulls_equal=True)
        found[payer] = (resolve_providers(replace(extracts, documents=named.lazy())), own)
    return found


@cache
def facts_by_payer(with_nppes: bool) -> dict[str, Facts]:
    ids = [source.source_id for source in sources()]
    nppes = nppes_lookup() if with_nppes else None
    return {
        payer: gather_facts(payer, MONTH, resolved, mapping, ids, nppes, ZIPS, CODES)
        for payer, (resolved, mapping) in resolved_by_payer().items()
    }


@cache
def rates_by_payer(with_nppes: bool, pairs_each: int = 2_000) -> dict[str, list[pl.DataFrame]]:
    found = {}
    for payer, facts in facts_by_payer(with_nppes).items():
        resolved, _ = resolved_by_payer()[payer]
        found[payer] = [describe_rates(pairs, facts) for pairs in iter_pairs(resolved, pairs_each)]
    return found


@cache
def all_rates(with_nppes: bool) -> pl.DataFrame:
    return pl.concat(part for parts in rates_by_payer(with_nppes).values() for part in parts)


MEDICARE = Comparison(pl.DataFrame(LOCALITIES, schema=["billing_code", "state", "amount_usd"], orient="row"), 2025)
LOCAL = [(code, locality, usd) for (code, locality), usd in LOCALITIES_OF_2026.amounts_usd.items()]
AMOUNTS = MedicareAmounts(
    pl.DataFrame({"billing_code": [*NATIONAL], "amount_usd": [*NATIONAL.values()]}),
    pl.DataFrame(LOCAL, schema=["billing_code", "locality", "medicare_usd"], orient="row"),
)


UTILIZATION = pl.LazyFrame(
    [(npi, code, float(services)) for npi, billed in SERVICES.items() for code, services in billed.items()],
    schema=["npi", "billing_code", "services"],
    orient="row",
)
EVIDENCE = find_evidence(UTILIZATION, pl.Series([*PLAIN_NPPES, *NPIS]), CODES)


@cache
def observed(with_nppes: bool) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Providers, and the files behind them."""
    facts = facts_by_payer(with_nppes)
    of_payers = [(facts[payer].places, part) for payer, parts in rates_by_payer(with_nppes).items() for part in parts]
    parts = [part for _, part in of_payers]
    providers = [observe_providers(part, places, AMOUNTS, EVIDENCE) for places, part in of_payers]
    files = [list_files(part, rows, EVIDENCE) for part, rows in zip(parts, providers, strict=True)]
    assert not any(part.is_duplicated().any() for part in files)
    return pl.concat(providers), pl.concat(files).unique()


def grain_of(row: dict[str, object]) -> RateRow:
    return RateRow._make(tuple(value) if isinstance(value := row[name], list) else value for name in RATE_GRAIN)


@pytest.mark.parametrize("with_nppes", [True, False])
def test_rates_are_those_of_the_plain_reading(with_nppes: bool) -> None:
    columns = ("payer", "state", "exclusion", "last_updated_on", "source_ids", "network_names", "n_files")
    of_groups = ("business_name", "group_size")
    rows = all_rates(with_nppes)
    found = {
        respelled(grain_of(row)): [row[name] for name in (*columns, *of_groups)] for row in rows.iter_rows(named=True)
    }
    assert len(found) == rows.height
    assert found == {
        respelled(rate.row): [
            *(rate.payer, rate.state, rate.exclusion, rate.last_updated_on),
            *(sorted(rate.source_ids), sorted(rate.network_names), len(rate.source_ids)),
            *(rate.business_name, rate.group_size),
        ]
        for rate in plain_market(with_nppes)
    }


def test_every_rate_has_the_parent_of_its_name_and_the_tier_of_its_npi_and_they_are_in_order() -> None:
    parents = {
        name: (parent, mapped)
        for _, mapping in resolved_by_payer().values()
        for name, _, parent, mapped in mapping.iter_rows()
    }
    tiers = {respelled(rate.row): rate.taxonomy_tier for rate in plain_market(with_nppes=True)}
    for parts in rates_by_payer(with_nppes=True).values():
        rows = pl.concat(parts)
        assert rows.equals(rows.sort(RATES.order))
        for row in rows.iter_rows(named=True):
            assert (row["parent_company"], row["payer_mapped"]) == parents[row["reporting_entity_name"]]
            assert row["taxonomy_tier"] == tiers[respelled(grain_of(row))]
            taxonomies = PLAIN_NPPES[row["npi"]].taxonomies if row["taxonomy_tier"] else (None,)
            assert row["taxonomy"] in taxonomies


def extracted(*rates: Record, references: Sequence[Record] = ()) -> Extracts:
    return join_sources([extract_bytes(json_bytes(document(item(*rates), references=references)))])


def resolved_document(*rates: Record, references: Sequence[Record] = ()) -> Resolved:
    return resolve_providers(extracted(*rates, references=references))


def test_a_rate_has_the_first_business_name_and_the_size_of_the_largest_group() -> None:
    def named(name: str | None, *npis: int) -> Record:
        return group(*npis, tin={"type": "ein", "value": "12-3456789", "business_name": name})

    inline, cited = (named("Zeta", ANN, ANN), named(None, ANN, BOB, EVE, 0)), named("\U0001f600", ANN, BOB)
    resolved = resolved_document(
        rate(*inline, provider_references=[1]), references=[reference(1, cited), reference(2, named("A", ANN))]
    )
    (pairs,) = iter_pairs(resolved, 100)
    found = pairs.join(resolved.names, on="name_no", how="left").select("npi", "business_name", "group_size")
    assert set(found.rows()) == {(ANN, "Zeta", 3), (BOB, "\U0001f600", 3), (EVE, None, 3), (0, None, 3)}


def test_pairs_are_counted_before_duplicates_go() -> None:
    cited = reference(1, group(ANN, BOB))
    twice = [price(), price(negotiated_rate=31)]
    both = rate(group(ANN, BOB, EVE), prices=twice, provider_references=[1])
    assert count_pairs(resolved_document(both, references=[cited])) == 2 * (3 + 2)
    assert count_pairs(resolved_document(both, both, rate(group(ANN)), references=[cited])) == 2 * (2 * (3 + 2)) + 1
    assert count_pairs(resolved_document(rate())) == 0


def test_pairs_are_counted_before_anything_is_resolved() -> None:
    cited = reference(1, group(ANN, BOB), group(EVE))
    twice = [price(), price(negotiated_rate=31)]
    both = rate(group(ANN, BOB, EVE), prices=twice, provider_references=[1, 9])
    assert count_stated_pairs(extracted(both, references=[cited])) == 2 * (3 + 3)
    assert count_stated_pairs(extracted(both, rate(group(ANN)), references=[cited, cited])) == 2 * (3 + 6) + 1
    assert count_stated_pairs(extracted(rate())) == 0
    several = [*sources(), *sources()]  # references of one file are not those of another
    pairs = sum(count_stated_pairs(join_sources([each], MARKET_REMOTE)) for each in several)
    assert count_stated_pairs(join_sources(several, MARKET_REMOTE)) == pairs > 1_000


def test_a_range_begins_and_ends_at_the_first_of_many_rows_of_an_npi() -> None:
    rates = [rate(group(ANN, BOB), prices=[price(negotiated_rate=cents / 100)]) for cents in range(1, 400)]
    resolved = resolved_document(*rates)
    low, high = sorted((ANN, BOB))
    assert npi_ranges(resolved, 1) == [(None, low), (low, high), (high, None)]
    assert [pairs.height for pairs in iter_pairs(resolved, 1)] == [0, 399, 399]


@pytest.mark.parametrize("pairs_each", [1, 40, 100_000])
def test_ranges_of_npis_follow_each_other_and_their_size_changes_no_row(pairs_each: int) -> None:
    resolved, mapping = resolved_by_payer()["Aetna"]
    ranges = npi_ranges(resolved, pairs_each)
    assert (ranges[0][0], ranges[-1][1]) == (None, None)
    assert all(before[1] == after[0] is not None for before, after in pairwise(ranges))
    facts = gather_facts(
        "Aetna", MONTH, resolved, mapping, [source.source_id for source in sources()], None, ZIPS, CODES
    )
    parts = [describe_rates(pairs, facts) for pairs in iter_pairs(resolved, pairs_each)]
    assert len(parts) == len(ranges)
    npis = distinct_npis(resolved).collect()["npi"].sort()
    held = [len(npis.filter((npis >= low) & (npis < (high or 2**62)))) for low, high in ranges if low is not None]
    assert not held or max(held) - min(held) <= 1
    if pairs_each == 100_000:
        assert ranges == [(None, None)]
        assert len(npi_ranges(resolved, count_pairs(resolved) - 1)) == 2
    if pairs_each == 1:  # a range for each NPI, and one for null
        assert len(ranges) == 1 + distinct_npis(resolved).collect().height
    assert pl.concat(parts).equals(pl.concat(rates_by_payer(with_nppes=False)["Aetna"]))


@pytest.mark.parametrize("with_nppes", [True, False])
def test_providers_are_those_of_the_plain_reading(with_nppes: bool) -> None:
    rows, _ = observed(with_nppes)
    columns = (
        *("state", "zip5", "locality", "taxonomy_tier"),
        *("representative_rate_usd", "medicare_usd", "n_rates", "exclusion", "evidence", "services"),
    )
    found = {
        ProviderKey(*(row[name] for name in ProviderKey._fields)): tuple(row[name] for name in columns)
        for row in rows.iter_rows(named=True)
    }
    assert rows.columns == PROVIDERS.names
    assert rows.height == len(found)
    assert found == {
        key: tuple(getattr(p, name) for name in columns) for key, p in plain_provider_rows(with_nppes).items()
    }


COUNTS = ("payer_kind", "n_npi", "n_tin", "n_rates", "n_files", "low_sample")
FIGURES = ("mean_usd", "min_usd", "p10_usd", "p25_usd", "p50_usd", "p75_usd", "p90_usd", "max_usd", "iqr_usd")


@pytest.mark.parametrize("with_nppes", [True, False])
def test_summaries_are_those_of_the_plain_reading(with_nppes: bool) -> None:
    expected = plain_summaries(plain_provider_rows(with_nppes).values(), MEDICARE_P50, with_nppes)
    providers, files = observed(with_nppes)
    rows = summarize(Observed(providers.lazy(), files.lazy()), MONTH, MEDICARE, with_nppes=with_nppes)
    assert rows.equals(rows.sort(SUMMARIES.order)) and rows.columns == SUMMARIES.names
    benchmark = rows.filter(pl.col("payer_kind") == "benchmark")
    medians = {row[:2]: row[2] for row in benchmark.select("billing_code", "geography", "p50_usd").iter_rows()}
    assert medians == MEDICARE_P50
    assert benchmark["low_sample"].to_list() == [False] * len(MEDICARE_P50)
    commercial = rows.filter(pl.col("payer_kind") != "benchmark")
    found = {SummaryKey(*(row[name] for name in SummaryKey._fields)): row for row in commercial.iter_rows(named=True)}
    assert commercial.height == len(found)
    assert_same_figures(found, expected)


def network_summaries(with_nppes: bool) -> pl.DataFrame:
    found = [NETWORK_SUMMARIES.empty()]
    for payer, parts in rates_by_payer(with_nppes).items():
        repeated = [rates_by_network(part) for part in parts]
        places = facts_by_payer(with_nppes)[payer].places
        providers = [observe_providers(part, places, AMOUNTS, EVIDENCE) for part in repeated]
        files = pl.concat(map(list_files, repeated, providers, repeat(EVIDENCE))).unique()
        behind = Observed(pl.concat(providers).lazy(), files.lazy())
        found.append(summarize_networks(behind, payer, MONTH, MEDICARE, with_nppes=with_nppes))
    return pl.concat(found)


@pytest.mark.parametrize("with_nppes", [True, False])
def test_network_summaries_are_those_of_the_plain_reading(with_nppes: bool) -> None:
    expected = plain_network_summaries(
        plain_market(with_nppes), NATIONAL, MEDICARE_P50, LOCALITIES_OF_2026, with_nppes, SERVICES
    )
    rows = network_summaries(with_nppes)
    fields = [name.replace("payer", "network_name") for name in SummaryKey._fields]
    found = {(row["payer"], SummaryKey(*(row[name] for name in fields))): row for row in rows.iter_rows(named=True)}
    assert rows.height == len(found) and len({network.payer for _, network in found}) > 3
    assert_same_figures(found, expected)


def assert_same_figures(found: Mapping[Any, dict[str, Any]], expected: Mapping[Any, PlainSummary]) -> None:
    assert found.keys() == expected.keys()
    for key, summary in expected.items():
        row = found[key]
        assert [row[name] for name in COUNTS] == [getattr(summary, name) for name in COUNTS], key
        assert [row[name] for name in FIGURES] == pytest.approx([getattr(summary, name) for name in FIGURES]), key
        assert row["pct_of_medicare"] == pytest.approx(summary.pct_of_medicare), key
        assert row["pct_of_local_medicare"] == pytest.approx(summary.pct_of_local_medicare), key
        assert (row["month"], row["medicare_year"], row["methodology"]) == (MONTH, 2025, "2")
