"""Practices: what `tic-rates practice` reads of a practice's own volumes, and what it publishes."""

from schemas.table import MONTH, USD, Column, Table

VOLUMES = Table(
    name="VOLUMES",
    description="Units that a practice bills in a year, from its own csv",
    grain=("payer", "npi", "billing_code"),
    columns=(
        Column("payer", "string?", "payer as in the tables; null: the units are set against every payer"),
        Column("npi", "int64?", "provider; null: the practice as a whole"),
        Column("billing_code", "string", "CPT code"),
        Column("units", "float64", "units a year", "units a year"),
    ),
)

_GAP_TO = {
    "p25": "the market's p25_usd",
    "p50": "the market's p50_usd",
    "p75": "the market's p75_usd",
    "medicare": "medicare_usd",
}
_GAPS = tuple(
    column
    for name, meaning in _GAP_TO.items()
    for column in (
        Column(f"gap_{name}_usd", "float64?", f"own_rate_usd - {meaning}: above zero, the practice has more", USD),
        Column(f"gap_{name}_pct", "float64?", f"100 x gap_{name}_usd / {meaning}", "percent"),
        Column(f"gap_{name}_yearly_usd", "float64?", f"gap_{name}_usd x yearly_units", "US dollars a year"),
    )
)

PRACTICES = Table(
    name="PRACTICES",
    description="One provider's or group's rates against the market of its state, by `tic-rates practice`",
    path="practices/period=YYYY-MM/practice_slug=SLUG/practices.parquet",
    grain=(
        *("month", "practice", "payer", "billing_code", "billing_class", "geography", "taxonomy_tier", "level"),
        *("npi", "tin", "network_name"),
    ),
    columns=(
        MONTH,
        Column("practice", "string", "its NPI; of several, the lowest and a digest of what was asked"),
        Column("payer", "string", "payer by its parent"),
        Column("billing_code", "string", "CPT code"),
        Column(
            "billing_class",
            "string?",
            "`professional` (published as professional or both) or `institutional`; of excluded rows as published",
        ),
        Column(
            "geography",
            "string",
            "the practice's state; `US` for rows whose NPI has none of the published geographies in NPPES",
        ),
        Column(
            "taxonomy_tier",
            "string",
            "tier of the market: `balanced`, and with utilization `billed`; `all` without NPPES",
        ),
        Column("level", "string", "`practice`, `npi`, `tin` or `network`: what the rate is the median of"),
        Column("npi", "int64?", "of level `npi`"),
        Column("tin", "string?", "contract holder, digits only; of levels `tin` and `network`"),
        Column("network_name", "string?", "as published on the provider references; of level `network`"),
        Column("business_name", "string?", "of the TIN, as published; the first in code point order"),
        Column("status", "string", "`rated`, `outlier`, `excluded` or `absent`"),
        Column("exclusions", "list[string]", "rules by which rate rows of the practice do not count, in their order"),
        Column("n_rates", "int64", "eligible rate rows of the practice", "rows"),
        Column("n_rates_excluded", "int64", "its other rate rows", "rows"),
        Column("n_npi", "int64", "its NPIs behind the rate; where none is rated, behind the rows", "providers"),
        Column("own_rate_usd", "float64?", "its rate; null where it is excluded or absent", USD),
        Column("rank", "int64?", "1 + the market's observations above own_rate_usd"),
        Column(
            "percentile",
            "float64?",
            "100 x (observations below own_rate_usd + half of those equal to it) / n_market",
            "percent",
        ),
        Column("n_market", "int64", "observations of the market: the payer's NPIs in the geography and tier"),
        Column("low_sample", "bool?", "of the market: fewer than 11 NPIs or fewer than 3 TINs"),
        Column("p25_usd", "float64?", "of the market, as in `summaries`", USD),
        Column("p50_usd", "float64?", "of the market, as in `summaries`", USD),
        Column("p75_usd", "float64?", "of the market, as in `summaries`", USD),
        Column("locality", "string?", "Medicare locality of the NPIs; null where they have several"),
        Column("medicare_usd", "float64?", "Medicare's amount at the locality; the median over the NPIs", USD),
        Column(
            "yearly_units",
            "float64?",
            "units of --volumes of the NPIs behind the rate; of level `practice`, class professional",
            "units a year",
        ),
        *_GAPS,
    ),
)
