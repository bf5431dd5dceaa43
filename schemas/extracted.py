"""One source's extract: what reading it yields, normalised, before any month is built from it. Internal tables.

Offsets count the bytes of the document as it is once inflated, from 0 and with a byte order mark. Of a zip's member
they count the member's bytes.
"""

from schemas.table import Column, Table

_DOCUMENT = Column("document", "int32", "number of the JSON document in the source: a zip can hold many")
_ORDINAL = Column("ordinal", "int64", "number of the reference in its document: several can share an id")
_RATE_ID = Column("rate_id", "int64", "negotiated_rates element, numbered within the document")
_PROVIDERS = (
    Column("tin_type", "string?", "as published"),
    Column("tin", "string?", "digits only; an EIN has nine"),
    Column("business_name", "string?", "of the TIN, as published"),
    Column("group_size", "int64", "distinct NPIs of the group, 0 and unreadable ones not counted", "NPIs"),
    Column("npi", "list[int64]", "distinct NPIs of the group; null: it states none"),
)

PRICES = Table(
    name="PRICES",
    description="Matched prices, cleaned",
    grain=("document", "rate_id"),
    columns=(
        _DOCUMENT,
        _RATE_ID,
        Column("item_offset", "int64", "where the in_network item's brace stands in the document's JSON", "bytes"),
        Column("arrangement", "string?", "negotiation_arrangement as published"),
        Column("billing_code", "string", "trimmed"),
        Column("billing_code_type", "string?", "trimmed, upper case"),
        Column("negotiated_type", "string?", "as published"),
        Column("negotiated_rate", "float64?", "as published"),
        Column("billing_class", "string?", "trimmed, lower case"),
        Column("setting", "string?", "as published"),
        Column("service_codes", "list[string]", "cleaned"),
        Column("modifiers", "list[string]", "cleaned"),
        Column("expiration_date", "date?", "cleaned"),
    ),
)

CITATIONS = Table(
    name="CITATIONS",
    description="Provider references that matched prices cite",
    grain=("document", "rate_id", "reference_key"),
    columns=(
        _DOCUMENT,
        _RATE_ID,
        Column("reference_key", "string?", "canonical id; null: the citation is not an id"),
    ),
)

INLINE_GROUPS = Table(
    name="INLINE_GROUPS",
    description="Provider groups inside matched rates",
    grain=("document", "rate_id"),
    columns=(_DOCUMENT, _RATE_ID, *_PROVIDERS),
)

REFERENCES = Table(
    name="REFERENCES",
    description="Cited provider references",
    grain=("document", "ordinal"),
    columns=(
        _DOCUMENT,
        _ORDINAL,
        Column("reference_key", "string", "canonical id"),
        Column("location", "string?", "remote file, where the reference holds no groups itself"),
        Column("network_names", "list[string]", "as published, trimmed, sorted, unique"),
        Column("n_groups", "int64", "provider groups it holds itself", "groups"),
        Column("reference_offset", "int64", "where its brace stands in the document's JSON", "bytes"),
    ),
)

REFERENCE_GROUPS = Table(
    name="REFERENCE_GROUPS",
    description="Provider groups of cited provider references",
    grain=("document", "ordinal"),
    columns=(_DOCUMENT, _ORDINAL, Column("reference_key", "string", "canonical id"), *_PROVIDERS),
)

REMOTE_GROUPS = Table(
    name="REMOTE_GROUPS",
    description="Provider groups of one remote provider reference file",
    grain=("tin", "npi"),
    columns=_PROVIDERS,
)

EXTRACTED = (PRICES, CITATIONS, INLINE_GROUPS, REFERENCES, REFERENCE_GROUPS)
