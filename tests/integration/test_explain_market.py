"""`tic-rates explain` on a generated market: random cells, recomputed from their rows by the plain reading.

The files are listed by an index, zipped with others, published twice, plain, or changed a little; provider references
are remote, dead, relative or signed; payers are spelled in several ways, and rows fail every rule.
"""

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import polars as pl
import pytest

import flows.storage.parquet
import flows.tables.payer_builds
from flows.download.sources import Source
from flows.explain.cell import Question
from flows.explain.explain import explain
from flows.explain.show_bytes import price_text, read_value
from flows.orchestration.run import RunRequest, run
from flows.settings.values import Fetching
from flows.storage.layout import Layout
from tests.containers import gzipped, zipped
from tests.http_server import Page, Server, serve
from tests.integration.test_explain import question
from tests.integration.test_market import (
    MONTH,
    assert_same_figures,
    contents,
    national,
    nppes_lookup,
    plain_medians,
    utilization,
)
from tests.json_text import json_bytes
from tests.market_files import CODES, PLAIN_NPPES, SERVICES, market_file
from tests.plain_benchmarks import SummaryKey, _is_member, _summary, plain_providers
from tests.plain_extract import RateRow
from tests.plain_localities import localities_of_2026
from tests.plain_rates import PlainRate, _place, exclusion_of
from tests.plain_statements import PlainSources
from tests.plain_taxonomies import plain_tier

SIGNED = "/p/signed.json"


@dataclass(frozen=True)
class Market:
    """A published month, and what its sources hold."""

    output: Path
    sources: PlainSources

    @property
    def cells(self) -> pl.DataFrame:
        """Of payers and composites."""
        cells = pl.read_parquet(self.output / f"summaries/period={MONTH:%Y-%m}/summaries.parquet")
        return cells.filter(pl.col("payer_kind") != "benchmark")


def with_remote_references(seed: int, url: str) -> tuple[bytes, dict[str, bytes]]:
    """A file of the market with references elsewhere, and what is there, by path."""
    document = json.loads(market_file(seed))
    remote: dict[str, bytes] = {}
    for number, reference in enumerate(document["provider_references"][:5]):
        paths = (f"/p/{seed}-0.json", f"/mrf/near-{seed}.json", SIGNED, f"/p/{seed}-dead.json", f"/p/{seed}-4.json")
        groups = reference.pop("provider_groups")
        stated = (url + paths[0], f"near-{seed}.json", f"{url}{SIGNED}?sig=secret", url + paths[3], url + paths[4])
        reference["location"] = stated[number]
        content = (groups, {"provider_groups": groups})[number % 2]
        if number != 3:
            remote.setdefault(paths[number], json_bytes(content))
    return json_bytes(document), remote


def publish(server: Server) -> dict[str, bytes]:
    """Put six files behind an index on a server; the contents that are there, by path."""
    listed = []
    pages: dict[str, bytes] = {}
    for seed in range(6):
        data, remote = with_remote_references(seed, server.url)
        pages |= {path: content for path, content in remote.items() if path not in pages}
        pages[f"/mrf/{seed}.json"] = gzipped(data) if seed % 2 else data
        listed.append({"location": f"{server.url}/mrf/{seed}.json", "description": f"PPO {seed}"})
    server.pages |= {path: Page(content) for path, content in pages.items()}
    server.pages["/toc.json"] = Page(json_bytes({"reporting_structure": [{"in_network_files": listed}]}))
    return pages


def local_files() -> dict[str, bytes]:
    """Plain, gzip, zips of several members, one file twice, and one again of another day."""
    some = contents()
    again = market_file(8).replace(b"2026-03-15", b"2026-04-15")
    files = {f"{number}.json": content for number, content in enumerate(some[20:])}
    files |= {f"{seed}.json.gz": gzipped(market_file(seed)) for seed in (6, 7)}
    files["two.zip"] = zipped({"README.txt": b"Read me.", "a.json": market_file(8), "b/c.json": market_file(9)})
    files["odd.zip"] = zipped({f"{number}.json": content for number, content in enumerate(some[14:20])})
    return files | {"again.json": again, "twin.json": files["6.json.gz"], "alone.json": market_file(10)}


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Market:
    return publish_market(tmp_path_factory.mktemp("market"))


def publish_market(folder: Path) -> Market:
    """The files above, run."""
    (folder / "mrf").mkdir()
    files = local_files()
    for name, content in files.items():
        (folder / "mrf" / name).write_bytes(content)
    local = tuple(Source(str(folder / "mrf" / name)) for name in files)
    with serve({}) as server, pytest.MonkeyPatch.context() as patch:
        pages = publish(server)
        patch.setattr(flows.tables.payer_builds, "PAIRS_EACH", 1_000)
        patch.setattr(flows.storage.parquet, "ROW_GROUP_ROWS", 150)
        index = Source(f"{server.url}/toc.json")
        fetching = Fetching(attempts=1, allow_private=True)
        lookup = nppes_lookup(folder)
        request = RunRequest((index, *local), MONTH, CODES, folder / "output", lookup, workers=1, report=False)
        run(replace(request, utilization=utilization(folder), fetching=fetching))
        published = {hashlib.sha256(content).hexdigest(): content for content in (*files.values(), *pages.values())}
        return Market(folder / "output", PlainSources(published, published))


def plain_rate(rate: dict[str, Any]) -> PlainRate:
    """A published rate row without what was found out about its NPI, which is found again."""
    values = (tuple(rate[name]) if isinstance(rate[name], list) else rate[name] for name in RateRow._fields)
    found = PlainRate(RateRow._make(values), {*rate["source_ids"]}, rate["last_updated_on"], payer=rate["payer"])
    found.unresolved = rate["exclusion"] == "provider_unresolved"
    _place(found, PLAIN_NPPES, plain_tier)
    return found


def assert_cell(market: Market, row: dict[str, Any]) -> None:
    key = SummaryKey(*(row[name] for name in SummaryKey._fields))
    explained = explain(Layout.at(market.output), question(row))
    rates = [rate for frame in explained.rates() for rate in frame.iter_rows(named=True)]
    for rate in rates:
        market.sources.assert_stated(rate)
    plain = [plain_rate(rate) for rate in rates]
    for each in plain:
        each.exclusion = exclusion_of(each, PLAIN_NPPES)
    assert {each.exclusion for each in plain} == {None}
    providers = plain_providers(plain, national(), localities_of_2026(), SERVICES).values()
    counted = [each for each in providers if each.exclusion is None]
    assert all(_is_member(each, key.geography, key.taxonomy_tier, key.weighting) for each in counted)
    assert_same_figures({key: row}, {key: _summary(key, counted, plain_medians())})


def test_random_cells_are_what_their_rows_say(market: Market) -> None:
    for row in market.cells.sample(12, seed=1).iter_rows(named=True):
        assert_cell(market, row)


@pytest.mark.slow
def test_200_random_cells_are_what_their_rows_say(market: Market) -> None:
    cells = market.cells
    assert set(cells["weighting"]) == {"npi", "tin", "services"}
    assert set(cells["taxonomy_tier"]) == {"strict", "balanced", "all", "billed"}
    for row in cells.sample(200, seed=Random(2).randrange(1000)).iter_rows(named=True):
        assert_cell(market, row)


@pytest.mark.slow
def test_excluded_rows_fail_their_rule_and_are_in_their_sources(market: Market) -> None:
    layout, rules = Layout.at(market.output), set()
    for code in CODES:
        explained = explain(layout, Question(code, "All commercial", tier="all"))
        rows = [rate for frame in explained.excluded_rates() for rate in frame.iter_rows(named=True)]
        assert len(rows) == sum(explained.excluded.values())
        for rate in rows:
            market.sources.assert_stated(rate)
            assert exclusion_of(plain_rate(rate), PLAIN_NPPES) == rate["exclusion"]
        rules |= {rate["exclusion"] for rate in rows}
    assert rules >= {
        *("arrangement", "not_dollars", "bad_rate", "modifier", "place_of_service", "expired", "provider_unresolved"),
        *("no_npi", "npi_invalid", "npi_unknown", "npi_deactivated", "outside_us", "billing_class"),
    }
    files = pl.read_parquet(market.output / f"quality/period={MONTH:%Y-%m}/files.parquet")
    assert {row["index"] for row in explained.described_files} >= {None, *files["index"].drop_nulls()}


@pytest.mark.slow
def test_remote_references_have_their_sha256(market: Market) -> None:
    explained = explain(Layout.at(market.output), Question("97026", "All commercial", tier="all"))
    remote = {
        each["location"]: each["location_sha256"]
        for frame in (*explained.rates(), *explained.excluded_rates())
        for rate in frame.iter_rows(named=True)
        for each in rate["statements"]
        if each["location"]
    }
    names = {location.rpartition("/")[2]: sha256 is not None for location, sha256 in remote.items()}
    assert names.items() >= {("signed.json", True), ("near-0.json", True), ("0-0.json", True), ("0-dead.json", False)}
    assert "secret" not in json.dumps(remote)


@pytest.mark.slow
def test_an_npi_has_its_excluded_rows_by_rule(market: Market) -> None:
    """Also of an NPI without eligible rows, and of an invalid NPI."""
    layout = Layout.at(market.output)
    everyone = explain(layout, Question("97026", "All commercial", tier="all"))
    by_npi: dict[int, set[str]] = {}
    for frame in everyone.excluded_rates():
        for npi, rule in frame.filter(pl.col("npi") > 0).select("npi", "exclusion").iter_rows():
            by_npi.setdefault(npi, set()).add(rule)
    assert set().union(*by_npi.values()) >= {"npi_invalid", "npi_unknown", "npi_deactivated", "outside_us", "modifier"}
    for npi in sorted({rule: npi for npi, rules in by_npi.items() for rule in rules}.values()):
        explained = explain(layout, Question("97026", "All commercial", tier="all", npi=npi))
        rows = pl.concat(explained.excluded_rates())
        assert {*rows["npi"]} == {npi}
        assert {*rows["exclusion"]} >= by_npi[npi]
        assert rows["statements"].list.len().min() == 1


def test_the_price_shown_of_a_local_source_is_the_row(market: Market) -> None:
    layout = Layout.at(market.output)
    explained = explain(layout, Question("97026", "Aetna", tier="all"))
    names = dict(explained.files.select("source_id", "source").iter_rows())
    shown = 0
    for rate in (rate for frame in explained.rates() for rate in frame.iter_rows(named=True)):
        for each in rate["statements"]:
            path = Path(names[each["source_id"]])
            if "://" in names[each["source_id"]] or each["location"]:
                continue
            item = read_value(path, each["document"], each["item_offset"])
            offset = each["reference_offset"]
            text = price_text(item, rate, None if offset is None else read_value(path, each["document"], offset))
            assert text.startswith("at byte ") or b"\\" in item.bytes, text
            shown += text.startswith("at byte ")
    assert shown > 20
