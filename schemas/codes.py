"""Code lists of the methodology (CONTRACT section 4): wanted codes, allowed values, exclusions."""

import re
from dataclasses import dataclass

METHODOLOGY = "2"

DEFAULT_CODES = ("97026", "97028")  # infrared and ultraviolet

PERCENTILES = (10, 25, 50, 75, 90)

STATES = tuple(
    "AL AK AZ AR CA CO CT DE FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT NE NV NH NJ NM NY NC ND OH OK OR PA "
    "RI SC SD TN TX UT VT VA WA WV WI WY".split()
)
TERRITORIES = ("PR", "VI", "GU", "AS", "MP")
GEOGRAPHIES = (*STATES, "DC", *TERRITORIES)
US_COUNTRIES = ("US", *TERRITORIES)  # NPPES has territories as state or as country


@dataclass(frozen=True)
class Term:
    """A value that a published column can hold, and what it means."""

    name: str
    meaning: str


PAYER_KINDS = (
    Term("payer", "one payer, by its parent"),
    Term("composite", "several payers pooled"),
    Term("benchmark", "Medicare"),
)
TIERS = (
    Term("strict", "physical therapists and physical therapy clinics"),
    Term("balanced", "strict, and providers who plausibly perform the service, such as chiropractors"),
    Term("all", "every provider with an eligible rate, whatever the taxonomy; Medicare's rows are here"),
    Term("billed", "every provider with evidence `billed` or `related`, whatever the taxonomy; with utilization alone"),
)
TAXONOMY_TIERS = tuple(tier.name for tier in TIERS)
WEIGHTINGS = (
    Term("npi", "each provider once: the headline"),
    Term("tin", "each contract holder once"),
    Term("services", "each provider as often as the services that it billed Medicare; with utilization alone"),
    Term("locality", "each Medicare locality once: Medicare's rows only"),
)
BILLED, RELATED, NEITHER = "billed", "related", "none"
EVIDENCE = (
    Term(BILLED, "the NPI billed Medicare for the code"),
    Term(RELATED, "it billed for another code of the code's family, not for the code"),
    Term(NEITHER, "it is in the utilization file with neither; null where it is not in the file"),
)
EVIDENCE_OF_TIER = (BILLED, RELATED)  # of the providers in the tier `billed`
FILE_STATUSES = (
    Term("matched", "read to its end, and at least one item has a wanted code"),
    Term("no_match", "read to its end, and no item has a wanted code: a legitimate answer, not a failure"),
    Term(
        "quarantined",
        "can't be trusted, none of its rows are published; `reason` has place, cause and next step",
    ),
    Term("unchanged", "not read again: nothing changed since an earlier run; not used by `tic-rates run`"),
)
PRACTICE_LEVELS = (
    Term("practice", "the practice at one payer: the median over its NPIs, each the median over its TINs"),
    Term("npi", "one NPI of it: the median over its TINs"),
    Term("tin", "one contract holder: the median over the practice's NPIs"),
    Term("network", "one network of one contract holder, as the payer names it: likewise, of the rates that name it"),
)
PRACTICE_STATUSES = (
    Term("rated", "at least one rate counts"),
    Term("outlier", "there are rates, all of them outliers: no rank and no gaps"),
    Term("excluded", "there are rate rows, and each fails a rule, named in `exclusions`"),
    Term("absent", "the payer publishes the code, and no row of it names the practice"),
)
UNMAPPED_KINDS = (
    Term("reporting_entity", "a name that is not in the payer table: it is its own payer"),
    Term("npi", "an NPI that is not in NPPES"),
    Term("unused_mapping", "a spelling of the payer table that no file of this month used"),
)

BUCA = ("Aetna", "Blue Cross Blue Shield", "Cigna", "UnitedHealth Group")
COMPOSITE_BUCA = "BUCA"
COMPOSITE_ALL = "All commercial"
MEDICARE = "Medicare"

NEGOTIATED_TYPES = ("negotiated", "derived", "fee schedule")  # best first; the others are not dollars per service
ALLOWED_MODIFIERS = ("00", "59", "96", "97", "GN", "GO", "GP", "KX")
OFFICE_SERVICE_CODES = ("11", "CSTM-00")
PROFESSIONAL_CLASSES = ("professional", "both")
BILLING_CLASSES = (*PROFESSIONAL_CLASSES, "institutional")

LOW_SAMPLE_NPI = 11
LOW_SAMPLE_TIN = 3
OUTLIER_LOW = 0.10  # of the national Medicare amount
OUTLIER_HIGH = 10.0

# The rules by which a rate row leaves the benchmark: they apply in this order, and the first one names it
EXCLUSIONS = (
    Term("arrangement", "arrangement is not ffs"),
    Term("not_dollars", "negotiated_type is not negotiated, derived or fee schedule"),
    Term("bad_rate", "rate missing, not finite, or not above zero"),
    Term("modifier", "any modifier outside GP, GO, GN, KX, 59, 96, 97, 00"),
    Term("place_of_service", "professional or both, with service codes that hold neither 11 nor CSTM-00"),
    Term("expired", "expiration date before the file's last_updated_on"),
    Term("provider_unresolved", "no provider group could be found"),
    Term("no_npi", "NPI is 0 or missing: a TIN-only price"),
    Term("npi_invalid", "not ten digits starting 1 or 2 with a valid check digit"),
    Term("npi_unknown", "not in NPPES"),
    Term("npi_deactivated", "deactivated in NPPES and not reactivated"),
    Term("outside_us", "practice location is none of the published geographies"),
    Term("billing_class", "class is not professional, both or institutional"),
)

_CODE = re.compile(r"[A-Z0-9]{1,16}")


def parse_codes(text: str) -> tuple[str, ...]:
    """``"97026, 97028"`` as a sorted tuple of distinct codes; ``ValueError`` names what is not a code."""
    codes = sorted({part.strip().upper() for part in text.split(",") if part.strip()})
    wrong = [code for code in codes if not _CODE.fullmatch(code)]
    if wrong or not codes:
        raise ValueError(f"not a billing code: {', '.join(wrong) or text!r}; give codes like 97026,97028")
    return tuple(codes)
