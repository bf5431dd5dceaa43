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
        Column("taxonomies", "list[string]", "distinct taxonomy codes, sorted"),
        Column("deactivated", "bool", "deactivated and not reactivated since"),
    ),
)

NPPES_RECORDS = Table(
    name="NPPES_RECORDS",
    description="Records as read from CMS's files, oldest file first; an NPI's last record counts",
    grain=(),
    columns=(
        Column("npi", "int64", "National Provider Identifier"),
        Column("entity_type", "int32", "1 individual, 2 organization", nullable=True),
        Column("state", "string", "practice location state, upper case", nullable=True),
        Column("country", "string", "practice location country, upper case", nullable=True),
        Column("taxonomies", "list[string]", "distinct taxonomy codes, sorted"),
        Column("deactivation_date", "date", "as published", nullable=True),
        Column("reactivation_date", "date", "as published", nullable=True),
    ),
)

NPPES_DEACTIVATIONS = Table(
    name="NPPES_DEACTIVATIONS",
    description="CMS's monthly report of deactivated NPIs",
    grain=("npi",),
    columns=(
        Column("npi", "int64", "National Provider Identifier"),
        Column("deactivation_date", "date", "as published"),
    ),
)
