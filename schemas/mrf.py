"""The keys of CMS's machine-readable files, as its schemas name them, and the other names that payers use for them.

Sources: CMS's price transparency guide (schemas 1.0 to 2.2) for the names of each file; FIELD-NOTES for the aliases.
Where an object has two names of one key, its reader decides which counts.
"""

IN_NETWORK = "in_network"
PROVIDER_REFERENCES = "provider_references"
PROVIDER_GROUPS = "provider_groups"  # of a rate, of a reference, and the root key of a remote provider reference
NEGOTIATED_PRICES = "negotiated_prices"

# In-network files. Root keys of the two sections, with their aliases
SECTIONS = {
    IN_NETWORK: IN_NETWORK,
    "in_networks": IN_NETWORK,
    PROVIDER_REFERENCES: PROVIDER_REFERENCES,
    "provider_reference": PROVIDER_REFERENCES,
    "provider_group_reference": PROVIDER_REFERENCES,
    "provider_group_references": PROVIDER_REFERENCES,
}
PRICES_KEYS = frozenset(key for key, section in SECTIONS.items() if section == IN_NETWORK)

# Of an in-network item, as far as they are read
ITEM_KEYS = frozenset({"billing_code", "billing_code_type", "negotiation_arrangement", "negotiated_rates"})
CODE_TYPES = frozenset({"CPT", "HCPCS"})  # values of billing_code_type whose codes can match (CONTRACT section 4)

# Of an element of negotiated_rates, with their aliases
RATE_KEYS = {
    NEGOTIATED_PRICES: NEGOTIATED_PRICES,
    "negotiated_price": NEGOTIATED_PRICES,
    PROVIDER_GROUPS: PROVIDER_GROUPS,
    PROVIDER_REFERENCES: PROVIDER_REFERENCES,
}
PRICE_SCALARS = frozenset(  # negotiated_price: a payer's name of negotiated_rate
    {"negotiated_type", "negotiated_rate", "negotiated_price", "billing_class", "setting", "expiration_date"}
)
PRICE_LISTS = frozenset({"service_code", "billing_code_modifier"})
PRICE_KEYS = PRICE_SCALARS | PRICE_LISTS

# Of a provider group and of a provider reference
GROUP_KEYS = frozenset({"npi", "NPI", "tin"})
TIN_KEYS = frozenset({"type", "value", "business_name"})
REFERENCE_KEYS = frozenset({"provider_group_id", PROVIDER_GROUPS, "location", "network_name"})

# Tables of contents
STRUCTURES_KEY = "reporting_structure"
STRUCTURES_ALIAS = "TOC_Files"
LISTED_KEY = "in_network_files"  # of a reporting structure, or of any other object
PLANS_KEY = "reporting_plans"
UPDATED_KEY = "last_updated_on"  # of the root
NETWORK_KEYS = frozenset({"network_name", "network_names"})  # extra keys, in none of CMS's schemas
CONTENTS_KEYS = frozenset({STRUCTURES_KEY, STRUCTURES_ALIAS, LISTED_KEY})

# Payers' own indexes: HealthSparq's latest_metadata.json, UnitedHealthcare's blobs
ENTRIES_KEYS = frozenset({"files", "blobs"})  # of the root: arrays of one object for each file
OWN_PLANS_KEY = "reportingPlans"  # of an entry, with planName, planMarketType, planIdType
ENTRY_KEYS = frozenset({"fileSchema", "filePath", "fileName", "lastUpdatedOn", "name", "downloadUrl", "size"})
FILE_SCHEMAS = {"IN_NETWORK_RATES": IN_NETWORK, "TABLE_OF_CONTENTS": "table_of_contents"}  # those that are read

# What a file is, by its root keys: the first that it has
ROOT_SHAPES = (
    (IN_NETWORK, "in_network"),
    ("in_networks", "in_network"),
    (STRUCTURES_KEY, "table_of_contents"),
    (STRUCTURES_ALIAS, "table_of_contents"),
    (LISTED_KEY, "table_of_contents"),
    ("out_of_network", "allowed_amounts"),
    (PROVIDER_REFERENCES, "provider_references"),
    ("provider_group_reference", "provider_references"),
    (PROVIDER_GROUPS, "provider_reference"),
    ("blobs", "blobs"),
    ("files", "files"),
    ("reporting_entity_name", "header_only"),
)
INDEX_SHAPES = frozenset({"table_of_contents", "blobs", "files"})
