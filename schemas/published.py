"""The published tables of CONTRACT section 3: one declaration from which files, checks and data dictionary follow."""

from schemas.codes import EXCLUSIONS, PERCENTILES
from schemas.coverage import COVERAGE
from schemas.practices import PRACTICES
from schemas.table import MONTH as _MONTH
from schemas.table import USD as _USD
from schemas.table import Column, Table

_RULES = ", ".join(f"`{rule.name}`" for rule in EXCLUSIONS)

_PERCENTILE_COLUMNS = tuple(
    Column(f"p{p}_usd", "float64", f"{p}th percentile of the observations, linear between order statistics", _USD)
    for p in PERCENTILES
)

SUMMARIES = Table(
    name="SUMMARIES",
    description="Percentile benchmarks: the headline deliverable",
    path="summaries/period=YYYY-MM/summaries.parquet",
    grain=("month", "billing_code", "billing_class", "payer", "geography", "taxonomy_tier", "weighting"),
    columns=(
        _MONTH,
        Column("billing_code", "string", "CPT code"),
        Column("billing_class", "string", "`professional` (published as professional or both) or `institutional`"),
        Column("payer", "string", "payer by its parent; `BUCA`, `All commercial` and `Medicare` are not payers"),
        Column("payer_kind", "string", "`payer`, `composite` (payers pooled) or `benchmark` (Medicare)"),
        Column("geography", "string", "`US` or a two-letter USPS code: the NPI's practice state, never the file's"),
        Column(
            "taxonomy_tier",
            "string",
            "`strict` (physical therapy), `balanced` (strict and plausible), `all` or `billed`",
        ),
        Column("weighting", "string", "`npi` (each provider once), `tin` (each TIN once), `services` or `locality`"),
        Column("n_npi", "int64?", "distinct NPIs behind the figures; null for Medicare", "providers"),
        Column("n_tin", "int64?", "distinct TINs behind the figures; null for Medicare", "contract holders"),
        Column("n_rates", "int64", "eligible rate rows behind the figures; for Medicare, localities", "rows"),
        Column("n_files", "int64?", "distinct source files behind the figures; null for Medicare", "files"),
        Column("mean_usd", "float64", "mean of the observations", _USD),
        Column("min_usd", "float64", "lowest observation", _USD),
        *_PERCENTILE_COLUMNS,
        Column("max_usd", "float64", "highest observation", _USD),
        Column("iqr_usd", "float64", "p75_usd - p25_usd: dispersion", _USD),
        Column(
            "pct_of_medicare",
            "float64?",
            "100 x p50_usd / Medicare's p50_usd of the same code and geography; null where Medicare has none",
            "percent",
        ),
        Column(
            "pct_of_local_medicare",
            "float64?",
            "median over the observations of 100 x rate / Medicare's amount at the provider's own locality; null for "
            "weighting `tin`, and where no locality is known",
            "percent",
        ),
        Column("low_sample", "bool", "fewer than 11 NPIs or fewer than 3 TINs: published, but flagged"),
        Column("medicare_year", "int32?", "year of the fee schedule compared with", "year"),
        Column("methodology", "string", "version of the methodology"),
    ),
)

_NETWORK_NAME = Column("network_name", "string", "network as published on the provider references, trimmed")

NETWORK_SUMMARIES = Table(
    name="NETWORK_SUMMARIES",
    description="`summaries` per network, of payers whose files name networks; weighting `npi` alone",
    path="network_summaries/period=YYYY-MM/network_summaries.parquet",
    grain=(*SUMMARIES.grain[:4], "network_name", *SUMMARIES.grain[4:]),
    columns=tuple(
        each for column in SUMMARIES for each in ((column, _NETWORK_NAME) if column.name == "payer" else (column,))
    ),
)

_WHO = ("tin_type", "tin", "npi")
_WHAT = (
    *("reporting_entity_name", "billing_code", "billing_code_type", "arrangement", "negotiated_type"),
    *("negotiated_rate", "billing_class", "setting", "service_codes", "modifiers", "expiration_date"),
)
RATE_GRAIN = (*_WHAT, *_WHO)
RATE_SORT = (*reversed(_WHO), *_WHAT)

RATES = Table(
    name="RATES",
    description="Every matched price, one row each, nothing dropped: exclusion says why a row does not count",
    path="rates/period=YYYY-MM/payer_slug=SLUG/rates.parquet",
    grain=("month", *RATE_GRAIN),
    sort=("month", *RATE_SORT),
    columns=(
        _MONTH,
        Column("reporting_entity_name", "string?", "as the file's header states it"),
        Column("billing_code", "string", "the item's own code, trimmed"),
        Column("billing_code_type", "string?", "trimmed, upper case; null where the file has none"),
        Column("arrangement", "string?", "negotiation_arrangement as published"),
        Column("negotiated_type", "string?", "as published"),
        Column(
            "negotiated_rate",
            "float64?",
            "as published: US dollars, or percent where negotiated_type is percentage; null when no number",
            "US dollars or percent, see negotiated_type",
        ),
        Column("billing_class", "string?", "trimmed, lower case"),
        Column("setting", "string?", "as published; null where the file has none"),
        Column("service_codes", "list[string]", "place of service codes: trimmed, upper case, sorted, unique"),
        Column("modifiers", "list[string]", "billing code modifiers: trimmed, upper case, sorted, unique"),
        Column("expiration_date", "date?", "null: none stated, or 9999-12-31"),
        Column("tin_type", "string?", "`ein` or `npi` as published"),
        Column("tin", "string?", "digits only; of type ein nine of them, zeros in front"),
        Column("npi", "int64?", "digits only; 0 as published; -1 where the digits exceed 64 bits"),
        Column("payer", "string", "payer by its parent"),
        Column("parent_company", "string?", "parent company"),
        Column("payer_mapped", "bool", "true when the reviewed payer table knows reporting_entity_name"),
        Column("network_names", "list[string]", "networks of the provider references behind the row, sorted, unique"),
        Column("state", "string?", "the NPI's practice state in NPPES"),
        Column("taxonomy", "string?", "the NPI's taxonomy code that gave the tier"),
        Column("taxonomy_tier", "string?", "`strict`, `balanced` or `other`; null without an NPPES row"),
        Column("last_updated_on", "date?", "the latest among the row's files"),
        Column("n_files", "int64", "distinct source files that hold the row", "files"),
        Column("source_ids", "list[string]", "those files, by source_id of quality/files, sorted"),
        Column(
            "business_name",
            "string?",
            "of the TIN, as published in 2.x; where a row has several, the first in code point order",
        ),
        Column(
            "group_size",
            "int64?",
            "distinct NPIs of the largest provider group that gave the row; null without one",
            "NPIs",
        ),
        Column("exclusion", "string?", f"null: the row is eligible; else the first rule it fails: {_RULES}"),
    ),
)

PROVIDERS = Table(
    name="PROVIDERS",
    description="The observations behind the percentiles",
    path="providers/period=YYYY-MM/providers.parquet",
    grain=("month", "payer", "billing_code", "billing_class", "tin", "npi"),
    columns=(
        _MONTH,
        Column("payer", "string", "payer by its parent"),
        Column("billing_code", "string", "CPT code"),
        Column("billing_class", "string", "`professional` (published as professional or both) or `institutional`"),
        Column("tin", "string?", "contract holder, digits only"),
        Column("npi", "int64", "provider"),
        Column("state", "string?", "the NPI's practice state in NPPES; null without an NPPES reference"),
        Column("zip5", "string?", "the NPI's practice ZIP code in NPPES"),
        Column("locality", "string?", "Medicare locality of that ZIP code, such as `CA 05`"),
        Column("taxonomy_tier", "string?", "`strict`, `balanced` or `other`"),
        Column(
            "evidence",
            "string?",
            "`billed` (Medicare, for the code), `related` (for another code of its family), `none` (for neither); null "
            "for an NPI that is not in the utilization file, and without one",
        ),
        Column(
            "services",
            "float64?",
            "services of the code that the NPI billed Medicare in the utilization file's year; null unless `billed`",
            "services",
        ),
        Column("representative_rate_usd", "float64", "median of the distinct rates of the best negotiated_type", _USD),
        Column("medicare_usd", "float64?", "Medicare's amount for the code at that locality", _USD),
        Column("n_rates", "int64", "eligible rate rows behind the representative rate", "rows"),
        Column("exclusion", "string?", "null, or `outlier`: leaves the percentiles"),
    ),
)

FILES = Table(
    name="FILES",
    description="One row per source: what was read, and its status",
    path="quality/period=YYYY-MM/files.parquet",
    grain=("month", "source"),
    columns=(
        _MONTH,
        Column("source_id", "string?", "content identity: sha256 of the bytes as published"),
        Column(
            "source",
            "string",
            "path or URL, without query and credentials; with @ and 12 digits of source_id: its earlier content, "
            "where a withheld payer's rows come from that and others' from its present content",
        ),
        Column("status", "string", "`matched`, `no_match`, `quarantined`, `unchanged` or `undated` (of another month)"),
        Column(
            "reason",
            "string?",
            "why it was quarantined, where in the file, what to do next; why it is undated, or its published rows stay",
        ),
        Column("bytes", "int64?", "bytes as published", "bytes"),
        Column("bytes_json", "int64?", "bytes of JSON after inflating", "bytes"),
        Column("sha256", "string?", "of the bytes as published"),
        Column("etag", "string?", "as the server announced it"),
        Column("version", "string?", "schema version as the file states it"),
        Column("shape", "string?", "what was found: in_network, table_of_contents, allowed_amounts, ..."),
        Column("reporting_entity_name", "string?", "as the file's header states it"),
        Column("payer", "string?", "payer by its parent"),
        Column("last_updated_on", "date?", "as the file's header states it"),
        Column("description", "string?", "its first description in an index; null where no index lists it"),
        Column("index", "string?", "the index that lists it; null where none does"),
        Column("plans", "int64?", "reporting plans behind it, summed over its mentions in indexes", "plans"),
        Column("plan_market_types", "list[string]", "of these plans, as published; the first 20"),
        Column("plan_id_types", "list[string]", "of these plans, as published; the first 20"),
        Column("networks", "list[string]", "networks that its indexes name; the first 20"),
        Column("items_seen", "int64", "in-network items in the file", "items"),
        Column("items_matched", "int64", "items of the wanted codes", "items"),
        Column("prices", "int64", "negotiated prices of the matched items", "prices"),
        Column("rows", "int64", "distinct rate rows of the file: rows_eligible plus its exclusions", "rows"),
        Column("rows_eligible", "int64", "rows that no rule excludes", "rows"),
        Column("twin_of", "string?", "another source of this run with the same bytes, counted once"),
        Column("quirks", "list[string]", "departures from the published schema that were read all the same"),
        Column("seconds", "float64", "reading time; 0 when the extract of an earlier run was used", "seconds"),
    ),
)

FILE_EXCLUSIONS = Table(
    name="EXCLUSIONS",
    description="Rows that do not count, by file, payer, code and rule; rows of a file = eligible + these",
    path="quality/period=YYYY-MM/exclusions.parquet",
    grain=("month", "source_id", "payer", "billing_code", "reason"),
    columns=(
        _MONTH,
        Column("source_id", "string", "source_id of quality/files"),
        Column("payer", "string", "payer by its parent"),
        Column("billing_code", "string", "CPT code"),
        Column("reason", "string", f"the first rule that the rows fail: {_RULES}"),
        Column("rows", "int64", "distinct rate rows", "rows"),
    ),
)

UNMAPPED = Table(
    name="UNMAPPED",
    description="Values missing from the reference data, and mappings never used",
    path="quality/period=YYYY-MM/unmapped.parquet",
    grain=("month", "kind", "value"),
    columns=(
        _MONTH,
        Column("kind", "string", "`reporting_entity` (no payer), `npi` (no NPPES row) or `unused_mapping`"),
        Column("value", "string", "the name or number"),
        Column("rows", "int64", "rate rows that have it; 0 for an unused mapping", "rows"),
    ),
)

PUBLISHED = (SUMMARIES, NETWORK_SUMMARIES, RATES, PROVIDERS, FILES, FILE_EXCLUSIONS, UNMAPPED, COVERAGE, PRACTICES)
