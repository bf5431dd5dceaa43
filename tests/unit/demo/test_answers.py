from datetime import date
from functools import cache

import polars as pl
import pytest

from schemas.codes import GEOGRAPHIES
from transforms.demo.answers import (
    COUNTS,
    FIGURES,
    Answers,
    Cell,
    RowKind,
    answer,
    check_answers,
    check_networks,
    check_rows,
)
from transforms.demo.market import ANTHEM, DEFAULT_SEED, LANTERN, Contract, Market, make_market
from transforms.demo.providers import Member, Provider, Tin

MONTH = date(2026, 11, 1)


@cache
def default_answers() -> Answers:
    return answer(make_market(MONTH))


def published(answers: Answers) -> pl.DataFrame:
    """Summaries that say exactly what the answers say."""
    rows = [
        {"month": answers.month} | {name: getattr(cell, name) for name in Cell._fields} | dict(figures)
        for cell, figures in answers.cells.items()
    ]
    return pl.DataFrame(rows)


def test_summaries_that_agree_are_right() -> None:
    result = check_answers(default_answers(), published(default_answers()))
    assert result.wrong == ()
    assert result.cells == len(default_answers().cells) > 5_000


def test_networks_of_every_rate_have_their_payers_cells() -> None:
    payer, (one, other) = LANTERN.payer, LANTERN.networks
    own = published(default_answers()).filter(payer=payer, weighting="npi")
    networks = pl.concat([own.with_columns(network_name=pl.lit(name)) for name in (one, other)])
    result = check_networks(default_answers(), networks)
    assert (result.cells, result.wrong) == (2 * own.height, ())
    (difference,) = check_networks(default_answers(), networks.slice(1)).wrong
    assert difference.startswith(one) and difference.endswith(": missing")


def test_medicare_and_other_months_are_left_alone() -> None:
    summaries = published(default_answers())
    medicare = summaries.head(3).with_columns(payer=pl.lit("Medicare"))
    before = summaries.with_columns(month=pl.lit(date(2026, 10, 1)), p50_usd=0.0)
    assert check_answers(default_answers(), pl.concat([summaries, medicare, before])).wrong == ()


@pytest.mark.slow
def test_missing_extra_repeated_and_differing_cells_are_each_named() -> None:
    summaries = published(default_answers())
    extra = summaries.head(1).with_columns(geography=pl.lit("XX"))
    wrong = check_answers(default_answers(), pl.concat([summaries.slice(1), extra])).wrong
    assert [difference.split(": ")[1] for difference in wrong] == ["missing", "published, not expected"]
    assert (
        check_answers(default_answers(), pl.concat([summaries, extra, extra])).wrong[0] == "1 cells are published twice"
    )
    for name in (*COUNTS, *FIGURES):
        place = summaries[name].is_not_null().arg_max()  # some cells have no percent of the local amount
        changed = summaries.with_columns(
            pl.when(pl.int_range(pl.len()) == place).then(pl.col(name) + 1).otherwise(pl.col(name)).alias(name)
        )
        (difference,) = check_answers(default_answers(), changed).wrong
        assert f": {name} is " in difference


def test_nulls_are_differences() -> None:
    summaries = published(default_answers()).with_columns(p50_usd=pl.lit(None, dtype=pl.Float64))
    assert len(check_answers(default_answers(), summaries).wrong) == summaries.height


def test_rows_are_compared_in_both_directions() -> None:
    answers = Answers(MONTH, {}, {RowKind("Aetna", "97026", ""): 2, RowKind("Aetna", "97026", "no_npi"): 1})
    rates = pl.DataFrame({"payer": ["Aetna"] * 3, "billing_code": ["97026"] * 3, "exclusion": [None, None, "no_npi"]})
    assert check_rows(answers, rates).wrong == ()
    assert check_rows(answers, rates.head(2)).wrong == ("Aetna, 97026, no_npi: 0 rows published, 1 expected",)
    cigna = rates.with_columns(payer=pl.lit("Cigna"))
    assert len(check_rows(answers, pl.concat([rates, cigna])).wrong) == 2


def test_a_market_small_enough_to_do_by_hand() -> None:
    """Two providers of one TIN, one of them under a second TIN: 6, 8 and 10 dollars."""
    first, second = Provider(2000000010, "AK", ("225100000X",)), Provider(2000000028, "WY", ("207Q00000X",))
    chain, own = Tin("001000001", "ein", "Chain"), Tin("001000002", "ein", "Own")
    contracts = tuple(
        Contract(ANTHEM.payer, "97026", "professional", cents, (Member(tin, provider.npi),))
        for cents, tin, provider in ((600, chain, first), (800, own, first), (1000, chain, second))
    )
    market = Market(MONTH, DEFAULT_SEED, {first.npi: first, second.npi: second}, contracts, ())
    cells = answer(market).cells
    anthem = {"US": (2, 7.0, 8.5), "AK": (1, 7.0, 7.0), "WY": (1, 10.0, 10.0)}
    for geography, (n_npi, low, middle) in anthem.items():
        by_npi = cells[Cell("97026", "professional", ANTHEM.payer, geography, "all", "npi")]
        assert (by_npi["n_npi"], by_npi["min_usd"], by_npi["p50_usd"]) == (n_npi, low, middle)
    by_tin = cells[Cell("97026", "professional", "BUCA", "US", "all", "tin")]
    assert (by_tin["n_tin"], by_tin["min_usd"], by_tin["max_usd"]) == (2, 8.0, 8.0)
    strict = cells[Cell("97026", "professional", "All commercial", "US", "strict", "tin")]
    assert (strict["min_usd"], strict["p25_usd"], strict["max_usd"]) == (6.0, 6.5, 8.0)
    assert Cell("97026", "professional", ANTHEM.payer, "WY", "balanced", "npi") not in cells


def test_the_default_market_answers_for_every_geography() -> None:
    assert {cell.geography for cell in default_answers().cells} == {"US", *GEOGRAPHIES}
