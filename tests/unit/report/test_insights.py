"""Sentences against the figures they are made from: each claim is checked anew, in plain arithmetic."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.codes import COMPOSITE_ALL, COMPOSITE_BUCA, MEDICARE
from tests.report_market import published_example, summary
from tests.unit.report.claims import STABLE, by_payer, cells_of, cents, check_share, check_words, rows_of
from transforms.report.figures import make_cell
from transforms.report.insights import describe_geography, describe_heat, describe_payer
from transforms.report.sentences import MOST_NAMED, Insight, join_names


@STABLE
@given(here=rows_of("AK"), everywhere=rows_of("US"))
def test_no_sentence_says_what_the_figures_contradict(
    here: list[dict[str, Any]], everywhere: list[dict[str, Any]]
) -> None:
    national = {cell.payer: cell for cell in cells_of(everywhere)}
    for insight in describe_geography(cells_of(here), national, is_national=False):
        assert insight.text.endswith(".")
        assert not insight.text.endswith("..")
        assert "  " not in insight.text
        check_fact(insight, by_payer(here), by_payer(everywhere))
        check_words(insight, [*here, *everywhere])


def check_fact(insight: Insight, here: Mapping[str, Any], everywhere: Mapping[str, Any]) -> None:
    """The fact of a sentence, worked out again from the published rows."""
    payers = {name: row for name, row in here.items() if row["payer_kind"] == "payer"}
    means = {name: cents(row["mean_usd"]) for name, row in payers.items()}
    subjects, amounts = set(insight.subjects), insight.amounts
    match insight.kind:
        case "uniform":
            assert len(amounts) == (len(subjects) == 1)
            for row in (payers[name] for name in subjects):
                assert cents(row["p25_usd"]) == cents(row["p75_usd"]) == cents(row["p50_usd"])
                assert cents(row["iqr_usd"]) == 0
        case "medicare_mean":
            check_medicare(insight, means, cents(here[MEDICARE]["mean_usd"]))
        case "medicare_median":
            own, fee = cents(here[insight.subjects[0]]["p50_usd"]), cents(here[MEDICARE]["p50_usd"])
            assert amounts == (own, fee)
            assert ("above" if own > fee else "below" if own < fee else "equal to") in insight.text
            check_share(insight, own, fee, here[insight.subjects[0]]["pct_of_medicare"])
        case "against_national":
            name = insight.subjects[0]
            assert amounts == (means[name], cents(everywhere[name]["mean_usd"]))
        case "missing":
            elsewhere = {name for name, row in everywhere.items() if row["payer_kind"] == "payer"}
            assert subjects == elsewhere - set(payers)
        case kind:
            raise AssertionError(f"no check for {kind}")


def check_medicare(insight: Insight, means: Mapping[str, Decimal], fee: Decimal) -> None:
    assert insight.amounts == (fee,)
    for part, named in (
        ("above", [name for name, mean in means.items() if mean > fee]),
        ("equal to", [name for name, mean in means.items() if fee == mean]),
        ("below", [name for name, mean in means.items() if mean < fee]),
    ):
        assert (part in insight.text) == bool(named)
    if "Every payer" in insight.text:
        assert len({(mean > fee, mean < fee) for mean in means.values()}) == 1


@STABLE
@given(rows=rows_of("US"))
def test_national_sentences_compare_nothing_with_itself_and_report_no_missing_payer(rows: list[dict[str, Any]]) -> None:
    cells = cells_of(rows)
    kinds = {one.kind for one in describe_geography(cells, {c.payer: c for c in cells}, is_national=True)}
    assert not kinds & {"against_national", "missing"}


@STABLE
@given(data=st.data(), states=st.sets(st.sampled_from(("AK", "AL", "NY", "PR"))))
def test_sentences_across_states_hold_too(data: st.DataObject, states: set[str]) -> None:
    rows = {state: data.draw(rows_of(state)) for state in sorted({"US", *states})}
    places = {state: make_cell(by_payer(own)["Cigna"]) for state, own in rows.items() if "Cigna" in by_payer(own)}
    shown = {state: cell for state, cell in places.items() if state != "US"}
    for insight in describe_payer("Cigna", places):
        if insight.kind == "mean":
            extremes = [choose(cell.mean for cell in shown.values()) for choose in (max, min)]
            assert set(insight.subjects) == {state for state, cell in shown.items() if cell.mean in extremes}
        if insight.kind == "double":
            assert all(shown[state].mean > 2 * places["US"].mean for state in insight.subjects)
            assert all(shown[state].exact_mean > 2 * places["US"].exact_mean for state in insight.subjects)
        if insight.kind == "half":
            assert all(2 * shown[state].mean < places["US"].mean for state in insight.subjects)
            assert all(2 * shown[state].exact_mean < places["US"].exact_mean for state in insight.subjects)
        if insight.kind == "uniform":
            assert set(insight.subjects) == {s for s, c in shown.items() if c.p25 == c.p75 and c.iqr == 0}


def test_the_published_examples_findings_are_what_its_paragraph_leaves_out() -> None:
    rows = published_example()
    national = {c.payer: c for c in cells_of([row for row in rows if row["geography"] == "US"])}
    texts = [one.text for one in describe_geography(national.values(), national, is_national=True)]
    assert texts == ["Every payer's mean is above Medicare's mean of $6.98."]
    alaska = cells_of([row for row in rows if row["geography"] == "AK"])
    texts = [one.text for one in describe_geography(alaska, national, is_national=False)]
    assert "UnitedHealth Group has a uniform rate: $16.00 at every percentile from P10 to P90." in texts
    assert "The mean for Blue Cross Blue Shield is $18.56, 49% above its national mean of $12.48." in texts
    assert "Aetna and Cigna have national figures but none in this table." in texts


def test_many_uniform_rates_are_one_sentence() -> None:
    cells = cells_of([summary(f"Plan {number}", "US", (7.0, 7.0, 7.0, 7.0)) for number in range(9)])
    texts = [one.text for one in describe_geography(cells, {}, is_national=True) if one.kind == "uniform"]
    assert texts == [
        "9 payers have a uniform rate (P25 equals P75): Plan 0, Plan 1, Plan 2, Plan 3, Plan 4, Plan 5 and 3 others."
    ]


@STABLE
@given(alaska=rows_of("AK"), alabama=rows_of("AL"), everywhere=rows_of("US"))
def test_the_sentence_over_the_payers_by_state_is_its_tables_span(
    alaska: list[dict[str, Any]], alabama: list[dict[str, Any]], everywhere: list[dict[str, Any]]
) -> None:
    payers: dict[str, dict[str, Any]] = {}
    for row in (*alaska, *alabama, *everywhere):
        payers.setdefault(row["payer"], {})[row["geography"]] = make_cell(row)
    said = describe_heat(payers)
    rows = [row for row in (*alaska, *alabama) if row["payer_kind"] == "payer"]
    medians = {f"{row['payer']}, {row['geography']}": cents(row["p50_usd"]) for row in rows}
    assert said.amounts == ((min(medians.values()), max(medians.values())) if rows else ())
    assert set(said.subjects) == {key for key, median in medians.items() if median in said.amounts}


def test_states_are_compared_with_the_nation_where_they_are_far_from_it() -> None:
    means = {"US": 6.0, "AK": 12.5, "AL": 2.9, "NY": 12.0, "WY": 12.5}
    places = {
        code: make_cell(summary("Cigna", code, (mean, 1, 1, 1), low_sample=code == "WY"))
        for code, mean in means.items()
    }
    assert [one.text for one in describe_payer("Cigna", places)] == [
        "Cigna has figures in 4 of 56 states and territories.",
        "The highest mean is $12.50 (Alaska and Wyoming*), 331% above the lowest, $2.90 (Alabama).",
        "All 4 states and territories have the same dispersion, $0.00.",
        "The mean is more than double the national mean of $6.00 in Alaska and Wyoming*.",
        "The mean is less than half the national mean of $6.00 in Alabama.",
        "The rate is uniform (P25 equals P75) in Alaska, Alabama, New York and Wyoming*.",
        "Samples are small in 1 of 4 states and territories: Wyoming*.",
    ]


@pytest.mark.parametrize(
    ("here", "everywhere", "says"),
    [
        (24.0, 12.0, "100% above its national mean of $12.00."),
        (24.05, 12.0, "100% above its national mean of $12.00."),
        (24.6, 12.0, "105% above its national mean of $12.00."),
        (0.025, 0.0149, "200% above its national mean of $0.01."),
        (6.0, 12.0, "50% below its national mean of $12.00."),
        (12.004, 12.0, "equal to its national mean of $12.00."),
        (12.1, 12.0, "1% above its national mean of $12.00."),
        (12.04, 12.0, "close to its national mean of $12.00."),
        (12.0, 0.001, "above its national mean of $0.00."),
    ],
)
def test_words_follow_the_ratio(here: float, everywhere: float, says: str) -> None:
    national = {"Aetna": make_cell(summary("Aetna", "US", (everywhere, 1, 1, 1)))}
    own = make_cell(summary("Aetna", "AK", (here, 1, 1, 1)))
    (found,) = [one for one in describe_geography([own], national, is_national=False) if one.kind == "against_national"]
    assert says in found.text


def test_payers_on_both_sides_of_medicare_are_named_by_side() -> None:
    rows = [summary(name, "US", (mean, 1, 1, 1)) for name, mean in (("Aetna", 7), ("Cigna", 8), ("Zeta", 9))]
    cells = cells_of([*rows, summary(MEDICARE, "US", (8, 8, 8, 8))])
    (found,) = [one for one in describe_geography(cells, {}, is_national=True) if one.kind == "medicare_mean"]
    assert found.text == (
        "The mean is above Medicare's mean of $8.00 for Zeta; it is equal to Medicare's for Cigna; "
        "it is below Medicare's for Aetna."
    )


@pytest.mark.parametrize(
    ("own", "fee", "says"),
    [
        (6.9149, 6.9051, "equal to Medicare's $6.91."),
        (6.9149, 6.9151, "below Medicare's $6.92."),
        (7.1, 6.9, "above Medicare's $6.90 (102.9% of Medicare)."),
    ],
)
def test_a_share_that_rounds_to_the_other_side_is_left_to_the_table(own: float, fee: float, says: str) -> None:
    rows = [
        summary(name, "US", (own,) * 4, pct_of_medicare=100 * own / fee) for name in (COMPOSITE_ALL, COMPOSITE_BUCA)
    ]
    cells = cells_of([*rows, summary(MEDICARE, "US", (fee, fee, fee, fee))])
    (found,) = [one for one in describe_geography(cells, {}, is_national=True) if one.kind == "medicare_median"]
    assert found.subjects == (COMPOSITE_BUCA,)
    assert found.text.endswith(says)


def test_long_lists_name_six_and_count_the_others() -> None:
    assert join_names(["A"]) == "A"
    assert join_names(["A", "B"]) == "A and B"
    assert join_names(["A", "B", "C"]) == "A, B and C"
    assert join_names([str(n) for n in range(MOST_NAMED + 3)]) == "0, 1, 2, 3, 4, 5 and 3 others"
