"""The demo's files against its answers: read once more here, plainly, by the rules of the contract alone."""

import csv
import gzip
import hashlib
import io
import json
import os
import re
import subprocess
import sys
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import polars as pl
import pytest

from flows.cli.demo_files import DemoFiles, write_market
from schemas.codes import EXCLUSIONS, GEOGRAPHIES
from tests.plain_evidence import Services, plain_evidence, plain_services, times
from transforms.demo.answers import COUNTS, FIGURES, LOCAL, Answers, Cell, answer, check_answers, check_rows
from transforms.demo.market import make_market

MONTH = date(2026, 11, 1)
PAYERS = {
    "Aetna Life Insurance Company": "Aetna",
    "Blue Cross and Blue Shield of Illinois": "Blue Cross Blue Shield",
    "Anthem Insurance Companies, Inc.": "Blue Cross Blue Shield",
    "Premera Blue Cross": "Blue Cross Blue Shield",
    "Cigna Health Life Insurance Company": "Cigna",
    "United HealthCare Services, Inc.": "UnitedHealth Group",
    "Prairie Lantern Health Cooperative": "Prairie Lantern Health Cooperative",
}
BUCA = {"Aetna", "Blue Cross Blue Shield", "Cigna", "UnitedHealth Group"}
CLASSES = {"professional", "both", "institutional"}
MEDICARE = {"97026": 6.79, "97028": 8.09}
STRICT = re.compile(r"225100000X|261QP2000X|2251[CEGHNPSX]\d{4}X")
BALANCED = re.compile(r"225X|111N|2081")

Row = tuple[Any, ...]
Nppes = dict[int, dict[str, str]]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> DemoFiles:
    return write_market(tmp_path_factory.mktemp("demo"), make_market(MONTH))


@pytest.mark.slow
def test_the_same_seed_writes_the_same_bytes(demo: DemoFiles, tmp_path: Path) -> None:
    """In another process, where strings hash differently."""
    code = (
        "import datetime, pathlib, sys\n"
        "from flows.cli.demo_files import write_market\n"
        "from transforms.demo.market import make_market\n"
        "write_market(pathlib.Path(sys.argv[1]), make_market(datetime.date(2026, 11, 1)))"
    )
    environment = os.environ | {"PYTHONHASHSEED": "4321", "TZ": "Asia/Tokyo"}
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, env=environment)
    again = {path.relative_to(tmp_path): _sha256(path) for path in tmp_path.rglob("*") if path.is_file()}
    assert again == {path.relative_to(demo.volumes.parent): _sha256(path) for path in _written(demo)}


@pytest.mark.slow
def test_another_seed_writes_another_market(demo: DemoFiles, tmp_path: Path) -> None:
    other = make_market(MONTH, seed=1)
    assert _sha256(write_market(tmp_path, other).sources[0]) != _sha256(demo.sources[0])
    assert answer(other) != answer(make_market(MONTH))


def test_any_day_of_the_month_is_the_month() -> None:
    assert make_market(date(2026, 11, 30)) == make_market(MONTH)


def test_every_file_is_one_json_document_of_moderate_size(demo: DemoFiles) -> None:
    for path in demo.sources:
        root = json.loads(_unpack(path))
        assert root["reporting_entity_name"] in PAYERS
        assert 10_000 < path.stat().st_size < 5_000_000
    assert sum(len(json.loads(_unpack(path))["in_network"]) for path in demo.sources) > 3_000


def test_every_container_and_shape_is_there(demo: DemoFiles) -> None:
    starts = {path.read_bytes()[:2] for path in demo.sources}
    assert starts == {b"\x1f\x8b", b"PK", b'{"', b"{\r"}
    roots = [list(json.loads(_unpack(path))) for path in demo.sources]
    assert any(keys[0] == "in_network" and "provider_references" not in keys for keys in roots)
    assert any(keys.index("provider_references") > keys.index("in_network") > 0 for keys in roots if len(keys) > 5)
    assert any(keys[-1] == "version" for keys in roots)
    several = demo.sources[2].read_bytes()
    assert several.count(b"\x1f\x8b\x08") > 1


def test_one_file_is_the_twin_of_another_and_one_has_no_match(demo: DemoFiles) -> None:
    assert len({_sha256(path) for path in demo.sources}) == len(demo.sources) - 1
    assert sum(not list(_rows(json.loads(_unpack(path), parse_float=Decimal))) for path in demo.sources) == 1


def test_every_demo_file_holds_the_codes_as_decoys(demo: DemoFiles) -> None:
    for path in demo.sources:
        items = json.loads(_unpack(path))["in_network"]
        assert any(
            item["billing_code_type"] == "RC" and item["billing_code"] == "97026"
            for item in items
            if "billing_code_type" in item
        )
        assert any("97028" in [part["billing_code"] for part in item.get("bundled_codes", [])] for item in items)


def test_nppes_is_laid_out_as_cms_does(demo: DemoFiles) -> None:
    with zipfile.ZipFile(demo.nppes) as archive:
        names = archive.namelist()
        data, header = (archive.read(name).decode() for name in names)
    assert names == ["npidata_pfile_20050523-20261108.csv", "npidata_pfile_20050523-20261108_fileheader.csv"]
    assert data.startswith('"NPI","Entity Type Code","Replacement NPI",')
    assert data.splitlines()[0] + "\n" == header
    assert {len(row) for row in csv.reader(io.StringIO(data))} == {330}
    assert all(line.startswith('"') and line.endswith('"') for line in data.splitlines())


@pytest.mark.slow
def test_a_plain_reading_of_the_files_comes_to_the_known_answers(demo: DemoFiles) -> None:
    rows = _all_rows(demo.sources)
    nppes = _nppes(demo.nppes)
    fates = [(row, _fate(row, updated, nppes)) for row, updated in rows.items()]
    rates = pl.DataFrame(
        [(PAYERS[row[0]], row[1], fate) for row, fate in fates],
        schema={"payer": pl.String, "billing_code": pl.String, "exclusion": pl.String},
        orient="row",
    )
    answers = answer(make_market(MONTH))
    assert check_rows(answers, rates).wrong == ()
    summaries = _summaries([row for row, fate in fates if fate is None], nppes, _services(demo.utilization))
    result = check_answers(without_local(answers), summaries)
    assert result.wrong == ()
    assert result.cells == summaries.height
    assert set(summaries["geography"]) == {"US", *GEOGRAPHIES}


@pytest.mark.slow
def test_no_rule_could_be_left_out_unnoticed(demo: DemoFiles) -> None:
    """Each rule moves some representative rate, or keeps some provider out: the market is not too tame."""
    nppes = _nppes(demo.nppes)
    fates = [(row, _fate(row, updated, nppes)) for row, updated in _all_rows(demo.sources).items()]
    eligible = [row for row, fate in fates if fate is None]
    right = _representatives(eligible)
    for rule in EXCLUSIONS:
        failing = [row for row, fate in fates if fate == rule.name and row[5] is not None]
        about_provider = {rule.name} == {_provider_fate(row[-1], nppes) for row in failing}
        let_in = [row for row in failing if about_provider or not _provider_fate(row[-1], nppes)]
        assert _representatives(eligible + let_in) != right, rule.name
    assert _representatives([(*row[:4], "negotiated", *row[5:]) for row in eligible]) != right
    assert any(usd < 0.1 * MEDICARE[key[1]] for key, usd in right.items())
    assert any(usd > 10 * MEDICARE[key[1]] for key, usd in right.items())


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _unpack(path: Path) -> bytes:
    content = path.read_bytes()
    if content[:2] == b"\x1f\x8b":
        return gzip.decompress(content)
    if content[:2] == b"PK":
        with zipfile.ZipFile(path) as archive:
            return archive.read(archive.namelist()[0])
    return content


def _all_rows(paths: Iterable[Path]) -> dict[Row, date]:
    """Distinct rate rows, with the latest last_updated_on of their files."""
    found: dict[Row, date] = {}
    for path in paths:
        root = json.loads(_unpack(path), parse_float=Decimal)
        updated = _date(root["last_updated_on"])
        assert updated is not None
        for row in _rows(root):
            found[row] = max(updated, found.get(row, updated))
    return found


def _rows(root: dict[str, Any]) -> Iterator[Row]:
    references = {
        _id(found["provider_group_id"]): found["provider_groups"] for found in root.get("provider_references", [])
    }
    for item in root["in_network"]:
        code, code_type = str(item["billing_code"]).strip(), item.get("billing_code_type")
        code_type = code_type.strip().upper() if code_type else None
        if code not in MEDICARE or code_type not in {"CPT", "HCPCS", None}:
            continue
        for rate in item["negotiated_rates"]:
            cited = [references.get(_id(cite)) for cite in rate.get("provider_references", [])]
            groups = [*rate.get("provider_groups", []), *(group for found in cited if found for group in found)]
            who = [
                (g["tin"]["type"], _digits(g["tin"]["value"]).zfill(9), int(_digits(npi)))
                for g in groups
                for npi in g["npi"]
            ]
            if None in cited or not groups:
                who.append((None, None, None))  # type: ignore[arg-type]
            for price in rate["negotiated_prices"]:
                start = (root["reporting_entity_name"], code, code_type, item["negotiation_arrangement"])
                for provider in who:
                    yield (*start, *_price(price), *provider)


def _digits(value: object) -> str:
    return re.sub(r"\D", "", str(value).removesuffix(".0"))


def _id(value: object) -> Decimal | str:
    text = str(value)
    return Decimal(text) if re.fullmatch(r"[\d.]+", text) else text


def _price(price: dict[str, Any]) -> Row:
    rate = price["negotiated_rate"]
    return (
        price["negotiated_type"],
        None if rate is None or rate == "N/A" else float(rate),
        price["billing_class"].strip().lower(),
        price.get("setting"),
        _codes(price.get("service_code")),
        _codes(price.get("billing_code_modifier")),
        _date(price["expiration_date"]),
    )


def _codes(values: list[str] | None) -> tuple[str, ...]:
    return tuple(sorted({value.strip().upper() for value in values or [] if value.strip()}))


def _date(text: str) -> date | None:
    text = text.split(" ", maxsplit=1)[0].split("T", maxsplit=1)[0]
    if text == "9999-12-31":
        return None
    return datetime.strptime(text, "%m/%d/%Y").date() if "/" in text else date.fromisoformat(text)


def _nppes(path: Path) -> Nppes:
    with zipfile.ZipFile(path) as archive:
        data = archive.read(archive.namelist()[0]).decode()
    return {int(row["NPI"]): row for row in csv.DictReader(io.StringIO(data))}


def _fate(row: Row, updated: date, nppes: Nppes) -> str | None:  # noqa: PLR0911
    """The contract's table of exclusions, top to bottom."""
    _, _, _, arrangement, kind, rate, billing_class, _, places, modifiers, ends, _, _, npi = row
    if arrangement != "ffs":
        return "arrangement"
    if kind not in {"negotiated", "derived", "fee schedule"}:
        return "not_dollars"
    if rate is None or rate <= 0:
        return "bad_rate"
    if set(modifiers) - {"GP", "GO", "GN", "KX", "59", "96", "97", "00"}:
        return "modifier"
    if billing_class in {"professional", "both"} and places and not {"11", "CSTM-00"} & set(places):
        return "place_of_service"
    if ends and ends < updated:
        return "expired"
    return _provider_fate(npi, nppes) or (None if billing_class in CLASSES else "billing_class")


def _provider_fate(npi: int | None, nppes: Nppes) -> str | None:
    if not npi:
        return "provider_unresolved" if npi is None else "no_npi"
    if not _luhn(f"80840{npi}"):
        return "npi_invalid"
    if npi not in nppes:
        return "npi_unknown"
    if nppes[npi]["NPI Deactivation Date"] and not nppes[npi]["NPI Reactivation Date"]:
        return "npi_deactivated"
    country = nppes[npi]["Provider Business Practice Location Address Country Code (If outside U.S.)"]
    return None if _state(npi, nppes) in GEOGRAPHIES and country in {"", "US", "PR"} else "outside_us"


def _luhn(digits: str) -> bool:
    total = sum(map(int, digits[-1::-2])) + sum(sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return total % 10 == 0


def _state(npi: int, nppes: Nppes) -> str:
    return nppes[npi]["Provider Business Practice Location Address State Name"]


def _tiers(npi: int, code: str, nppes: Nppes) -> list[str]:
    taxonomies = [nppes[npi][f"Healthcare Provider Taxonomy Code_{place}"] for place in range(1, 16)]
    if any(STRICT.fullmatch(taxonomy) for taxonomy in taxonomies):
        return ["strict", "balanced", "all"]
    plausible = any(BALANCED.match(taxonomy) for taxonomy in taxonomies)
    skin = code == "97028" and any(taxonomy.startswith("207N") for taxonomy in taxonomies)
    return ["balanced", "all"] if plausible or skin else ["all"]


def _representatives(rows: Iterable[Row]) -> dict[Row, float]:
    """By (payer, code, class, tin, npi): the median of the best type's distinct rates."""
    quoted: dict[Row, dict[str, set[float]]] = defaultdict(lambda: defaultdict(set))
    for name, code, _, _, kind, rate, billing_class, *_, tin, npi in rows:
        simple = billing_class if billing_class not in {"professional", "both"} else "professional"
        quoted[PAYERS[name], code, simple, tin, npi][kind].add(rate)
    order = ("negotiated", "derived", "fee schedule")
    return {
        key: median(kinds[min(kinds, key=lambda kind: order.index(kind) if kind in order else 3)])
        for key, kinds in quoted.items()
    }


def _services(paths: Iterable[Path]) -> Services:
    """Of the latest year that is not after the month's, both places of service together."""
    years = {2000 + int(path.name.partition("_D")[2][:2]): path for path in paths}
    text = years[max(year for year in years if year <= MONTH.year)].read_text("latin-1")
    rows = csv.DictReader(io.StringIO(text))
    return plain_services((int(row["Rndrng_NPI"]), row["HCPCS_Cd"], Decimal(row["Tot_Srvcs"])) for row in rows)


def _summaries(rows: Iterable[Row], nppes: Nppes, services: Services) -> pl.DataFrame:
    """Sections of the contract in order: representative rate, outliers, observations, percentiles by numpy."""
    pools: dict[Row, dict[Row, list[float]]] = defaultdict(lambda: defaultdict(list))
    members: dict[Row, list[Row]] = defaultdict(list)
    repeated: dict[Row, int] = defaultdict(lambda: 1)
    for (payer, code, simple, tin, npi), usd in _representatives(rows).items():
        if not 0.1 * MEDICARE[code] <= usd <= 10 * MEDICARE[code]:
            continue
        evidence, billed = plain_evidence(services, npi, code)
        tiers = [*_tiers(npi, code, nppes), *(["billed"] if evidence in ("billed", "related") else [])]
        holders = [("npi", npi), ("tin", tin), *([] if billed is None else [("services", (npi,))])]
        repeated[payer, code, (npi,)] = times(billed)
        for shown in {payer, "All commercial", "BUCA" if payer in BUCA else payer}:
            for geography in ("US", _state(npi, nppes)):
                for tier in tiers:
                    for weighting, who in holders:
                        cell = (code, simple, shown, geography, tier, weighting)
                        pools[cell][payer, code, who].append(usd)
                        members[cell].append((npi, tin))
    return pl.DataFrame([_summary(cell, pools[cell], members[cell], repeated) for cell in pools])


def _summary(cell: Row, pool: dict[Row, list[float]], members: list[Row], repeated: dict[Row, int]) -> dict[str, Any]:
    observations = np.array([usd for who, values in pool.items() for usd in [median(values)] * repeated[who]])
    figures = [
        observations.mean(),
        observations.min(),
        *np.percentile(observations, (10, 25, 50, 75, 90)),
        observations.max(),
    ]
    counts = [len({npi for npi, _ in members}), len({tin for _, tin in members})]
    names = (*Cell._fields, *COUNTS, *(name for name in FIGURES if name != LOCAL))
    return {"month": MONTH, LOCAL: None} | dict(zip(names, (*cell, *counts, *map(float, figures)), strict=True))


def without_local(answers: Answers) -> Answers:
    """The answers but for the percent of the local amount: the plain reading of a market in tests has it."""
    cells = {
        cell: {name: figures[name] for name in figures if name != LOCAL} for cell, figures in answers.cells.items()
    }
    return replace(answers, cells=cells)


def _written(demo: DemoFiles) -> Iterator[Path]:
    editions = (path for edition in demo.editions for path in (*edition.coverage, *edition.ncci))
    yield from (*demo.sources, demo.nppes, *demo.utilization, demo.volumes, *editions)
