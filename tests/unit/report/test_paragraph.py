"""The paragraph and the large figures of a page: each claim is checked anew against the rows, in plain arithmetic."""

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.codes import COMPOSITE_ALL, COMPOSITE_BUCA, MEDICARE
from schemas.geographies import STATES_IN_ORDER, name_of
from tests.report_market import published_example, summary
from tests.unit.report.claims import AMOUNTS, STABLE, by_payer, cells_of, cents, check_share, check_words, rows_of
from transforms.report.figures import make_cell
from transforms.report.paragraph import (
    Place,
    describe_place,
    headline_figures,
    ordinal,
    small_sample_remark,
    small_sample_rule,
)
from transforms.report.sentences import Insight

RANK = re.compile(r"the (?:(\d+)\w\w )?highest of (\d+) states(?: with figures)?(?:, tied with (\d+))?")
HIGHER = re.compile(r"and (\d+) of (\d+) states(?: with figures)? ha")
States = Mapping[str, Mapping[str, Any]]


@st.composite
def pooled_rows(draw: st.DrawFn) -> dict[str, dict[str, Any]]:
    """Rows of all payers pooled in the nation and some states: few distinct medians, so that ties are common."""
    places = draw(st.sets(st.sampled_from(("AK", "AL", "NY", "WY", "PR", "DC"))))
    amounts = st.sampled_from((3.0, 3.004, 5.0, 7.1, 12.0))
    rows = {}
    for place in ("US", *sorted(places)):
        median = draw(amounts)
        rows[place] = summary(COMPOSITE_ALL, place, (median,) * 4, low_sample=draw(st.booleans()))
    return rows


def place_of(rows: Sequence[Mapping[str, Any]], pooled: States, geography: str) -> Place:
    return Place("97026", geography, cells_of(rows), {place: make_cell(row) for place, row in pooled.items()})


@STABLE
@given(data=st.data(), pooled=pooled_rows(), geography=st.sampled_from(("US", "AK", "NY", "PR")))
def test_no_sentence_of_a_paragraph_says_what_the_figures_contradict(
    data: st.DataObject, pooled: dict[str, dict[str, Any]], geography: str
) -> None:
    rows = [row for row in data.draw(rows_of(geography)) if row["payer"] != COMPOSITE_ALL]
    if geography in pooled:
        rows.append(pooled[geography])
    for insight in describe_place(place_of(rows, pooled, geography)):
        assert insight.text.endswith(".") and not insight.text.endswith("..")
        assert "  " not in insight.text
        check_fact(insight, by_payer(rows), pooled, geography)
        check_words(insight, [*rows, *pooled.values()], {name for name, row in pooled.items() if row["low_sample"]})


def check_fact(insight: Insight, here: States, pooled: States, geography: str) -> None:
    """The fact of a sentence, worked out again from the published rows."""
    payers = {name: row for name, row in here.items() if row["payer_kind"] == "payer"}
    means = {name: cents(row["mean_usd"]) for name, row in payers.items()}
    spreads = {name: cents(row["iqr_usd"]) for name, row in payers.items()}
    subjects, amounts = set(insight.subjects), insight.amounts
    match insight.kind:
        case "none":
            assert not payers
        case "only":
            assert means == {insight.subjects[0]: amounts[0]}
        case "mean" | "dispersion":
            values = means if insight.kind == "mean" else spreads
            extremes = max(values.values()), min(values.values())
            assert amounts == extremes
            assert subjects == {name for name, value in values.items() if value in extremes}
            assert extremes[0] > extremes[1]
        case "same_mean" | "same_dispersion":
            values = means if insight.kind == "same_mean" else spreads
            assert len(payers) > 1 and subjects == set(payers)
            assert set(values.values()) == set(amounts)
        case "median":
            assert MEDICARE not in here and amounts == (cents(here[insight.subjects[0]]["p50_usd"]),)
        case "medicare_median":
            own, fee = cents(here[insight.subjects[0]]["p50_usd"]), cents(here[MEDICARE]["p50_usd"])
            assert amounts == (own, fee)
            assert ("above" if own > fee else "below" if own < fee else "equal to") in insight.text
            check_share(insight, own, fee, here[insight.subjects[0]]["pct_of_medicare"])
        case "rank":
            check_rank(insight, here, pooled, geography)
        case "state_medians" | "same_median":
            check_states(insight, pooled)
        case kind:
            raise AssertionError(f"no check for {kind}")


def medians_of_states(pooled: States) -> dict[str, Decimal]:
    return {place: cents(row["p50_usd"]) for place, row in pooled.items() if place in STATES_IN_ORDER}


def check_rank(insight: Insight, here: States, pooled: States, geography: str) -> None:
    """The side on which the nation's median lies, and a count of the states that are higher."""
    own, nation = cents(here[insight.subjects[0]]["p50_usd"]), cents(pooled["US"]["p50_usd"])
    assert insight.amounts == (own, nation) and geography != "US"
    side = re.search(r"% (above|below)", insight.text)
    assert (side[1] if side else None) == ("above" if own > nation else "below" if own < nation else None)
    states = medians_of_states(pooled)
    higher = sum(median > own for median in states.values())
    if found := RANK.search(insight.text):
        assert (int(found[1] or 1), int(found[2])) == (higher + 1, len(states))
        assert int(found[3] or 0) == sum(median == own for median in states.values()) - 1
    elif found := HIGHER.search(insight.text):
        assert geography not in STATES_IN_ORDER
        assert (int(found[1]), int(found[2])) == (higher, len(states))
    else:
        assert len(states) < 2


def check_states(insight: Insight, pooled: States) -> None:
    """The extremes are those of the states without a small sample, and the sentence says so."""
    medians = medians_of_states(pooled)
    firm = {place: median for place, median in medians.items() if not pooled[place]["low_sample"]}
    compared = firm if len(firm) > 1 else medians
    extremes = {max(compared.values()), min(compared.values())}
    assert set(insight.amounts) == extremes
    assert set(insight.subjects) == {place for place, median in compared.items() if median in extremes}
    assert f"{len(compared)} states" in insight.text
    assert ("without a small sample" in insight.text) == (len(firm) > 1)
    assert all(name_of(place) in insight.text for place in insight.subjects) or len(extremes) == 1


@STABLE
@given(data=st.data(), pooled=pooled_rows(), geography=st.sampled_from(("US", "AK", "PR")))
def test_the_large_figures_are_those_of_the_rows(
    data: st.DataObject, pooled: dict[str, dict[str, Any]], geography: str
) -> None:
    rows = [row for row in data.draw(rows_of(geography)) if row["payer"] != COMPOSITE_ALL]
    rows += [pooled[geography]] if geography in pooled else []
    figures = headline_figures(place_of(rows, pooled, geography))
    here = by_payer(rows)
    means = [cents(row["mean_usd"]) for row in rows if row["payer_kind"] == "payer"]
    head = here.get(COMPOSITE_ALL) or here.get(COMPOSITE_BUCA)
    assert len(figures) == (4 if head and means else 0)
    if head is None or not figures:
        return
    star = "*" if head["low_sample"] else ""
    assert figures[0].figure == f"${cents(head['p50_usd']):,}{star}"
    assert f"mean ${cents(head['mean_usd']):,}" in figures[0].note
    share = head["pct_of_medicare"]
    assert figures[1].figure.startswith("none" if share is None else f"{share:,.0f}"[:1])
    assert [Decimal(text.replace(",", "")) for text in AMOUNTS.findall(figures[2].figure)] == sorted(
        {min(means), max(means)}
    )
    states = medians_of_states(pooled)
    if len(states) > 1 and geography != "US":
        higher = sum(median > cents(head["p50_usd"]) for median in states.values())
        assert figures[3].figure == f"{higher + (geography == 'AK')} of {len(states)}{star}"


def test_the_published_example_reads_as_its_figures_say() -> None:
    rows = published_example()
    pooled = {"US": next(row for row in rows if row["payer"] == COMPOSITE_BUCA)}
    national = place_of([row for row in rows if row["geography"] == "US"], pooled, "US")
    assert [one.text for one in describe_place(national)] == [
        "In the United States, Blue Cross Blue Shield pays most for CPT 97026, a mean of $12.48, 69% above the $7.40 "
        "of Cigna, which pays least.",
        "The widest dispersion (P75 minus P25) is $5.50 (UnitedHealth Group); the tightest is $1.00 (Cigna).",
        "The BUCA median is $8.50, above Medicare's $6.92 (122.8% of Medicare).",
    ]
    alaska = place_of([row for row in rows if row["geography"] == "AK"], {}, "AK")
    assert [one.text for one in describe_place(alaska)][:1] == [
        "In Alaska, Blue Cross Blue Shield pays most for CPT 97026, a mean of $18.56, 16% above the $16.00 of "
        "UnitedHealth Group, which pays least."
    ]
    assert headline_figures(alaska) == []


def test_a_state_is_compared_with_the_nation_and_ranked_among_the_states() -> None:
    medians = {"US": 7.0, "AK": 7.7, "AL": 7.0, "NY": 9.0, "PR": 8.0, "WY": 7.7}
    pooled = {place: summary(COMPOSITE_ALL, place, (median,) * 4) for place, median in medians.items()}

    def last(geography: str) -> str:
        return describe_place(place_of([pooled[geography]], pooled, geography))[-1].text

    assert last("NY") == "It is 29% above the national median of $7.00, the highest of 4 states with figures."
    assert last("AL") == "It is equal to the national median of $7.00, the 4th highest of 4 states with figures."
    assert last("AK").endswith("the 2nd highest of 4 states with figures, tied with 1 other.")
    assert (
        last("PR") == "It is 14% above the national median of $7.00, and 1 of 4 states with figures has a higher one."
    )
    assert (
        last("US")
        == "Among 4 states without a small sample, it is highest in New York, $9.00, and lowest in Alabama, $7.00."
    )


def test_payers_that_share_a_place_are_named_together() -> None:
    rows = [
        summary(name, "DC", (mean, 1, 1, 1)) for name, mean in (("Aetna", 9), ("Cigna", 9), ("Zeta", 6), ("Eta", 6))
    ]
    assert describe_place(place_of(rows, {}, "DC"))[0].text == (
        "In the District of Columbia, Aetna and Cigna pay most for CPT 97026, a mean of $9.00 each, 50% above the "
        "$6.00 of Eta and Zeta, which pay least."
    )


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (1, "the highest"),
        (2, "the 2nd highest"),
        (3, "the 3rd highest"),
        (11, "the 11th highest"),
        (22, "the 22nd highest"),
    ],
)
def test_places_are_ordinals(number: int, text: str) -> None:
    assert ordinal(number) == text


def test_small_samples_are_named_once_with_their_sizes() -> None:
    rows = [summary("Aetna", low_sample=True, n_npi=1, n_tin=2), summary("Cigna"), summary(COMPOSITE_ALL)]
    remark = small_sample_remark(place_of(rows, {}, "US"))
    assert remark == f"{small_sample_rule()} Here: Aetna (1 provider, 2 contract holders)."
    assert small_sample_remark(place_of(rows[1:], {}, "US")) == small_sample_rule()
