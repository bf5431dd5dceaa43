import polars as pl
import pytest

from schemas.reference import THERAPY_TAXONOMIES, load_reference
from transforms.benchmark.taxonomy import assign_tiers, rank_taxonomies


def tier_of(taxonomies: list[str], billing_code: str = "97026") -> tuple[str | None, str]:
    nppes = pl.LazyFrame(
        {"npi": [1], "taxonomies": [taxonomies]}, schema={"npi": pl.Int64, "taxonomies": pl.List(pl.String)}
    )
    found = assign_tiers(nppes, [billing_code]).collect().row(0, named=True)
    return found["taxonomy"], found["taxonomy_tier"]


@pytest.mark.parametrize(
    ("taxonomies", "expected"),
    [
        (["225100000X"], ("225100000X", "strict")),
        (["2251X0800X"], ("2251X0800X", "strict")),
        (["225X00000X"], ("225X00000X", "balanced")),
        (["225XH1200X"], ("225XH1200X", "balanced")),
        (["225200000X"], ("225200000X", "other")),
        (["207Q00000X"], ("207Q00000X", "other")),
        (["111NR0400X", "261QP2000X"], ("261QP2000X", "strict")),
        (["261Q00000X", "111N00000X"], ("111N00000X", "balanced")),
        (["225X00000X", "111N00000X"], ("111N00000X", "balanced")),
        (["207Q00000X", "193200000X"], ("193200000X", "other")),
        ([], (None, "other")),
    ],
)
def test_the_best_tier_wins_then_the_smallest_code(taxonomies: list[str], expected: tuple[str | None, str]) -> None:
    assert tier_of(taxonomies) == expected


def test_dermatology_is_plausible_for_ultraviolet_only() -> None:
    assert tier_of(["207N00000X"], "97028") == ("207N00000X", "balanced")
    assert tier_of(["207ND0101X"], "97026") == ("207ND0101X", "other")


def test_the_longest_matching_entry_wins() -> None:
    table = pl.DataFrame(
        {"code": ["2*", "225X*", "225XH1200X"], "tier": ["other", "balanced", "strict"], "label": "", "why": ""},
        schema=THERAPY_TAXONOMIES.polars,
    )
    ranked = rank_taxonomies(["225XH1200X", "225X00000X", "207Q00000X", "1"], ["97026"], table)
    assert ranked["97026"].to_list() == ["21", "2207Q00000X", "1225X00000X", "0225XH1200X"]


def test_prefixes_of_every_length_match_and_the_longest_one_counts() -> None:
    taxonomy = "207Q00000X"
    for length in range(1, len(taxonomy) + 1):
        shorter = [f"{taxonomy[:less]}*" for less in range(1, length)]
        entries = [*shorter, f"{taxonomy[:length]}*"]
        tiers = ["balanced"] * len(shorter) + ["strict"]
        table = pl.DataFrame({"code": entries, "tier": tiers, "label": "", "why": ""}, schema=THERAPY_TAXONOMIES.polars)
        assert rank_taxonomies([taxonomy], ["97026"], table)["97026"].to_list() == [f"0{taxonomy}"]


def test_there_is_one_row_per_npi_and_billing_code_even_without_taxonomies() -> None:
    nppes = pl.LazyFrame({"npi": [3, 1, 2], "taxonomies": [["225100000X"], [], ["207N00000X", "171100000X"]]})
    found = assign_tiers(nppes, ["97026", "97028"]).collect().sort("npi", "billing_code")
    assert found.columns == ["npi", "billing_code", "taxonomy", "taxonomy_tier"]
    assert found.rows() == [
        (1, "97026", None, "other"),
        (1, "97028", None, "other"),
        (2, "97026", "171100000X", "balanced"),
        (2, "97028", "171100000X", "balanced"),
        (3, "97026", "225100000X", "strict"),
        (3, "97028", "225100000X", "strict"),
    ]


def test_no_npis_give_no_rows() -> None:
    nppes = pl.LazyFrame(schema={"npi": pl.Int64, "taxonomies": pl.List(pl.String)})
    assert assign_tiers(nppes, ["97026"]).collect().is_empty()


def test_the_packaged_table_holds_known_tiers_only_and_each_code_once() -> None:
    table = load_reference(THERAPY_TAXONOMIES)
    assert set(table["tier"]) == {"strict", "balanced", "balanced_97028_only", "other"}
    assert table["code"].n_unique() == len(table)
