"""The exclusion rules (CONTRACT section 4, Exclude) as expressions; the first that applies is the row's."""

import polars as pl

from schemas.codes import (
    ALLOWED_MODIFIERS,
    EXCLUSIONS,
    GEOGRAPHIES,
    NEGOTIATED_TYPES,
    OFFICE_SERVICE_CODES,
    PROFESSIONAL_CLASSES,
)

US_COUNTRIES = ("US", "PR", "VI", "GU", "AS", "MP")  # NPPES gives territories either way
_LUHN_PREFIX_SUM = 24  # the digits of 80840 under the Luhn weights, which an NPI's check digit includes

_NEEDS_NPPES = ("npi_unknown", "npi_deactivated", "outside_us")


def exclusion(*, with_nppes: bool) -> pl.Expr:
    """The first rule a rate row fails, null when eligible.

    Needs the columns of ``schemas.RATES``, and ``unresolved``; with NPPES also ``nppes_known``, ``deactivated`` and
    ``country``. Without NPPES the three rules that need it do not apply.
    """
    rules = _rules()
    branches = [
        pl.when(rules[rule.name].fill_null(value=False)).then(pl.lit(rule.name))
        for rule in EXCLUSIONS
        if with_nppes or rule.name not in _NEEDS_NPPES
    ]
    return pl.coalesce(*branches)


def _rules() -> dict[str, pl.Expr]:
    services = pl.col("service_codes")
    office = pl.any_horizontal(services.list.contains(code) for code in OFFICE_SERVICE_CODES)
    rate = pl.col("negotiated_rate")
    return {
        "arrangement": pl.col("arrangement").ne_missing("ffs"),
        "not_dollars": ~pl.col("negotiated_type").is_in(NEGOTIATED_TYPES).fill_null(value=False),
        "bad_rate": rate.is_null() | ~rate.is_finite() | (rate <= 0),
        "modifier": pl.col("modifiers").list.set_difference(list(ALLOWED_MODIFIERS)).list.len() > 0,
        "place_of_service": pl.col("billing_class").is_in(PROFESSIONAL_CLASSES) & (services.list.len() > 0) & ~office,
        "expired": pl.col("expiration_date") < pl.col("last_updated_on"),
        "provider_unresolved": pl.col("unresolved"),
        "no_npi": pl.col("npi").is_null() | (pl.col("npi") == 0),
        "npi_invalid": ~is_valid_npi(pl.col("npi")),
        "npi_unknown": ~pl.col("nppes_known"),
        "npi_deactivated": pl.col("deactivated"),
        "outside_us": ~(
            pl.col("state").is_in(GEOGRAPHIES).fill_null(value=False)
            & pl.col("country").is_in(US_COUNTRIES).fill_null(value=True)
        ),
    }


def is_valid_npi(npi: pl.Expr) -> pl.Expr:
    """Ten digits that start with 1 or 2 and satisfy Luhn over 80840 + NPI."""
    digits = [(npi // 10**power) % 10 for power in range(10)]  # digits[0] is the check digit
    doubled = [digit * 2 - pl.when(digit > 4).then(9).otherwise(0) for digit in digits[1::2]]
    total = pl.sum_horizontal(*doubled, *digits[0::2]) + _LUHN_PREFIX_SUM
    return npi.is_between(1_000_000_000, 2_999_999_999) & (total % 10 == 0)
