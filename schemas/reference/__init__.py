"""Reference data that travels with the package: payers, taxonomies, Medicare 2020 to 2026, localities of ZIP codes.

Relative values, indices and conversion factors are kept as text, so that they reach ``Decimal`` exactly as printed.
"""

import gzip
from functools import cache
from importlib import resources

import polars as pl

from schemas.table import Column, SchemaError, Table

PAYERS = Table(
    name="PAYERS",
    description="Reviewed payer of each known spelling of a reporting entity's name",
    path="payers.csv",
    grain=("reporting_entity_name",),
    columns=(
        Column("reporting_entity_name", "string", "as seen in file headers and file names"),
        Column("payer", "string", "payer by its parent: what the benchmarks call it"),
        Column("parent_company", "string", "parent company"),
        Column("evidence", "string", "where the spelling was seen; what a review changed"),
    ),
)

THERAPY_TAXONOMIES = Table(
    name="THERAPY_TAXONOMIES",
    description="How plausibly a provider taxonomy performs the benchmarked services; unlisted codes are `other`",
    path="therapy_taxonomies.csv",
    grain=("code",),
    columns=(
        Column("code", "string", "NUCC taxonomy code; a trailing `*` makes it a prefix, the longest match wins"),
        Column("tier", "string", "`strict`, `balanced`, `balanced_97028_only` or `other`"),
        Column("label", "string", "short label, our words"),
        Column("why", "string", "reason of the tier"),
    ),
)

MEDICARE_RVUS = Table(
    name="MEDICARE_RVUS",
    description="Physician Fee Schedule relative values of a year, rows without modifier",
    path="medicare_rvus.csv",
    grain=("year", "billing_code"),
    columns=(
        Column("year", "int32", "fee schedule year", "year"),
        Column("billing_code", "string", "CPT or HCPCS code"),
        Column("status_code", "string", "A active, R restricted coverage, ..."),
        Column("multiple_procedure_indicator", "string", "5: the therapy reduction applies"),
        Column("work_rvu", "string", "physician work, decimal text", "RVU"),
        Column("pe_nonfacility_rvu", "string", "practice expense outside facilities, decimal text", "RVU"),
        Column("pe_facility_rvu", "string", "practice expense in facilities, decimal text", "RVU"),
        Column("mp_rvu", "string", "malpractice, decimal text", "RVU"),
    ),
)

MEDICARE_GPCIS = Table(
    name="MEDICARE_GPCIS",
    description="Geographic practice cost indices of a year, one row per Medicare locality",
    path="medicare_gpcis.csv",
    grain=("year", "mac", "locality"),
    columns=(
        Column("year", "int32", "fee schedule year", "year"),
        Column("mac", "string", "Medicare Administrative Contractor, five digits"),
        Column("state", "string", "two-letter USPS code"),
        Column("locality", "string", "locality number, two digits"),
        Column("locality_name", "string", "as CMS prints it, without footnote marks"),
        Column("work_gpci", "string", "with the 1.0 floor, decimal text", "index"),
        Column("pe_gpci", "string", "decimal text", "index"),
        Column("mp_gpci", "string", "decimal text", "index"),
    ),
)

MEDICARE_CONVERSION_FACTORS = Table(
    name="MEDICARE_CONVERSION_FACTORS",
    description="US dollars per relative value unit, by the days it was in force",
    path="medicare_conversion_factors.csv",
    grain=("year", "effective_from"),
    columns=(
        Column("year", "int32", "fee schedule year", "year"),
        Column("effective_from", "date", "first day in force"),
        Column("effective_to", "date", "last day in force"),
        Column("conversion_factor", "string", "decimal text", "US dollars per RVU"),
    ),
)

MEDICARE_TABLES = (MEDICARE_RVUS, MEDICARE_GPCIS, MEDICARE_CONVERSION_FACTORS)

ZIP_LOCALITIES = Table(
    name="ZIP_LOCALITIES",
    description="CMS's ZIP Code to Carrier Locality file: the Medicare locality of each ZIP code",
    path="zip_localities.csv.gz",
    grain=("year", "zip5"),
    columns=(
        Column("year", "int32", "year of the edition", "year"),
        Column("quarter", "int32", "quarter of the edition"),
        Column("zip5", "string", "ZIP code, five digits"),
        Column("mac", "string", "Medicare Administrative Contractor, five digits"),
        Column("locality", "string", "locality number, two digits"),
    ),
)

CODE_FAMILIES = Table(
    name="CODE_FAMILIES",
    description="The family of each reviewed code: billing another code of it is evidence `related`",
    path="code_families.csv",
    grain=("billing_code",),
    columns=(
        Column("billing_code", "string", "CPT or HCPCS code"),
        Column("first_code", "string", "first code of the family's range"),
        Column("last_code", "string", "last code of the range, included"),
        Column("source", "string", "where the range stands"),
        Column("reviewed_on", "date", "day of the review"),
    ),
)

NPPES = Table(
    name="NPPES",
    description="One row per NPI: practice location, taxonomies, deactivation",
    grain=("npi",),
    columns=(
        Column("npi", "int64", "National Provider Identifier"),
        Column("entity_type", "int32?", "1 individual, 2 organization; null once deactivated"),
        Column("state", "string?", "practice location state as published, upper case"),
        Column("country", "string?", "practice location country as published, upper case"),
        Column("zip5", "string?", "practice location ZIP code, five digits; null outside the US"),
        Column("taxonomies", "list[string]", "distinct taxonomy codes, sorted"),
        Column("deactivated", "bool", "deactivated and not reactivated since"),
    ),
)

UTILIZATION = Table(
    name="UTILIZATION",
    description="Services that each NPI billed, of the wanted codes and their families; every NPI of the file",
    grain=("year", "npi", "billing_code"),
    columns=(
        Column("year", "int32", "year of the services", "year"),
        Column("npi", "int64", "provider"),
        Column("billing_code", "string?", "null: the NPI billed none of these codes"),
        Column("services", "float64?", "of all places of service, to a thousandth", "services"),
    ),
)

LOCALITY_AMOUNTS = Table(
    name="LOCALITY_AMOUNTS",
    description="Medicare's non-facility amount per code and locality",
    grain=("billing_code", "mac", "locality"),
    columns=(
        Column("billing_code", "string", "CPT or HCPCS code"),
        Column("medicare_year", "int32", "fee schedule year", "year"),
        Column("mac", "string", "Medicare Administrative Contractor"),
        Column("state", "string", "two-letter USPS code"),
        Column("locality", "string", "locality number"),
        Column("locality_name", "string", "as CMS prints it"),
        Column("amount_usd", "float64", "first service of the day", "US dollars per service"),
        Column(
            "therapy_reduced_usd",
            "float64?",
            "second therapy service of the day: half the PE part; null where that rule does not apply",
            "US dollars per service",
        ),
    ),
)

NATIONAL_AMOUNTS = Table(
    name="NATIONAL_AMOUNTS",
    description="Medicare's unadjusted amount per code: all GPCIs 1",
    grain=("billing_code",),
    columns=tuple(
        column for column in LOCALITY_AMOUNTS if column.name not in {"mac", "state", "locality", "locality_name"}
    ),
)


@cache
def load_reference(table: Table) -> pl.DataFrame:
    """The table as packaged, in file order; treat the frame as read-only."""
    content = resources.files(__name__).joinpath(table.path).read_bytes()
    return parse_reference(gzip.decompress(content) if table.path.endswith(".gz") else content, table)


def parse_reference(text: bytes, table: Table) -> pl.DataFrame:
    """CSV in the packaged layout as ``table``; other columns, or a value of the wrong type, raise ``SchemaError``."""
    header = text.split(b"\n", 1)[0].decode().strip().split(",")
    if header != table.names:
        raise SchemaError(f"{table.path}: columns are {','.join(header)}, expected {','.join(table.names)}")
    try:
        return pl.read_csv(text, schema=table.polars)
    except pl.exceptions.PolarsError as error:
        raise SchemaError(f"{table.path}: {str(error).splitlines()[0]}") from error
