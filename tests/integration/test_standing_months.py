"""What stays of a published month and what leaves it: blocks that left, payers that vanished, undated files."""

import random
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from schemas.reference import PAYERS, load_reference
from tests.command_line import Ended, call, digests
from tests.documents import ANN, BOB, document, group, item, price, rate, without
from tests.effort import usually
from tests.json_text import json_bytes

Capture = pytest.CaptureFixture[str]
Night = Callable[..., Ended]

MAY, JUNE = "2026-05", "2026-06"
AETNA, ACME, CIGNA = "Aetna Life Insurance Company", "Acme Health Plan", "Cigna Health Life Insurance Company"
SAME = ("summaries", "rates", "providers")


class Place:
    """A folder of files and a configuration whose blocks are given for each night."""

    def __init__(self, folder: Path, capsys: Capture) -> None:
        self.folder = folder
        self.capsys = capsys
        self.blocks: dict[str, list[str]] = {}
        self.settings: dict[str, str] = {}
        self.top = ""

    def write(self, name: str, rate_usd: float, entity: str | None, **changes: Any) -> Path:
        """A file with one price of a payer; of nobody's, where the header is to have no name."""
        prices = rate(group(ANN, BOB), prices=[price(negotiated_rate=rate_usd)])
        made = document(item(prices, **changes.pop("item", {})), **({"reporting_entity_name": entity} | changes))
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(json_bytes(made if entity else without(made, "reporting_entity_name")))
        return path

    def call(self, command: str, *words: object, output: str = "out") -> Ended:
        """A command with the blocks as they are now."""
        config = self.folder / "tic-rates.toml"
        blocks = [
            f'[[payer]]\nname = "{name}"\nfiles = {files}\n{self.settings.get(name, "")}\n'
            for name, files in self.blocks.items()
        ]
        config.write_text("\n".join([f'output = "{output}"', self.top, *blocks]))
        return call(self.capsys, command, "--config", config, "--json", *words)

    def night(self, *words: object, month: str = JUNE, output: str = "out") -> Ended:
        """A nightly run."""
        return self.call("nightly", "--month", month, *words, output=output)

    def clean(self, month: str = JUNE) -> dict[str, str]:
        """The tables of a first night of the same in an output of its own."""
        shutil.rmtree(self.folder / "clean", ignore_errors=True)
        assert self.night("--no-gates", month=month, output="clean").code in (0, 3)
        return self.tables(output="clean", month=month)

    def tables(self, output: str = "out", month: str = JUNE) -> dict[str, str]:
        """Digests of what is byte-identical for the same inputs."""
        found = digests(self.folder / output, *SAME) | digests(self.folder / output)
        return {path: digest for path, digest in found.items() if f"period={month}" in path}

    def rates(self, month: str = JUNE) -> dict[str, list[float]]:
        """The published rates of each payer."""
        place = self.folder / "out" / "rates" / f"period={month}" / "*" / "*.parquet"
        rates = pl.read_parquet(place, hive_partitioning=False)
        return dict(sorted(rates.group_by("payer").agg(pl.col("negotiated_rate").unique().sort()).iter_rows()))

    def quality(self, table: str = "files", month: str = JUNE) -> pl.DataFrame:
        """A table of quality."""
        return pl.read_parquet(self.folder / "out" / "quality" / f"period={month}" / f"{table}.parquet")

    def summary(self, payer: str) -> dict[str, Any]:
        """The national row of a payer or composite, without NPPES."""
        path = self.folder / "out" / "summaries" / f"period={JUNE}" / "summaries.parquet"
        rows = pl.read_parquet(path).filter(pl.col("payer") == payer, weighting="npi", geography="US")
        return rows.row(0, named=True)

    def expect_whole(self) -> None:
        """Every file behind a rate is listed, once by its source, and the counts add up."""
        rates = pl.read_parquet(
            self.folder / "out" / "rates" / f"period={JUNE}" / "*" / "*.parquet", hive_partitioning=False
        )
        files, excluded = self.quality(), self.quality("exclusions")
        assert files["source"].is_unique().all()
        assert set(rates["source_ids"].explode()) <= set(files["source_id"])
        behind = rates.explode("source_ids")
        by_file = dict(behind.group_by("source_ids").agg(pl.len()).iter_rows())
        assert {row["source_id"]: row["rows"] for row in files.iter_rows(named=True) if row["rows"]} == by_file
        assert excluded["rows"].sum() == behind.filter(pl.col("exclusion").is_not_null()).height


@pytest.fixture
def place(tmp_path: Path, capsys: Capture) -> Place:
    """Three payers in blocks of their own, two of them with files that the gates know from May."""
    made = Place(tmp_path, capsys)
    for month in (MAY, JUNE):
        made.write(f"{month}/aetna/1.json", 30.0, AETNA)
        made.write(f"{month}/aetna/2.json", 31.0, AETNA)
        made.write(f"{month}/acme/1.json", 40.0, ACME)
        made.write(f"{month}/cigna/1.json", 50.0, CIGNA)
    made.blocks = {name.title(): [f"{{month}}/{name}/*.json"] for name in ("aetna", "acme", "cigna")}
    return made


def reasons(ended: Ended, key: str = "withheld") -> Mapping[str, str]:
    return {each["payer"]: each["reason"] for each in ended.json_line[key]}


# ---- Blocks that leave or change their name -------------------------------------------------------------------------


def test_a_block_that_leaves_the_configuration_takes_its_rows_with_it(place: Place) -> None:
    place.night()
    del place.blocks["Acme"]
    ended = place.night()
    assert (ended.code, ended.json_line["status"], reasons(ended)) == (0, "published", {})
    assert list(place.rates()) == ["Aetna", "Cigna"]
    assert place.tables() == place.clean()
    place.expect_whole()


def test_a_renamed_block_publishes_what_a_first_night_does(place: Place) -> None:
    place.night()
    place.blocks["Zeta"] = place.blocks.pop("Acme")
    place.write(f"{JUNE}/acme/1.json", 41.0, ACME)
    assert place.night().code == 0
    assert place.rates()["Acme Health Plan"] == [41.0]
    assert place.tables() == place.clean()


def test_a_renamed_block_of_headerless_files_is_published_under_its_new_name_alone(place: Place) -> None:
    place.blocks["Old Name"] = ["{month}/nameless/*.json"]
    place.write(f"{JUNE}/nameless/1.json", 60.0, None)
    place.night()
    place.blocks["New Name"] = place.blocks.pop("Old Name")
    assert place.night().code == 0
    assert set(place.rates()) == {"Aetna", "Acme Health Plan", "Cigna", "New Name"}
    assert place.tables() == place.clean()


def test_a_run_of_one_payer_does_not_keep_a_block_that_left(place: Place) -> None:
    place.night()
    del place.blocks["Acme"]
    assert place.night("--payer", "Aetna").code == 0
    assert place.tables() == place.clean()


def test_the_order_of_blocks_does_not_decide_whose_a_headerless_file_is(place: Place) -> None:
    place.write(f"{JUNE}/nameless/1.json", 60.0, None)
    place.write(f"{JUNE}/twin/1.json", 60.0, None)
    named = {
        "Beta": ["{month}/twin/*.json"],
        "Alpha": ["{month}/nameless/*.json"],
        "Gamma": ["{month}/nameless/*.json"],
    }
    first = None
    for names in (("Alpha", "Beta", "Gamma"), ("Gamma", "Beta", "Alpha"), ("Beta", "Gamma", "Alpha")):
        place.blocks = {name: named[name] for name in names}
        place.night()
        assert place.rates() == {"Alpha": [60.0]}
        assert place.quality()["source"].is_unique().all()
        first = first or place.tables()
        assert place.tables() == first
        for name in names:
            place.night("--payer", name, "--force")
            assert place.tables() == first, f"after a run of {name} alone"


# ---- Payers that vanish ---------------------------------------------------------------------------------------------


def test_a_payer_that_vanishes_is_withheld_and_its_last_good_rows_stay(place: Place) -> None:
    place.night()
    before, buca = place.tables(), place.summary("BUCA")
    for path in (place.folder / JUNE / "aetna").iterdir():
        place.write(f"{JUNE}/aetna/{path.name}", 30.0, AETNA, item={"billing_code": "99213"})
    ended = place.night()
    assert (ended.code, ended.json_line["status"]) == (3, "published")
    assert reasons(ended) == {
        "Aetna": "no rows where the last publication of 2026-06 has 4 (gate withhold_vanished is true)"
    }
    assert place.tables() == before, "nothing else changed, so that all tables are the same bytes"
    assert place.summary("BUCA") == buca
    place.expect_whole()
    again = place.night()
    assert (again.code, again.json_line["status"], list(reasons(again))) == (3, "unchanged", ["Aetna"])


def test_a_payer_that_an_include_pattern_takes_out_is_withheld(place: Place) -> None:
    place.night()
    place.settings["Cigna"] = 'include = ["no such file"]'
    ended = place.night()
    assert (ended.code, list(reasons(ended))) == (3, ["Cigna"])
    assert place.rates()["Cigna"] == [50.0]
    place.expect_whole()
    lifted = place.night("--no-gates")
    assert (lifted.code, "Cigna" in place.rates()) == (0, False)


def test_a_payer_of_the_month_before_that_has_no_rows_in_the_new_month_is_named(place: Place) -> None:
    place.night(month=MAY)
    place.write(f"{JUNE}/cigna/1.json", 50.0, CIGNA, item={"billing_code": "99213"})
    ended = place.night()
    assert ended.code == 3
    assert reasons(ended) == {"Cigna": "no rows where 2026-05 has 2 (gate withhold_vanished is true)"}
    assert list(place.rates()) == ["Acme Health Plan", "Aetna"]


def test_a_payer_that_comes_back_is_published_again(place: Place) -> None:
    place.night()
    path = place.folder / JUNE / "cigna" / "1.json"
    good = path.read_bytes()
    place.write(f"{JUNE}/cigna/1.json", 50.0, CIGNA, item={"billing_code": "99213"})
    place.night()
    path.write_bytes(good)
    ended = place.night()
    assert (ended.code, place.tables()) == (0, place.clean())


# ---- Last good rows come from the published tables ------------------------------------------------------------------


@pytest.mark.parametrize("also_lost", ["nothing", "the cache"])
def test_a_withheld_payer_keeps_its_rows_without_the_cache(place: Place, also_lost: str) -> None:
    place.write(f"{JUNE}/aetna/1.json", 0.01, AETNA)  # an outlier
    place.write(f"{JUNE}/aetna/3.json", 33.0, AETNA, item={"negotiation_arrangement": "capitation"})
    place.write(f"{JUNE}/aetna/4.json", 34.0, AETNA)
    place.night()
    before = place.tables()
    (place.folder / JUNE / "aetna" / "1.json").write_bytes(b"<html>expired</html>")
    place.write(f"{JUNE}/aetna/4.json", 70.0, AETNA)
    if also_lost == "the cache":
        shutil.rmtree(place.folder / "out" / ".cache")
    ended = place.night()
    assert (ended.code, list(reasons(ended))) == (3, ["Aetna"])
    assert place.tables() == before
    place.expect_whole()
    files = {Path(row["source"]).name: row for row in place.quality().iter_rows(named=True) if "aetna" in row["source"]}
    assert (files["1.json"]["status"], "HTML" in files["1.json"]["reason"]) == ("quarantined", True)
    assert files["1.json"]["rows"] > 0, "the content that its published rows stand on"
    assert "withheld" in files["4.json"]["reason"]


def test_one_payer_alone_needs_nothing_of_the_cache(place: Place) -> None:
    place.night()
    shutil.rmtree(place.folder / "out" / ".cache")
    place.write(f"{JUNE}/acme/1.json", 41.0, ACME)
    place.write(f"{JUNE}/aetna/1.json", 29.0, AETNA)
    ended = place.night("--payer", "Acme")
    assert (ended.code, ended.json_line["status"]) == (0, "published")
    assert place.rates() == {"Acme Health Plan": [41.0], "Aetna": [30.0, 31.0], "Cigna": [50.0]}
    place.expect_whole()
    assert len(place.quality()) == 4
    place.write(f"{JUNE}/aetna/1.json", 30.0, AETNA)
    assert place.tables() == place.clean()


def test_one_payer_alone_and_then_all_of_them_unchanged_is_unchanged(place: Place) -> None:
    place.night()
    assert place.night("--payer", "Acme").json_line["status"] == "unchanged"
    place.write(f"{JUNE}/acme/1.json", 41.0, ACME)
    assert place.night("--payer", "Acme").json_line["status"] == "published"
    assert place.night().json_line["status"] == "unchanged"


def test_a_payer_in_two_blocks_is_read_from_both_where_one_is_asked_for(place: Place) -> None:
    place.blocks["Aetna East"] = ["{month}/east/*.json"]
    place.write(f"{JUNE}/east/1.json", 35.0, AETNA)
    place.night()
    place.write(f"{JUNE}/east/1.json", 36.0, AETNA)
    place.night("--payer", "Aetna East", "--no-gates")
    assert place.rates()["Aetna"] == [30.0, 31.0, 36.0]
    assert place.tables() == place.clean()


def test_a_file_of_two_payers_of_which_one_is_withheld_is_listed_with_both_contents(place: Place) -> None:
    place.write(f"{MAY}/aetna/1.json", 30.0, AETNA)
    place.night(month=MAY)
    place.blocks = {"Both": ["{month}/both.zip"]}
    both(place, 30.0, 40.0)
    place.night("--no-gates")
    both(place, 90.0, 40.5)
    ended = place.night()
    assert list(reasons(ended)) == ["Aetna"]
    assert place.rates() == {"Acme Health Plan": [40.5], "Aetna": [30.0]}
    place.expect_whole()
    assert len(place.quality()) == 2


def both(place: Place, aetna: float, acme: float) -> None:
    from zipfile import ZipFile

    with ZipFile(place.folder / JUNE / "both.zip", "w") as file:
        for entity, rate_usd in ((AETNA, aetna), (ACME, acme)):
            file.writestr(f"{entity}.json", place.write("member.json", rate_usd, entity).read_bytes())


def test_quality_files_has_one_row_for_a_source_of_a_withheld_payer(place: Place) -> None:
    place.night(month=MAY)
    place.night()
    place.write(f"{JUNE}/acme/1.json", 90.0, ACME)
    ended = place.night()
    assert list(reasons(ended)) == ["Acme Health Plan"]
    place.expect_whole()
    assert len(place.quality()) == 4


def test_rows_that_a_killed_publication_left_beside_older_observations_are_observed_again(place: Place) -> None:
    place.write(f"{JUNE}/aetna/1.json", 0.01, AETNA)
    place.night()
    before = place.tables()
    published = place.folder / "out" / "providers" / f"period={JUNE}" / "providers.parquet"
    pl.read_parquet(published).filter(pl.col("payer") != "Aetna").write_parquet(published)
    (place.folder / JUNE / "aetna" / "1.json").write_bytes(b"")
    assert list(reasons(place.night())) == ["Aetna"]
    assert place.tables() == before


def test_rates_of_an_earlier_version_get_the_columns_of_this_one(place: Place) -> None:
    place.night()
    before = place.rates()
    published = place.folder / "out" / "rates" / f"period={JUNE}" / "payer_slug=aetna" / "rates.parquet"
    pl.read_parquet(published).drop("network_names", "parent_company").write_parquet(published)
    (place.folder / JUNE / "aetna" / "1.json").write_bytes(b"")
    assert list(reasons(place.night())) == ["Aetna"]
    assert place.rates() == before
    place.expect_whole()


def test_a_payer_whose_names_the_table_now_gives_to_another_leaves(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.night()
    reviewed = load_reference(PAYERS)
    aetna = reviewed.filter(pl.col("payer") == "Aetna").head(1)
    changed = pl.concat([reviewed, aetna.with_columns(reporting_entity_name=pl.lit(ACME))])
    monkeypatch.setattr("transforms.benchmark.payers.load_reference", lambda _table: changed)
    ended = place.night("--force")
    assert (ended.code, reasons(ended)) == (0, {})
    assert place.rates() == {"Aetna": [30.0, 31.0, 40.0], "Cigna": [50.0]}
    assert place.tables() == place.clean()


def test_a_payer_published_by_a_run_vanishes_only_where_a_block_names_its_files(place: Place) -> None:
    place.write("elsewhere/1.json", 80.0, "Zeta Health Plan")
    out = place.folder / "out"
    call(place.capsys, "run", place.folder / JUNE, place.folder / "elsewhere", "--month", JUNE, "--output", out)
    assert len(place.rates()) == 4
    place.write(f"{JUNE}/cigna/1.json", 50.0, CIGNA, item={"billing_code": "99213"})
    ended = place.night()
    assert (ended.code, list(reasons(ended))) == (3, ["Cigna"])
    assert list(place.rates()) == ["Acme Health Plan", "Aetna", "Cigna"]


# ---- Past months of sources that name none --------------------------------------------------------------------------


@pytest.fixture
def undated(place: Place) -> Place:
    """Cigna's one address is the same in every month."""
    place.blocks["Cigna"] = ["cigna/*.json"]
    place.write("cigna/1.json", 50.0, CIGNA, last_updated_on="2026-06-10")
    return place


def backfill(place: Place, *words: object, first: str = MAY, last: str = JUNE) -> Ended:
    return place.call("backfill", "--from", first, "--to", last, *words)


def test_an_undated_file_is_no_past_months_history(undated: Place) -> None:
    ended = backfill(undated)
    assert ended.code == 0
    may, june = ended.json_line["months"]
    assert "Cigna" not in undated.rates(MAY)
    assert undated.rates(JUNE)["Cigna"] == [50.0]
    assert (may["sources"], june["undated"]) == ({"matched": 3, "undated": 1}, [])
    reason = reasons(may, "undated") if isinstance(may, Ended) else {e["payer"]: e["reason"] for e in may["undated"]}
    assert "2026-06-10" in reason["Cigna"] and 'undated = "any"' in reason["Cigna"]
    (row,) = undated.quality(month=MAY).filter(pl.col("status") == "undated").iter_rows(named=True)
    assert (row["rows"], "2026-06-10" in row["reason"]) == (0, True)


@pytest.mark.parametrize(
    ("updated", "counts"),
    [("2026-06-30", True), ("2026-07-01", False), ("2026-05-01", True), ("2026-04-30", False), (None, False)],
)
def test_the_month_and_the_31_days_before_it_are_a_months_own(
    undated: Place, updated: str | None, counts: bool
) -> None:
    undated.write("cigna/1.json", 50.0, CIGNA, last_updated_on=updated)
    undated.night()
    assert ("Cigna" in undated.rates()) == counts


@pytest.mark.parametrize("address", ["2026-06-01_cigna.json", "x/202606/cigna.json", "2026/06/cigna.json"])
def test_an_address_may_name_its_month_without_a_template(undated: Place, address: str) -> None:
    undated.blocks["Cigna"] = [address]
    undated.write(address, 50.0, CIGNA, last_updated_on="2026-11-02")
    backfill(undated)
    assert ("Cigna" in undated.rates(MAY), "Cigna" in undated.rates(JUNE)) == (False, True)


def test_undated_any_counts_in_every_month(undated: Place) -> None:
    undated.settings["Cigna"] = 'undated = "any"'
    undated.write("cigna/1.json", 50.0, CIGNA, last_updated_on="2026-11-02")
    assert backfill(undated).code == 0
    assert "Cigna" in undated.rates(MAY) and "Cigna" in undated.rates(JUNE)


def test_another_word_than_any_is_refused_by_line(undated: Place) -> None:
    undated.settings["Cigna"] = 'undated = "all"'
    ended = undated.night()
    assert (ended.code, ".undated: should be 'any'" in ended.err) == (2, True)


def test_the_current_month_takes_undated_files_as_they_are(undated: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    from datetime import date

    monkeypatch.setattr("flows.orchestration.months.this_month", lambda _timezone: date(2026, 6, 1))
    undated.write("cigna/1.json", 50.0, CIGNA, last_updated_on="2025-01-02")
    assert undated.night().code == 0
    assert undated.rates()["Cigna"] == [50.0]


def test_a_past_months_published_rows_outlive_the_file_that_they_came_from(undated: Place) -> None:
    assert undated.night().code == 0
    before = undated.tables()
    undated.write("cigna/1.json", 70.0, CIGNA, last_updated_on="2026-08-01")
    ended = undated.night()
    assert (ended.code, ended.json_line["status"]) == (0, "unchanged")
    assert [each["payer"] for each in ended.json_line["undated"]] == ["Cigna"]
    undated.write(f"{JUNE}/acme/1.json", 40.5, ACME)
    ended = undated.night()
    assert (ended.code, ended.json_line["status"]) == (0, "published")
    assert undated.rates() == {"Acme Health Plan": [40.5], "Aetna": [30.0, 31.0], "Cigna": [50.0]}
    undated.expect_whole()
    assert before.keys() == undated.tables().keys()


def test_a_month_of_undated_files_alone_fails_and_says_so(undated: Place) -> None:
    undated.blocks = {"Cigna": ["cigna/*.json"]}
    ended = backfill(undated)
    may, june = ended.json_line["months"]
    assert (ended.code, may["status"], june["status"]) == (3, "failed", "published")
    assert "its address names no month and its last_updated_on is 2026-06-10" in may["reason"]


@pytest.mark.parametrize("reader", ["scan", "ijson"])
@pytest.mark.parametrize(("updated", "counts"), [("2026-06-02", True), ("2026-11-02", False)])
def test_the_date_of_an_index_counts_for_its_files(place: Place, reader: str, updated: str, counts: bool) -> None:
    place.write("index/cigna.json", 50.0, CIGNA, last_updated_on="2026-11-02")
    listed = {"in_network_files": [{"location": "cigna.json", "description": "rates"}]}
    contents = {"reporting_entity_name": CIGNA, "reporting_structure": [listed], "last_updated_on": updated}
    (place.folder / "index" / "index.json").write_bytes(json_bytes(contents))
    place.blocks["Cigna"] = []
    place.settings["Cigna"] = 'contents = ["index/index.json"]'
    place.top = f'reader = "{reader}"'
    for _ in ("read", "kept"):
        place.night()
        place.write(f"{JUNE}/acme/1.json", 40.5, ACME)
        assert ("Cigna" in place.rates()) == counts


# ---- Whatever was published before ----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(usually(1, 40)))
def test_after_any_history_a_night_publishes_what_a_first_one_does(place: Place, seed: int) -> None:
    chance = random.Random(seed)
    place.write(f"{JUNE}/nameless/1.json", 60.0, None)
    every = place.blocks | {
        "Aetna East": ["{month}/aetna/2.json", "{month}/nameless/*.json"],
        "Nameless": ["{month}/nameless/*.json", "{month}/acme/*.json"],
    }
    names = ["aetna/1", "aetna/2", "acme/1", "cigna/1", "nameless/1"]
    entities = {"aetna": AETNA, "acme": ACME, "cigna": CIGNA, "nameless": None}

    def change_a_file() -> None:
        name = chance.choice(names)
        entity = chance.choice([entities[name.partition("/")[0]]] * 3 + [AETNA, "Zeta Health Plan", None])
        place.write(f"{JUNE}/{name}.json", chance.choice((30.0, 31.0, 35.5, 42.0)), entity)

    def change_the_blocks() -> None:
        kept = chance.sample(sorted(every), chance.randrange(2, len(every) + 1))
        renamed = {f"{name} Renamed" if chance.random() < 0.2 else name: every[name] for name in kept}
        place.blocks = dict(chance.sample(sorted(renamed.items()), len(renamed)))

    def delete_the_cache() -> None:
        shutil.rmtree(place.folder / "out" / ".cache", ignore_errors=True)

    def publish_some() -> None:
        for name in chance.sample(sorted(place.blocks), chance.randrange(1, len(place.blocks))):
            assert place.night("--payer", name, *chance.choice(((), ("--no-gates",)))).code in (0, 3, 4)
        if (place.folder / "out" / "quality" / f"period={JUNE}").exists():
            place.expect_whole()

    actions = [change_a_file, change_a_file, change_the_blocks, delete_the_cache, publish_some]
    done = []
    for _ in range(4):
        for _ in range(chance.randrange(1, 4)):
            action = chance.choice(actions)
            done.append(action.__name__)
            action()
        assert place.night("--no-gates").code == 0
        assert place.tables() == place.clean(), done
        place.expect_whole()
        for name in place.blocks:  # what one block needs is read with it: nothing changes
            place.night("--no-gates", "--payer", name, "--force")
            assert place.tables() == place.tables("clean"), (done, name)
