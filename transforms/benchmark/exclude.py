"""The exclusion rules (CONTRACT section 4, Exclude): the first that applies, in their order, is the row's exclusion.

A rule looks at the price alone, at the NPI alone, or at the row. So the first two are judged once per distinct price
and NPI, as the rule's place in the order, and a row's exclusion is the smallest of its three.
"""

import polars as pl

from schemas.codes import (
    ALLOWED_MODIFIERS,
    BILLING_CLASSES,
    EXCLUSIONS,
    GEOGRAPHIES,
    NEGOTIATED_TYPES,
    OFFICE_SERVICE_CODES,
    PROFESSIONAL_CLASSES,
)

US_COUNTRIES = ("US", "PR", "VI", "GU", "AS", "MP")  # NPPES gives territories either way
_LUHN_PREFIX_SUM = 24  # the digits of 80840 under the Luhn weights, which an NPI's check digit includes

NAMES = [rule.name for rule in EXCLUSIONS]


def price_rule() -> pl.Expr:
    """The first rule that a price fails by itself: needs PRICE_KEY's columns."""
    services = pl.col("service_codes")
    office = pl.any_horizontal(services.list.contains(code) for code in OFFICE_SERVICE_CODES)
    rate = pl.col("negotiated_rate")
    return _first(
        {
            "arrangement": pl.col("arrangement").ne_missing("ffs"),
            "not_dollars": ~pl.col("negotiated_type").is_in(NEGOTIATED_TYPES).fill_null(value=False),
            "bad_rate": rate.is_null() | ~rate.is_finite() | (rate <= 0),
            "modifier": pl.col("modifiers").list.set_difference(list(ALLOWED_MODIFIERS)).list.len() > 0,
            "place_of_service": pl.col("billing_class").is_in(PROFESSIONAL_CLASSES)
            & (services.list.len() > 0)
            & ~office,
            "billing_class": ~pl.col("billing_class").is_in(BILLING_CLASSES).fill_null(value=False),
        }
    )


def row_rule() -> pl.Expr:
    """The first rule that depends on the pair: needs expiration_date, last_updated_on, unresolved."""
    return _first(
        {
            "expired": pl.col("expiration_date") < pl.col("last_updated_on"),
            "provider_unresolved": pl.col("unresolved"),
        }
    )


def npi_rule(*, with_nppes: bool) -> pl.Expr:
    """The first rule that an NPI fails by itself: needs npi; with NPPES also known, deactivated, state, country."""
    npi = pl.col("npi")
    rules = {"no_npi": npi.is_null() | (npi == 0), "npi_invalid": ~is_valid_npi(npi)}
    if with_nppes:
        rules |= {
            "npi_unknown": ~pl.col("known"),
            "npi_deactivated": pl.col("deactivated"),
            "outside_us": ~(
                pl.col("state").is_in(GEOGRAPHIES).fill_null(value=False)
                & pl.col("country").is_in(US_COUNTRIES).fill_null(value=True)
            ),
        }
    return _first(rules)


def exclusion(*rules: str) -> pl.Expr:
    """The name of the first of several rules, each a column of places; null when all are null: the row is eligible."""
    return pl.min_horizontal(*rules).replace_strict(dict(enumerate(NAMES)), return_dtype=pl.String)


def _first(failed: dict[str, pl.Expr]) -> pl.Expr:
    """The place, in the order of all rules, of the first that failed; null: none did."""
    ordered = sorted(failed.items(), key=lambda rule: NAMES.index(rule[0]))
    places = [pl.when(fails.fill_null(value=False)).then(pl.lit(NAMES.index(name), pl.Int8)) for name, fails in ordered]
    return pl.coalesce(*places)


def is_valid_npi(npi: pl.Expr) -> pl.Expr:
    """Ten digits that start with 1 or 2 and satisfy Luhn over 80840 + NPI."""
    digits = [(npi // 10**power) % 10 for power in range(10)]  # digits[0] is the check digit
    doubled = [digit * 2 - pl.when(digit > 4).then(9).otherwise(0) for digit in digits[1::2]]
    total = pl.sum_horizontal(*doubled, *digits[0::2]) + _LUHN_PREFIX_SUM
    return npi.is_between(1_000_000_000, 2_999_999_999) & (total % 10 == 0)
