"""Coverage rules as pages show them: what counts at a place, what changed, and what a page can hold."""

from collections.abc import Iterable
from datetime import date
from typing import Any

import polars as pl
import pytest

from schemas.coverage import COVERAGE
from transforms.report.rules import MOST_DOCUMENTS, MOST_PARTNERS, CodeRules, describe_changes

MONTH, FIRST, LAST = date(2026, 6, 1), date(2026, 6, 1), date(2026, 6, 15)
KINDS = ("ncd", "lcd", "article", "ncci_ptp", "mue", "payer_policy")
TWO_EDITIONS = [
    {"kind": kind, "edition": str(day), "codes": ["97026"], "made_from": []} for kind in KINDS for day in (FIRST, LAST)
]


def rule(kind: str = "article", geography: str = "AK", **values: Any) -> dict[str, Any]:
    empty = dict.fromkeys(COVERAGE.names) | {column.name: [] for column in COVERAGE if column.dtype.startswith("list")}
    usual = {
        "month": MONTH,
        "billing_code": "97026",
        "kind": kind,
        "authority": "Lantern MAC",
        "document_id": "A1",
        "version": "1",
        "geography": geography,
        "title": "Heat",
        "status": "in_force",
        "first_seen": FIRST,
        "last_seen": LAST,
    }
    return empty | usual | values


def edit(partner: str, **values: Any) -> dict[str, Any]:
    own = {"partner_code": partner, "partner_column": 2, "modifier_indicator": "1", "effective_date": date(2020, 1, 1)}
    return rule("ncci_ptp", "US", authority="CMS", document_id=f"97026/{partner}", **(own | values))


def rules_of(rows: Iterable[dict[str, Any]], editions: Iterable[dict[str, Any]] = TWO_EDITIONS) -> CodeRules:
    return CodeRules(
        "97026", pl.DataFrame([*rows], schema=COVERAGE.polars, orient="row").sort(COVERAGE.grain), editions
    )


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("new", "new"),
        ("text", "text changed"),
        ("title: A -> B", "title changed"),
        ("source_url: https://a -> https://b", "address changed"),
        ("effective_date: 2025-01-01 -> 2025-02-01", "effective date changed from 2025-01-01 to 2025-02-01"),
        ("end_date: none -> 2026-01-01", "end date changed from none to 2026-01-01"),
        ("stance: not_covered -> covered", "stance changed from not covered to covered"),
        ("unit_limit: 1 -> 2", "unit limit changed from 1 to 2"),
        ("version: 16 -> 17", "version changed from 16 to 17"),
        ("diagnoses_covered added: A, B", "covering diagnoses added (2): A and B"),
        ("diagnoses_not_covered removed: A", "diagnoses that are not covering removed (1): A"),
        ("superseded by version 3", "superseded by version 3"),
    ],
)
def test_changes_are_told_in_words(change: str, told: str) -> None:
    assert describe_changes([change]) == told


def test_a_change_of_hundreds_of_diagnoses_is_their_number_and_the_first() -> None:
    told = describe_changes([f"diagnoses_covered added: {', '.join(f'M{n}' for n in range(300))}"])
    assert told.startswith("covering diagnoses added (300): M0, M1")
    assert told.endswith("and 292 others")


def test_a_state_has_its_own_documents_and_the_national_ones_and_the_nation_has_all() -> None:
    rows = [rule(), rule(geography="WA"), rule("ncd", "US", document_id="270.6", authority="CMS")]
    rules = rules_of([*rows, rule(document_id="A2", geography="NY", authority="Harbor MAC")])
    assert [each.name for each in rules.at("NY").documents] == ["NCD 270.6, version 1", "Article A2, version 1"]
    assert [each.name for each in rules.at("TX").documents] == ["NCD 270.6, version 1"]
    assert [(each.name, each.geographies) for each in rules.at("US").documents] == [
        ("NCD 270.6, version 1", ("US",)),
        ("Article A2, version 1", ("NY",)),
        ("Article A1, version 1", ("AK", "WA")),
    ]


def test_a_document_that_differs_by_state_is_shown_for_each() -> None:
    rows = [rule(), rule(geography="WA", changed_on=LAST, changes=["state added"])]
    found = rules_of(rows).at("US").documents
    assert [(each.geographies, each.is_news) for each in found] == [(("AK",), False), (("WA",), True)]


def test_a_change_is_news_where_the_latest_edition_made_it() -> None:
    earlier, later = (
        rule(document_id=f"A{n}", changed_on=day, changes=["text"]) for n, day in enumerate((FIRST, LAST))
    )
    page = rules_of([earlier, later]).at("AK")
    assert [(each.change.edition, each.is_news) for each in page.documents if each.change] == [
        (FIRST, False),
        (LAST, True),
    ]
    assert page.sentences[-1] == "With the latest editions, 1 of them changed."


def test_a_policy_is_news_by_the_latest_edition_that_names_its_payer() -> None:
    named = rule("payer_policy", "US", authority="Aetna", last_seen=FIRST, changed_on=FIRST, changes=["new"])
    other = rule("payer_policy", "US", authority="Cigna", document_id="B")
    page = rules_of([named, other]).at("AK")
    assert [(each.authority, each.is_news) for each in page.policies] == [("Aetna", True), ("Cigna", False)]


def test_what_ended_or_was_withdrawn_with_the_latest_edition_is_listed_apart() -> None:
    gone: dict[str, Any] = {"changed_on": LAST, "changes": ["withdrawn"], "status": "withdrawn"}
    old = gone | {"changed_on": FIRST}
    rows = [rule(), rule(document_id="A2", **gone), rule(document_id="A3", **old), rule(document_id="A4", **gone)]
    page = rules_of([*rows, rule(document_id="A5", status="superseded")]).at("AK")
    assert [each.name for each in page.documents] == ["Article A1, version 1"]
    assert [each.name for each in page.gone] == ["Article A2, version 1", "Article A4, version 1"]
    assert page.sentences[-1] == "With the latest editions, 2 ended or were withdrawn."


def test_of_a_withdrawn_document_the_latest_version_is_listed() -> None:
    gone: dict[str, Any] = {"changed_on": LAST, "changes": ["withdrawn"], "status": "withdrawn"}
    page = rules_of(rule(version=version, **gone) for version in ("9", "10", "2")).at("AK")
    assert [each.name for each in page.gone] == ["Article A1, version 10"]
    assert page.sentences[-1] == "With the latest editions, 1 ended or was withdrawn."


def test_partners_are_listed_by_column_and_modifier_with_their_dates() -> None:
    rows = [edit("97028"), edit("97035", modifier_indicator="0"), edit("97140", partner_column=1)]
    ended = edit("97150", status="ended", end_date=date(2024, 1, 1))
    future = edit("97032", status="future", effective_date=date(2026, 7, 1))
    edits = rules_of([*rows, ended, future]).at("AK").edits
    assert [(each.text, each.codes) for each in edits.groups] == [
        ("not paid beside 97026 (modifier indicator 0: no modifier allows both)", {"since 2020-01-01": ["97035"]}),
        (
            "not paid beside 97026 (modifier indicator 1: a modifier can allow both)",
            {"since 2020-01-01": ["97028"], "from 2026-07-01": ["97032"]},
        ),
        (
            "97026 is not paid beside them (modifier indicator 1: a modifier can allow both)",
            {"since 2020-01-01": ["97140"]},
        ),
    ]
    assert edits.count == 4


def test_changed_edits_are_told_by_what_changed() -> None:
    new = [edit(f"9{n:04}", changed_on=LAST, changes=["new"]) for n in range(20)]
    dropped = edit("97140", status="withdrawn", changed_on=LAST, changes=["withdrawn"])
    page = rules_of([*new, dropped]).at("US")
    assert page.edits.changes[0].startswith("new: 90000, 90001")
    assert page.edits.changes[1] == "withdrawn: 97140"
    assert page.sentences[-1] == "With the latest editions, the edits with 21 codes changed."


def test_long_lists_are_cut_and_say_how_many_more_there_are() -> None:
    documents = [rule(document_id=f"A{n:03}", diagnoses_covered=[f"M{k}" for k in range(300)]) for n in range(99)]
    documents[-1] |= {"changed_on": LAST, "changes": ["text"]}
    page = rules_of([*documents, *(edit(f"{n:05}") for n in range(3_000))]).at("AK")
    assert (len(page.documents), page.left_out["documents"]) == (MOST_DOCUMENTS, 99 - MOST_DOCUMENTS)
    assert page.documents[-1].name == "Article A098, version 1"  # news comes before what did not change
    assert len(page.documents[0].says[0]) < 120
    (group,) = page.edits.groups
    assert (group.count, group.left_out) == (3_000, 3_000 - MOST_PARTNERS)


@pytest.mark.parametrize(
    ("url", "link"),
    [
        ("https://example.org/a?b=1", "https://example.org/a?b=1"),
        ("HTTP://example.org", "HTTP://example.org"),
        ("javascript:alert(1)", ""),
        ("https:javascript:alert(1)", ""),
        (" \tjavascript:alert(1)//https://example.org", ""),
        ("data:text/html,<script>", ""),
        ("//example.org", ""),
        ("https://example.org/\nx", ""),
        (f"https://example.org/{'x' * 10_000}", ""),
        (None, ""),
    ],
)
def test_only_addresses_of_the_web_are_links(url: str | None, link: str) -> None:
    (document,) = rules_of([rule(source_url=url)]).at("AK").documents
    assert document.url == link


def test_texts_are_one_line_of_bounded_length_without_controls() -> None:
    policy = rule("payer_policy", title="a\u202e\nb" + "x" * 5_000_000, authority="y" * 1_000, document_id="z")
    (shown,) = rules_of([policy]).at("AK").policies
    assert shown.name.startswith("a\ufffd b") and len(shown.name) <= 120
    assert len(shown.authority) <= 120


def test_a_limit_says_its_units_and_whether_by_line_or_day() -> None:
    limit = {"authority": "CMS", "document_id": "97026", "version": "", "unit_limit": 3, "stance": "units"}
    by_day = rules_of([rule("mue", "US", adjudication_indicator="2", **limit)]).at("AK").documents
    by_line = rules_of([rule("mue", "US", adjudication_indicator="1", **limit | {"unit_limit": 1})]).at("AK").documents
    assert [each.says for each in (*by_day, *by_line)] == [
        ("At most 3 units a day (policy)",),
        ("At most 1 unit a claim line",),
    ]


def test_one_edition_has_nothing_to_compare_with() -> None:
    page = rules_of([rule(last_seen=FIRST)], TWO_EDITIONS[::2]).at("AK")
    assert page.sentences == [
        "1 article concerns CPT 97026 in Alaska.",
        "There is one edition of each kind, so there is no change to show yet.",
    ]


def test_a_code_that_no_edition_is_of_is_said_to_be_so() -> None:
    page = rules_of([], [{"kind": "lcd", "edition": "2026-06-01", "codes": ["97110"]}]).at("AK")
    assert page.sentences == [
        "No document of the loaded editions concerns CPT 97026 in Alaska.",
        "The loaded editions are not of 97026; load them again with --codes.",
    ]


def test_editions_are_named_by_their_day() -> None:
    editions = [*TWO_EDITIONS[:4], {"kind": "mue", "edition": "2026-04-01", "codes": ["97026"]}]
    assert (
        rules_of([], editions).at("AK").editions == "2026-06-15, the latest of 2: NCD and LCD; 2026-04-01: unit limit"
    )
