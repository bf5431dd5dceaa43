import hashlib
import random
import string

import polars as pl
import pytest

from schemas.codes import BUCA
from schemas.reference import PAYERS, load_reference
from tests.plain_payers import plain_payers
from transforms.benchmark.payers import conflicting_keys, fold_name, map_payers, payer_slug, unused_mappings

TABLE = pl.DataFrame(
    [
        ("Acme Health, Inc.", "Acme", "Acme Group", "test"),
        ("BCBSM, Inc.", "Blue", "Minnesota", "test"),
        ("BCBSM", "Blue", "Michigan", "test"),
    ],
    schema=PAYERS.polars,
    orient="row",
)


def payer_of(name: str | None) -> tuple[str, str | None, bool]:
    row = map_payers([name]).row(0, named=True)
    return row["payer"], row["parent_company"], row["payer_mapped"]


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("United-HealthCare-Services--Inc-", "united healthcare services"),
        ("United HealthCare Services, Inc.", "united healthcare services"),
        ("BCBS_ILLINOIS", "bcbs illinois"),
        ("Acme Co., Inc.", "acme"),
        ("Acme Company Ltd", "acme"),
        ("  The   Company, Inc. ", "the"),
        ("Company", "company"),
        ("Co. Inc.", "co"),
        ("Aetna Health Inc. (Florida)", "aetna health inc florida"),
        ("---", "---"),
        (" *** ", "***"),
        ("Acme Health, L.L.C.", "acme health"),
        ("Acme Health L. L. C", "acme health"),
        ("L.L.C.", "l l c"),
        ("Children's Plan, Inc.", "childrens plan"),
        ("Children\u2019s Plan", "childrens plan"),
        ("O\u02bcBrien & Sons\u2019 Co.", "obrien sons"),
        ("Incorporated Minds", "incorporated minds"),
        ("Tobaco", "tobaco"),
    ],
)
def test_names_fold_by_case_punctuation_and_legal_endings_but_never_to_nothing(name: str, key: str) -> None:
    assert fold_name(name) == key


@pytest.mark.parametrize(
    ("name", "payer"),
    [
        ("Cigna Health Life Insurance Company", "Cigna"),
        ("Cigna Health and Life Insurance Company", "Cigna"),
        ("Aetna Life insurance Company", "Aetna"),
        ("UMR, Inc.", "UnitedHealth Group"),
        ("BCBS_ILLINOIS", "Blue Cross Blue Shield"),
        ("Rocky Mountain Hospital and Medical Service", "Blue Cross Blue Shield"),
        ("Rocky Mountain Health Plans", "UnitedHealth Group"),
        ("MEDICA-INSURANCE-COMPANY", "Medica"),
        ("Evry Health", "Evry Health"),
        ("Molina Healthcare of Ohio, Inc.", "Molina"),
        ("Connecticare", "Molina"),
        ("RUSH", "Rush"),
    ],
)
def test_spellings_seen_in_the_field_reach_their_payer(name: str, payer: str) -> None:
    assert (payer_of(name)[0], payer_of(name)[2]) == (payer, True)


def test_unknown_payers_are_returned_as_published_not_dropped() -> None:
    assert payer_of("Nobody's Mutual, Inc.") == ("Nobody's Mutual, Inc.", None, False)


def test_nearly_known_names_are_not_guessed() -> None:
    assert payer_of("Aetnna Life Insurance Company")[2] is False
    assert payer_of("Cigna Health Life")[2] is False


def test_unknown_names_that_fold_alike_are_one_payer_under_their_first_spelling() -> None:
    spellings = ["acme plan", "Acme Plan, Inc.", "ACME-PLAN L.L.C.", "Acme's Plan", "Acme\u2019s Plan", "***", "---"]
    for names in (spellings, spellings[::-1]):
        mapped = map_payers(names)
        assert dict(mapped.select("reporting_entity_name", "payer").iter_rows()) == {
            **dict.fromkeys(spellings[:3], "ACME-PLAN L.L.C."),
            **dict.fromkeys(spellings[3:5], "Acme's Plan"),
            **{name: name for name in spellings[5:]},
        }
        assert mapped["payer_mapped"].to_list() == [False] * len(names)
        assert mapped["parent_company"].null_count() == len(names)


def test_payers_are_those_of_the_plain_reading() -> None:
    chance = random.Random(1)
    parts = (
        "acme",
        "Acme",
        "l",
        "L.L.C.",
        "LLC",
        "Inc",
        "Co.",
        "O'Neil",
        "O\u2019Neil",
        "&",
        "...",
        "BCBSM",
        "Medicare",
        "",
    )
    names: set[str | None] = {chance.choice((" ", "-", ", ")).join(chance.choices(parts, k=3)) for _ in range(400)}
    names |= {None, "Medicare", "BUCA", "Unknown", *TABLE["reporting_entity_name"]}
    reviewed = dict(TABLE.select("reporting_entity_name", "payer").iter_rows())
    assert dict(map_payers(names, TABLE).select("reporting_entity_name", "payer").iter_rows()) == plain_payers(
        names, reviewed
    )


def test_every_reviewed_name_keeps_its_payer_whatever_its_ending_and_apostrophes() -> None:
    expected: dict[str | None, str] = {}
    for name, payer in load_reference(PAYERS).select("reporting_entity_name", "payer").iter_rows():
        spelled = (f"{name}, L.L.C.", f"{name.upper()} L. L. C.", f"{name} LLC", name.replace("'", "\u2019"))
        expected |= dict.fromkeys(spelled, payer)
    assert dict(map_payers(expected).select("reporting_entity_name", "payer").iter_rows()) == expected


@pytest.mark.parametrize("name", [None, "", "  "])
def test_a_missing_name_is_the_unknown_payer(name: str | None) -> None:
    assert payer_of(name) == ("Unknown", None, False)


def test_an_entity_named_like_a_composite_does_not_become_one() -> None:
    assert payer_of("BUCA")[0] == "BUCA (reporting entity)"
    assert payer_of("Medicare")[0] == "Medicare (reporting entity)"


def test_the_very_spelling_comes_before_the_folded_one() -> None:
    mapped = map_payers(["BCBSM", "BCBSM, Inc.", "bcbsm llc"], TABLE)
    assert mapped["parent_company"].to_list() == ["Michigan", "Minnesota", "Minnesota"]


def test_mapping_is_one_sorted_row_per_name_whatever_the_order() -> None:
    names = ["Zeta", None, "Acme Health", "Zeta"]
    mapped = map_payers(names, TABLE)
    assert mapped["reporting_entity_name"].to_list() == [None, "Acme Health", "Zeta"]
    assert mapped.equals(map_payers(reversed(names), TABLE))


def test_no_two_spellings_of_the_table_fold_alike_with_different_payers() -> None:
    assert conflicting_keys(load_reference(PAYERS)) == {}


def test_a_conflict_in_the_table_is_named() -> None:
    twice = pl.concat([TABLE, TABLE.head(1).with_columns(pl.lit("ACME HEALTH").alias("reporting_entity_name"),
                                                         pl.lit("Other").alias("payer"))])  # fmt: skip
    assert conflicting_keys(twice) == {"acme health": ["Acme", "Other"]}


def test_every_spelling_of_the_table_maps_to_its_own_row() -> None:
    table = load_reference(PAYERS)
    mapped = map_payers(table["reporting_entity_name"].to_list())
    joined = table.join(mapped, on="reporting_entity_name", suffix="_found")
    assert len(joined) == len(table) == table["reporting_entity_name"].n_unique()
    assert joined.filter(pl.col("payer") != pl.col("payer_found")).is_empty()
    assert joined.filter(pl.col("parent_company") != pl.col("parent_company_found")).is_empty()


def test_the_table_never_says_other_and_knows_the_four() -> None:
    payers = set(load_reference(PAYERS)["payer"])
    assert "Other" not in payers
    assert set(BUCA) <= payers
    assert not [payer for payer in payers if "(" in payer]


def test_mappings_never_used_are_listed() -> None:
    assert unused_mappings(["acme health llc", None, "Zeta"], TABLE) == ["BCBSM", "BCBSM, Inc."]


@pytest.mark.parametrize(
    ("payer", "slug"),
    [
        ("Blue Cross Blue Shield", "blue-cross-blue-shield"),
        ("UnitedHealth Group", "unitedhealth-group"),
        ("Aetna", "aetna"),
        ("L.A. Care", "l-a-care"),
        ("Unknown", "unknown"),
        ("Acme Health Plan", "acme-health-plan"),
    ],
)
def test_slugs_of_plain_names_are_bare(payer: str, slug: str) -> None:
    assert payer_slug(payer) == slug


@pytest.mark.parametrize("payer", ["Con", "Aux", "Nul", "Com1", "Lpt9"])
def test_no_slug_is_the_name_of_a_device(payer: str) -> None:
    assert payer_slug(payer).startswith(f"{payer.lower()}-")
    assert payer_slug("Com10") == "com10"


def test_a_slug_that_would_be_lossy_has_eight_digits_of_the_names_digest_behind_it() -> None:
    digest = hashlib.sha256(b"(Aetna) 2.").hexdigest()
    assert payer_slug("(Aetna) 2.") == f"aetna-2-{digest[:8]}"
    assert payer_slug("A") == "a"
    assert payer_slug(" Acme") != payer_slug("Acme") == "acme"
    assert payer_slug(" Acme").startswith("acme-")


def test_a_slug_is_bare_up_to_80_characters_and_cut_there() -> None:
    assert payer_slug("A" + "b" * 79) == "a" + "b" * 79
    assert payer_slug("A" + "b" * 80).startswith("a" + "b" * 79 + "-")


def test_different_payers_never_share_a_slug() -> None:
    names = {
        "AETNA",
        "aetna",
        "Aetna.",
        "Ætna",
        "Acme-Health",
        "Acme Health",
        "ACME health",
        "健保",
        "保健",
        "",
        "x" * 300,
    }
    names |= {"Unitedhealth Group", "UnitedHealth Group", "L A Care", "x" * 301} | set(load_reference(PAYERS)["payer"])
    chance = random.Random(1)
    names |= {"".join(chance.choices(string.ascii_letters + " .-", k=3)) for _ in range(5000)}
    slugs = {payer_slug(name) for name in names}
    assert len(slugs) == len(names)
    assert all(slug.isascii() and slug == slug.lower() and 0 < len(slug) < 100 for slug in slugs)
