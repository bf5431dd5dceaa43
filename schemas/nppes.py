"""The NPPES lookup: the few columns of CMS's monthly download that the benchmarks need."""

from schemas.table import Column, Table

NPPES = Table(
    name="NPPES",
    description="One row per NPI: practice location, taxonomies, deactivation",
    grain=("npi",),
    columns=(
        Column("npi", "int64", "National Provider Identifier"),
        Column("entity_type", "int32", "1 individual, 2 organization; null once deactivated", nullable=True),
        Column("state", "string", "practice location state as published, upper case", nullable=True),
        Column("country", "string", "practice location country as published, upper case", nullable=True),
        Column("zip5", "string", "practice location ZIP code, five digits; null outside the US", nullable=True),
        Column("taxonomies", "list[string]", "distinct taxonomy codes, sorted"),
        Column("deactivated", "bool", "deactivated and not reactivated since"),
    ),
)
