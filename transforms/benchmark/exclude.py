"""Exclude: the first rule that a rate row fails (CONTRACT section 4, Exclude; the rules in order: ``EXCLUSIONS``).

A rule depends on the price, on the NPI, or on the row. The first two are therefore evaluated once per distinct price
and per NPI. Each gives the number of the first failed rule, its place in ``EXCLUSIONS``, or null. The row's exclusion
is the smallest of the three numbers.
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
    US_COUNTRIES,
)

_LUHN_PREFIX_SUM = 24  # the Luhn sum of the prefix 80840, which an NPI's check digit covers

NAMES = [rule.name for rule in EXCLUSIONS]


def price_rule() -> pl.Expr:
    """The number of the first rule that a price fails, or null; reads the columns of ``resolve.PRICE_KEY``."""
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
    """The number of the first rule that a row fails, or null; reads expiration_date, last_updated_on, unresolved."""
    return _first(
        {
            "expired": pl.col("expiration_date") < pl.col("last_updated_on"),
            "provider_unresolved": pl.col("unresolved"),
        }
    )


def npi_rule(*, with_nppes: bool) -> pl.Expr:
    """The number of the first rule that an NPI fails, or null; reads npi, and known, deactivated, state, country."""
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
    """The name of the rule with the smallest number among columns of rule numbers; null, if all are: eligible."""
    return pl.min_horizontal(*rules).replace_strict(dict(enumerate(NAMES)), return_dtype=pl.String)


def _first(failed: dict[str, pl.Expr]) -> pl.Expr:
    """The number of the first rule whose expression is true; null if none is. A null expression counts as false."""
    ordered = sorted(failed.items(), key=lambda rule: NAMES.index(rule[0]))
    numbers = [
        pl.when(fails.fill_null(value=False)).then(pl.lit(NAMES.index(name), pl.Int8)) for name, fails in ordered
    ]
    return pl.coalesce(*numbers)


def is_valid_npi(npi: pl.Expr) -> pl.Expr:
    """Whether an NPI has ten digits, starts with 1 or 2, and satisfies Luhn over 80840 + NPI; null for null."""
    digits = [(npi // 10**power) % 10 for power in range(10)]  # digits[0] is the check digit
    doubled = [digit * 2 - pl.when(digit > 4).then(9).otherwise(0) for digit in digits[1::2]]
    total = pl.sum_horizontal(*doubled, *digits[0::2]) + _LUHN_PREFIX_SUM
    return npi.is_between(1_000_000_000, 2_999_999_999) & (total % 10 == 0)
