"""Every kept row of coverage rules equals a plain reading: of generated files with all the traps of the published ones.

The traps: Latin-1, UTF-8 and Windows-1252 bytes; HTML with line ends; cells beyond csv's limit; columns in another
order, in another case and new ones; retired and inactive documents; contractors of several versions whose
jurisdictions ended; parts of states and foreign places; related documents that are blank or 0; dates in their
spellings; titles that begin with RETIRED; ends before the beginning; diagnoses and codes that are listed twice.
"""

import random
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from flows.tables.coverage_editions import build_coverage, build_ncci, find_editions
from schemas.coverage import COVERAGE_EDITION
from tests.coverage_files import AMA, Rows, mue_text, ncd, ptp_text, write_export
from tests.plain_coverage import (
    STATES,
    plain_articles,
    plain_edits,
    plain_lcds,
    plain_limits,
    plain_ncds,
    plain_tables,
)
from transforms.demo.rules import HEADERS

CODES = ("97026", "97028")
SECTIONS = {"97026": "270.6", "97028": "250.1"}
ABBREVIATIONS = [*STATES, "FC"]
NAMED = {"FC": "Foreign Country", "UN": "New York - Upstate", "EK": "Kansas - Eastern", "WM": "Missouri - Western"}
WORDS = (
    "d\xe9tails",
    "na\xc3\xafve",
    "\x93quoted\x94",
    "<b>bold</b>",
    "&amp;",
    "RETIRED",
    "two\r\nlines",
    'a "word"',
    "A, b",
)


class Maker:
    """Generated tables of exports."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.contractors = [(str(n), kind, version) for n in (10, 11) for kind in ("8", "12") for version in ("1", "2")]
        self.lcd_ids = [str(number) for number in range(33_000, 33_006)]
        self.tables: dict[str, Rows] = {
            "contractor": [(*key, self.chance.choice(("MAC, Inc.", f"MAC {key[0]}"))) for key in self.contractors],
            "contractor_jurisdiction": [
                (*key, str(state), "2015-10-01", self.chance.choice(("", "", "2020-01-01 00:00:00")))
                for key in self.contractors
                for state in self.chance.sample(range(len(ABBREVIATIONS)), 3)
            ]
            + [(*key, "0", "2015-10-01", "") for key in self.contractors],
            "state_lookup": [(str(n), short, NAMED.get(short, "")) for n, short in enumerate(ABBREVIATIONS)],
            "update_period": [("1", "2026-09-21", "2026-09-28 00:00:00")],
        }

    def text(self) -> str:
        return " ".join(self.chance.choices(WORDS, k=3))

    def date(self) -> str:
        year, month, day = self.chance.randrange(1995, 2030), self.chance.randrange(1, 13), self.chance.randrange(1, 29)
        spellings = ("{0}-{1:02}-{2:02} 00:00:00", "{0}-{1:02}-{2:02}", "{1:02}/{2:02}/{0}", "{0}{1:02}{2:02}")
        return self.chance.choice(spellings).format(year, month, day)

    def long(self) -> str:
        return "<p>long\r\n</p>" * (20_000 if self.chance.random() < 0.05 else 1)

    def maybe(self, make: Callable[[], str]) -> str:
        return make() if self.chance.random() < 0.4 else ""

    def articles(self) -> dict[str, Rows]:
        documents = [(str(50_000 + n), str(self.chance.randrange(1, 30))) for n in range(30)]
        pick = self.chance.choice
        return self.tables | {
            "article": [
                (
                    *each,
                    self.text(),
                    pick("AAAR"),
                    self.maybe(self.date),
                    self.date(),
                    self.maybe(self.date),
                    self.long(),
                )
                for each in documents
            ],
            "article_x_hcpc_code": [
                (*each, code, "2026", pick("12"), AMA, AMA)
                for each in documents
                for code in self.chance.choices((*CODES, "97110", "0097026"), k=3)
            ],
            "article_x_hcpc_code_group": [(*each, group, self.long()) for each in documents for group in "12"],
            "article_x_icd10_covered": [
                (*pick(documents), f"M{self.chance.randrange(30)}", "2026", "1", self.text()) for _ in range(200)
            ],
            "article_x_icd10_noncovered": [
                (*pick(documents), f"E{self.chance.randrange(30)}", "2026", "1", self.text()) for _ in range(60)
            ],
            "article_related_documents": [(*pick(documents), pick((*self.lcd_ids, "", "0"))) for _ in range(50)],
            "article_x_contractor": [
                (*each, *contractor) for each in documents for contractor in self.chance.sample(self.contractors, 2)
            ],
        }

    def lcds(self) -> dict[str, Rows]:
        return self.tables | {
            "lcd": [
                (
                    each,
                    "4",
                    self.text(),
                    "D",
                    self.chance.choice("AAR"),
                    self.date(),
                    self.maybe(self.date),
                    self.long(),
                )
                for each in self.lcd_ids
            ],
            "lcd_x_contractor": [
                (each, "4", *key) for each in self.lcd_ids for key in self.chance.sample(self.contractors, 2)
            ],
        }

    def ncds(self) -> dict[str, Rows]:
        sections = ("270.6", "250.1", "270.60", "27.06")
        return {
            "update_period": self.tables["update_period"],
            "ncd_trkg": [
                ncd(
                    str(n),
                    "1" if n < 4 else str(n),
                    self.chance.choice("123 "),
                    section,
                    self.text(),
                    self.date(),
                    self.maybe(self.date),
                )
                for n, section in enumerate(sections * 3)
            ],
        }

    def arranged(self, tables: Mapping[str, Rows]) -> tuple[dict[str, Rows], dict[str, str]]:
        """The same tables with their columns in another order and case, and new ones between; and their headers."""
        rows: dict[str, Rows] = {}
        headers = {}
        for name, own in tables.items():
            header = [*HEADERS[name].split(), "new_one"]
            order = self.chance.sample(range(len(header)), len(header))
            headers[name] = " ".join(self.chance.choice((header[n], header[n].upper())) for n in order)
            rows[name] = [[[*row, "new"][n] for n in order] for row in own]
        return rows, headers


def kept(folder: Path, kind: str) -> list[dict[str, Any]]:
    """The rows of a built edition."""
    (edition,) = (each for each in find_editions(folder) if each.kind == kind)
    return edition.read().rows.drop("part", "text_digest").to_dicts()


def in_order(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    names = [name for name in COVERAGE_EDITION.names if name not in ("part", "text_digest")]
    return sorted(
        ({name: row[name] for name in names} for row in rows), key=lambda row: [row[n] for n in COVERAGE_EDITION.grain]
    )


@pytest.mark.parametrize("seed", range(3))
def test_exports_equal_a_plain_reading(seed: int, tmp_path: Path) -> None:
    maker = Maker(seed)
    paths = {}
    for name, tables in (("current_article", maker.articles()), ("current_lcd", maker.lcds()), ("ncd", maker.ncds())):
        paths[name] = write_export(tmp_path / f"{name}.zip", *maker.arranged(tables))
    build_coverage(list(paths.values()), tmp_path / "built", CODES)
    plain = {name: plain_tables(path) for name, path in paths.items()}
    articles = plain_articles(plain["current_article"], CODES)
    assert in_order(kept(tmp_path / "built", "article")) == in_order(articles)
    assert in_order(kept(tmp_path / "built", "lcd")) == in_order(plain_lcds(plain["current_lcd"], articles))
    assert in_order(kept(tmp_path / "built", "ncd")) == in_order(plain_ncds(plain["ncd"], SECTIONS))
    assert len(articles) > 20
    assert not any(AMA.encode() in path.read_bytes() for path in (tmp_path / "built").glob("*/*"))


@pytest.mark.parametrize("seed", range(3))
def test_ncci_equals_a_plain_reading(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    codes = (*CODES, "97110", "0001A", "G0283", "97140")

    def edit() -> tuple[str, ...]:
        pair = chance.sample(codes, 2)
        effective = f"{chance.randrange(1996, 2026)}{chance.randrange(1, 13):02}01"
        rationale = chance.choice(("Misuse of codes", "\x93separate\x94 procedure", "Standards, policy"))
        return (
            *pair,
            chance.choice(("", "*")),
            effective,
            chance.choice(("*", "20231231")),
            chance.choice("019"),
            rationale,
        )

    edits = list({row[:2] + row[3:4]: row for row in (edit() for _ in range(60))}.values())
    texts = [ptp_text(edits[:30]), ptp_text(edits[30:])]
    for number, text in enumerate(texts, 1):
        (tmp_path / f"ccipra-v323r0-f{number}.txt").write_bytes(text)
    limits = mue_text(
        [(code, str(chance.randrange(9)), f"{chance.randrange(1, 4)} Edit", "Nature, of") for code in codes]
    )
    (tmp_path / "MUE_Eff_10-01-2026.csv").write_bytes(limits)
    build_ncci(sorted(tmp_path.iterdir()), tmp_path / "built", CODES)
    expected = [row for text in texts for row in plain_edits(text, CODES)]
    assert in_order(kept(tmp_path / "built", "ncci_ptp")) == in_order(expected)
    assert in_order(kept(tmp_path / "built", "mue")) == in_order(plain_limits(limits, CODES))
    assert len(expected) > 20
