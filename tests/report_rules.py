"""Published coverage rules made to order, beside the market of ``report_market``: editions built as the commands do."""

import json
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from itertools import product
from pathlib import Path
from random import Random
from typing import Any

import polars as pl

from flows.storage.parquet import write_table
from flows.tables.coverage_editions import build_coverage, build_ncci, find_editions
from schemas.codes import GEOGRAPHIES
from schemas.coverage import ARTICLE, COVERAGE, COVERAGE_EDITION, LCD, POLICY, PTP
from tests.coverage_files import (
    ARTICLES,
    CODES,
    LCDS,
    MUE_ROWS,
    NCDS,
    POLICIES,
    PTP_ROWS,
    Rows,
    mue_text,
    ptp_text,
    write_export,
)
from tests.report_market import MONTH
from transforms.cms.coverage_history import Edition, coverage_of

EARLIER, LATER = date(2025, 6, 1), date(2025, 6, 15)
Tables = Mapping[str, Rows]


def load_rules(
    folder: Path,
    edition: date,
    tables: Mapping[str, Tables] | None = None,
    policies: Sequence[str] = POLICIES,
    edits: Rows = PTP_ROWS,
    limits: Rows = MUE_ROWS,
) -> None:
    """One edition of every kind. tables: of the exports, by file name without ``.zip``."""
    downloads = folder / f"downloads-{edition}"
    downloads.mkdir(parents=True, exist_ok=True)
    exports = {"ncd": NCDS, "current_lcd": LCDS, "current_article": ARTICLES} if tables is None else tables
    paths = [write_export(downloads / f"{name}.zip", own) for name, own in exports.items()]
    if policies:
        paths.append(downloads / "policies.csv")
        paths[-1].write_text("\n".join(policies), encoding="utf-8")
    build_coverage(paths, folder / "editions", CODES, edition)
    (downloads / "ccipra-v323r0-f1.txt").write_bytes(ptp_text(edits))
    (downloads / "mue.csv").write_bytes(mue_text(limits))
    build_ncci(sorted(downloads.glob("[cm]*.[tc][xs][tv]")), folder / "editions", CODES, edition)


def publish_rules(output: Path, editions: Path) -> None:
    """Publish the editions built in a folder with `MONTH` of an output folder, as a run does."""
    publish_editions(output, [each.read() for each in find_editions(editions, MONTH)])


def publish_editions(output: Path, editions: Sequence[Edition]) -> None:
    """Put the ``coverage`` of `MONTH` into an output folder, and name the editions in its manifest."""
    path = output / "coverage" / f"period={MONTH:%Y-%m}" / "coverage.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_table(path, COVERAGE, [coverage_of(editions, CODES, MONTH)])
    manifest = json.loads((output / "manifest.json").read_bytes())
    manifest["months"][f"{MONTH:%Y-%m}"]["coverage"] = [
        {"kind": each.kind, "edition": each.date.isoformat(), "codes": sorted(each.codes), "made_from": ["a file"]}
        for each in editions
    ]
    (output / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


def large_editions(count: int, seed: int = 1) -> list[Edition]:
    """Editions of every kind, a week between them: 12 contractors over all geographies, long lists, and changes."""
    random = Random(seed)
    places = list(GEOGRAPHIES)
    found = []
    for number in range(count):
        on = LATER - timedelta(days=7 * (count - 1 - number))
        for kind, rows in (
            (LCD, _documents("L", number, places, random)),
            (ARTICLE, _documents("A", number, places, random)),
            (PTP, _edits(number)),
            (POLICY, _policies(number, places)),
        ):
            parts = frozenset(row["part"] for row in rows)
            table = pl.DataFrame(rows, schema=COVERAGE_EDITION.polars, orient="row")
            found.append(Edition(kind, on, frozenset(CODES), parts, table))
    return found


def _rule(**values: Any) -> dict[str, Any]:
    lists: dict[str, Any] = {
        "states": [],
        "diagnoses_covered": [],
        "diagnoses_not_covered": [],
        "related_documents": [],
    }
    return dict.fromkeys(COVERAGE_EDITION.names) | lists | {"part": "", "version": ""} | values


def _documents(letter: str, number: int, places: Sequence[str], random: Random) -> list[dict[str, Any]]:
    """Eight documents of each of 12 contractors, a tenth of them with another version or list than a week before."""
    rows = []
    for code, contractor, document in product(CODES, range(12), range(8)):
        version = 1 + number if (contractor + document) % 10 == number % 10 else 1
        diagnoses = [f"M{each // 100:02}.{each % 100}" for each in random.sample(range(3_000), 300)]
        for place in places[contractor::12]:
            rows.append(
                _rule(
                    billing_code=code,
                    authority=f"Contractor of a jurisdiction {contractor}, Inc.",
                    document_id=f"{letter}{30_000 + 100 * contractor + document}",
                    version=str(version),
                    geography=place,
                    title="Billing and Coding: Outpatient Physical and Occupational Therapy Services " * 4,
                    effective_date=date(2024, 1, 1),
                    source_url=f"https://example.org/{letter}?id={document}&ver={version}",
                    diagnoses_covered=diagnoses if letter == "A" else [],
                    diagnoses_not_covered=diagnoses[::7] if letter == "A" else [],
                )
            )
    return rows


def _edits(number: int) -> list[dict[str, Any]]:
    """Three thousand partners of each code, of which an edition adds some."""
    return [
        _rule(
            billing_code=code,
            authority="CMS",
            document_id=f"{code}/{10_000 + partner}",
            version="20200101",
            geography="US",
            effective_date=date(2020, 1 + partner % 12, 1),
            stance="bundled",
            partner_code=f"{10_000 + partner}",
            partner_column=1 + partner % 2,
            modifier_indicator="019"[partner % 3],
            source_url="https://example.org/ncci",
        )
        for code in CODES
        for partner in range(3_000 + 50 * number)
    ]


def _policies(number: int, places: Sequence[str]) -> list[dict[str, Any]]:
    """Forty payers with a policy for each place."""
    return [
        _rule(
            billing_code=code,
            authority=f"Payer {payer} of the Region",
            document_id=f"Policy {payer} for {place}",
            geography=place,
            title=f"Policy {payer} for {place}",
            stance=("covered", "restricted", "not_covered")[(payer + number) % 3],
            source_url="https://example.org/policy?" + "x" * 200,
            part=f"Payer {payer} of the Region",
        )
        for code, payer, place in product(CODES, range(40), places)
    ]
