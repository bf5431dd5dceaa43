"""The plain reading, 3 of 4: the distinct rows of all files, and the rules that exclude them, in order.

The code lists are written here a second time on purpose: a slip in ``schemas`` must show.
"""

import hashlib
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date

from tests.plain_extract import PlainExtract, RateRow, plain_extract
from tests.plain_json import UnreadableError, plain_documents

DOLLARS = ("negotiated", "derived", "fee schedule")  # best first
MODIFIERS = {"GP", "GO", "GN", "KX", "59", "96", "97", "00"}
OFFICE = {"11", "CSTM-00"}
PROFESSIONAL = {"professional", "both"}
CLASSES = PROFESSIONAL | {"institutional"}
TERRITORIES = {"PR", "VI", "GU", "AS", "MP"}
STATES = (
    "AL AK AZ AR CA CO CT DE FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT NE NV NH NJ NM NY NC ND OH OK OR PA "
    "RI SC SD TN TX UT VT VA WA WV WI WY".split()
)
GEOGRAPHIES = {*STATES, "DC", *TERRITORIES}

Nppes = Mapping[int, "PlainNpi"]
PayerOf = Callable[[str | None], str]
TierOf = Callable[[Collection[str], str], str | None]


@dataclass(frozen=True)
class PlainNpi:
    """One NPPES row."""

    state: str | None = None
    country: str | None = None
    taxonomies: tuple[str, ...] = ()
    deactivated: bool = False
    postal_code: str = ""


@dataclass
class PlainRate:
    """One row of ``rates`` beyond its grain."""

    row: RateRow
    source_ids: set[str] = field(default_factory=set)
    last_updated_on: date | None = None
    network_names: set[str] = field(default_factory=set)
    business_names: set[str] = field(default_factory=set)
    group_sizes: set[int] = field(default_factory=set)
    unresolved: bool = False
    payer: str = ""
    state: str | None = None
    zip5: str | None = None
    taxonomy_tier: str | None = None
    exclusion: str | None = None

    @property
    def business_name(self) -> str | None:
        """The first spelling in code point order."""
        return min(self.business_names, default=None)

    @property
    def group_size(self) -> int | None:
        """Distinct NPIs of the largest group."""
        return max(self.group_sizes, default=None)


def plain_rates(
    files: Iterable[bytes],
    codes: Collection[str],
    nppes: Nppes | None,
    *,
    payer_of: PayerOf = lambda entity: entity or "",
    tier_of: TierOf = lambda taxonomies, code: "other",
    remote: Mapping[str, bytes] | None = None,
) -> list[PlainRate]:
    """The distinct rows of all files as published (containers and all); an unreadable file adds none."""
    rates: dict[RateRow, PlainRate] = {}
    for published in files:
        source_id = hashlib.sha256(published).hexdigest()
        for extract in _extracts_or_none(published, codes, remote):
            for row in extract.rows:
                _merge(rates.setdefault(row, PlainRate(row)), extract, source_id)
    for rate in rates.values():
        rate.payer = payer_of(rate.row.reporting_entity_name)
        _place(rate, nppes, tier_of)
        rate.exclusion = exclusion_of(rate, nppes)
    return list(rates.values())


def _extracts_or_none(
    published: bytes, codes: Collection[str], remote: Mapping[str, bytes] | None
) -> list[PlainExtract]:
    try:
        return [plain_extract(document, codes, remote) for document in plain_documents(published)]
    except UnreadableError:
        return []


def _merge(rate: PlainRate, extract: PlainExtract, source_id: str) -> None:
    rate.source_ids.add(source_id)
    rate.network_names |= extract.networks.get(rate.row, set())
    rate.business_names |= extract.business_names.get(rate.row, set())
    rate.group_sizes |= extract.group_sizes.get(rate.row, set())
    rate.unresolved |= rate.row in extract.unresolved
    dates = [day for day in (rate.last_updated_on, extract.header.last_updated_on) if day]
    rate.last_updated_on = max(dates, default=None)


def _place(rate: PlainRate, nppes: Nppes | None, tier_of: TierOf) -> None:
    known = (nppes or {}).get(rate.row.npi or 0)
    if known:
        rate.state = (known.state or "").strip().upper() or None
        digits = known.postal_code.replace("-", "")
        is_zip = digits.isdecimal() and len(digits) in (5, 9) and known.country in {None, "US", *TERRITORIES}
        rate.zip5 = digits[:5] if is_zip else None
        rate.taxonomy_tier = tier_of(known.taxonomies, rate.row.billing_code)


def exclusion_of(rate: PlainRate, nppes: Nppes | None) -> str | None:
    """The first rule that the row fails; None when it is eligible."""
    return next((name for name, failed in rule_results(rate, nppes) if failed), None)


def rule_results(rate: PlainRate, nppes: Nppes | None) -> Iterator[tuple[str, bool]]:
    """Every rule in order, and whether the row fails it."""
    row = rate.row
    yield "arrangement", row.arrangement != "ffs"
    yield "not_dollars", row.negotiated_type not in DOLLARS
    yield "bad_rate", row.negotiated_rate is None or not math.isfinite(row.negotiated_rate) or row.negotiated_rate <= 0
    yield "modifier", not MODIFIERS.issuperset(row.modifiers)
    office = not row.service_codes or not OFFICE.isdisjoint(row.service_codes)
    yield "place_of_service", row.billing_class in PROFESSIONAL and not office
    yield "expired", (row.expiration_date or date.max) < (rate.last_updated_on or date.min)
    yield "provider_unresolved", rate.unresolved
    yield "no_npi", not row.npi
    yield "npi_invalid", not is_valid_npi(row.npi or 0)
    if nppes is not None:
        known = nppes.get(row.npi or 0)
        yield "npi_unknown", known is None
        yield "npi_deactivated", known is not None and known.deactivated
        yield "outside_us", known is not None and is_outside_us(known)
    yield "billing_class", row.billing_class not in CLASSES


def is_valid_npi(npi: int) -> bool:
    """Ten digits that start with 1 or 2 and pass Luhn's check over 80840 + NPI."""
    digits = str(npi)
    return len(digits) == 10 and digits[0] in "12" and luhn_sum("80840" + digits) % 10 == 0


def luhn_sum(digits: str) -> int:
    """Every second digit from the right doubled, the digits of the products summed."""
    doubled = [int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(digits))]
    return sum(product // 10 + product % 10 for product in doubled)


def is_outside_us(known: PlainNpi) -> bool:
    """The practice state is none of the 56, or the country is given and is neither US nor a territory's own code."""
    state, country = (known.state or "").strip().upper(), (known.country or "").strip().upper()
    return state not in GEOGRAPHIES or (bool(country) and country not in {"US", *TERRITORIES})
