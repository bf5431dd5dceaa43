"""A practice's rows as shown: rounding, reasons, lines of contract holders, and sentences that agree with them."""

from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from schemas.practices import PRACTICES, VOLUMES
from transforms.report.charts import make_span
from transforms.report.practice import (
    Standing,
    describe_place,
    find_unrated,
    make_standing,
    merge_networks,
    read_volumes,
)


def standing(payer: str = "Aetna", own: float | None = 6.0, p50: float | None = 7.0, **more: Any) -> Standing:
    """One row; its gaps follow from own rate and market."""
    row: dict[str, Any] = dict.fromkeys(PRACTICES.names) | {"payer": payer, "billing_code": "97026", "exclusions": []}
    row |= {"billing_class": "professional", "geography": "AK", "status": "rated", "n_npi": 1, "n_market": 12}
    row |= {"own_rate_usd": own, "p50_usd": p50, "percentile": 25.0, "rank": 9, "medicare_usd": 7.81} | more
    for name in ("p50", "medicare"):
        base, rate = row[f"{name}_usd"], row["own_rate_usd"]
        if base is not None and rate is not None:
            row |= {f"gap_{name}_usd": rate - base, f"gap_{name}_pct": 100 * (rate - base) / base}
            if row["yearly_units"] is not None:
                row[f"gap_{name}_yearly_usd"] = (rate - base) * row["yearly_units"]
    return make_standing(row)


def text_of(*rows: Standing) -> str:
    return " ".join(insight.text for insight in describe_place(rows))


def test_one_payer_has_one_sentence_with_its_position() -> None:
    said = "Aetna pays $6.00: $1.00 (14.3%) below its median of $7.00, percentile 25.0 of 12 providers."
    assert text_of(standing()) == f"{said} Every payer pays less than Medicare's $7.81 at its locality."


def test_several_payers_are_counted_by_side_and_the_furthest_named() -> None:
    text = text_of(standing("A", 6.0), standing("B", 7.0), standing("C", 9.0), standing("D", 6.5))
    assert text.startswith("The rate is below the median of 2, equal to the median of 1 and above the median of 1 of 4")
    assert "Furthest below the median is A, which pays $6.00" in text
    assert "Furthest above the median is C, which pays $9.00" in text
    assert "3 of 4 payers pay less than Medicare's $7.81 at its locality: A, B and D." in text


def test_a_gap_that_rounds_to_nothing_is_on_no_side() -> None:
    row = standing(own=7.001)
    gap = row.gaps["p50"]
    assert gap is not None
    assert gap.text == "0.00"
    assert "equal to its median of $7.00" in text_of(row)
    assert "Furthest" not in text_of(row, standing("B", 7.0))


def test_a_loss_a_year_is_said_with_its_units() -> None:
    text = text_of(standing("A", 6.0, yearly_units=1200.0), standing("B", 8.0, yearly_units=1200.0))
    assert "At 1,200 units a year, the gap to the median of A is $1,200.00 a year." in text


def test_a_rate_without_a_market_has_no_sentence() -> None:
    assert text_of(standing(p50=None, percentile=None, rank=None, n_market=0)) == ""


def test_reasons_are_given_once_with_the_payers_that_they_hold_for() -> None:
    rows = [
        standing("A"),
        standing("A", None, status="excluded", billing_class="institutional", exclusions=["expired"]),
        standing("B", None, status="absent"),
        standing("B", None, status="absent", billing_code="97028"),
        standing("C", None, status="absent"),
        standing("D", None, status="excluded", exclusions=["modifier"]),
        standing("E", 0.05, status="outlier"),
        standing("F", None, status="excluded", geography="US", exclusions=["npi_unknown"]),
    ]
    found = {why.split(":")[0]: payers for why, payers in find_unrated(rows).items()}
    assert found == {
        "absent": ["B (97026 and 97028)", "C (97026)"],
        "excluded": ["D (97026)"],
        "outlier": ["E (97026)"],
    }
    assert any("$0.05" in why for why in find_unrated(rows))


def test_networks_with_the_rate_of_their_contract_holder_share_its_line() -> None:
    parts = [
        standing(tin="1", own=6.0),
        standing(tin="1", own=6.0, network_name="PPO"),
        standing(tin="1", own=6.0, network_name="HMO"),
        standing(tin="1", own=9.0, network_name="EPO"),
        standing(tin="1", own=9.0, network_name="POS"),
        standing(tin=None, own=6.0),
    ]
    lines = [(row.tin, str(row.own), networks) for row, networks in merge_networks(parts)]
    assert lines == [(None, "6.00", []), ("1", "6.00", ["HMO", "PPO"]), ("1", "9.00", ["EPO", "POS"])]


def test_names_are_shown_without_what_reorders_text() -> None:
    row = standing("evil \u202ename", network_name="a\x00b")
    assert (row.payer, row.network) == ("evil \ufffdname", "a\ufffdb")


def test_a_span_holds_its_amounts_and_one_amount_is_in_the_middle() -> None:
    span = make_span([Decimal("6.10"), Decimal("8.00")])
    assert (span.place(Decimal("6.10")), span.place(Decimal("8.00"))) == (4.0, 96.0)
    assert make_span([Decimal(3)]).place(Decimal(3)) == 50.0


def test_volumes_are_added_up_and_other_codes_counted() -> None:
    lines = ["NPI, Billing_Code ,UNITS,payer", "1,97026,2,", "1,97026,3,", ',97026,"1,000",A', "2,97110,9,", ",,,"]
    volumes, others = read_volumes(lines, [1], ["97026"], ["A"])
    assert others == 1
    assert volumes.schema == VOLUMES.polars
    assert set(volumes.rows()) == {(None, 1, "97026", 5.0), ("A", None, "97026", 1000.0)}


@pytest.mark.parametrize("text", ["nan", "inf", "", "1e400", "-0.5"])
def test_units_are_finite_and_not_below_zero(text: str) -> None:
    with pytest.raises(ValueError, match="line 2: units"):
        read_volumes(["billing_code,units", f"97026,{text}"], [], ["97026"], [])


def test_the_lines_of_volumes_have_one_row_a_grain() -> None:
    volumes, _ = read_volumes(["billing_code,units", "97026,1", "97026,2"], [], ["97026"], [])
    assert volumes.select(pl.col("units").sum()).item() == 3.0
    assert volumes.height == 1
