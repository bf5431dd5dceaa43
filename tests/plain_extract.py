"""The plain reading, 2 of 4: the matched prices of one document and their providers."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import NamedTuple

from tests.plain_json import (
    ExactNumber,
    Json,
    UnreadableError,
    as_business_name,
    as_class,
    as_code_list,
    as_date,
    as_id,
    as_list,
    as_npi,
    as_objects,
    as_rate,
    as_text,
    as_tin,
    as_trimmed,
    is_unread_date,
    pick,
    plain_json,
)

TIC_KEYS = {
    "reporting_entity_name",
    "in_network",
    "in_networks",
    "provider_references",
    "provider_group_reference",
    "provider_groups",
    "out_of_network",
    "reporting_structure",
    "TOC_Files",
}
CODE_TYPES = {"CPT", "HCPCS"}
REFERENCES = (
    "provider_references",
    "provider_group_reference",
    "provider_group_references",
    "provider_reference",
)


class RateRow(NamedTuple):
    """One row of ``rates``: its grain."""

    reporting_entity_name: str | None
    billing_code: str
    billing_code_type: str | None
    arrangement: str | None
    negotiated_type: str | None
    negotiated_rate: float | None
    billing_class: str | None
    setting: str | None
    service_codes: tuple[str, ...]
    modifiers: tuple[str, ...]
    expiration_date: date | None
    tin_type: str | None
    tin: str | None
    npi: int | None


class Provider(NamedTuple):
    """Who is paid, in the columns of ``rates``; all null where nobody could be found."""

    tin_type: str | None
    tin: str | None
    npi: int | None


NOBODY = Provider(None, None, None)


@dataclass(frozen=True)
class Header:
    """The root's own fields, wherever in the file they stand."""

    reporting_entity_name: str | None = None
    last_updated_on: date | None = None
    version: str | None = None


@dataclass
class PlainExtract:
    """What one document says about the wanted codes.

    ``rows`` counts how often each row is stated: the table holds it once. ``unresolved`` are the rows that stand for
    a provider that could not be found; ``networks`` the network names of the references behind a row;
    ``cited_locations`` the remote files that a matched price cites; ``dates_not_read`` the texts, in the header and the
    matched prices, that stand where a date belongs and are none.
    """

    header: Header = Header()
    root_keys: tuple[str, ...] = ()
    items_seen: int = 0
    items_matched: int = 0
    prices: int = 0
    rows: Counter[RateRow] = field(default_factory=Counter)
    unresolved: set[RateRow] = field(default_factory=set)
    networks: dict[RateRow, set[str]] = field(default_factory=lambda: defaultdict(set))
    business_names: dict[RateRow, set[str]] = field(default_factory=lambda: defaultdict(set))
    group_sizes: dict[RateRow, set[int]] = field(default_factory=lambda: defaultdict(set))
    cited_locations: set[str] = field(default_factory=set)
    dates_not_read: int = 0


def plain_extract(data: bytes, codes: Collection[str], remote: Mapping[str, bytes] | None = None) -> PlainExtract:
    """Everything one JSON document says about ``codes``; ``remote`` holds the provider files it may cite, by location.

    Raises ``UnreadableError`` when the document is not one JSON value from its first byte to its last.
    """
    root = plain_json(data)
    if not isinstance(root, dict) or not TIC_KEYS & set(root):
        raise UnreadableError("well-formed JSON, but no TiC file")
    items = as_objects(pick(root, "in_network", "in_networks"))
    extract = PlainExtract(_header(root), tuple(root), len(items))
    extract.dates_not_read = int(is_unread_date(root.get("last_updated_on")))
    references = _References(as_objects(pick(root, *REFERENCES)), remote or {})
    for item in items:
        if matches(item, codes):
            extract.items_matched += 1
            _read_item(extract, item, references)
    extract.cited_locations = references.cited_locations
    return extract


def _header(root: dict[str, Json]) -> Header:
    return Header(
        reporting_entity_name=as_text(root.get("reporting_entity_name")),
        last_updated_on=as_date(root.get("last_updated_on")),
        version=as_text(root.get("version")),
    )


def matches(item: dict[str, Json], codes: Collection[str]) -> bool:
    """The item's own code is wanted, and its type is CPT, HCPCS or missing."""
    code_type = as_trimmed(item.get("billing_code_type"))
    return as_trimmed(item.get("billing_code")) in codes and (code_type is None or code_type.upper() in CODE_TYPES)


def _read_item(extract: PlainExtract, item: dict[str, Json], references: "_References") -> None:
    for rate in as_objects(item.get("negotiated_rates")):
        prices = as_objects(pick(rate, "negotiated_prices", "negotiated_price"))
        extract.prices += len(prices)
        extract.dates_not_read += sum(is_unread_date(price.get("expiration_date")) for price in prices)
        if prices:
            providers, unresolved = providers_of(rate, references)
            for price in prices:
                _add_rows(extract, item, price, providers, unresolved)


def _add_rows(
    extract: PlainExtract,
    item: dict[str, Json],
    price: dict[str, Json],
    providers: Mapping[Provider, "Behind"],
    unresolved: bool,
) -> None:
    for provider, behind in providers.items():
        row = rate_row(extract.header, item, price, provider)
        extract.rows[row] += 1
        extract.networks[row] |= behind.networks
        extract.business_names[row] |= behind.business_names
        extract.group_sizes[row] |= behind.group_sizes
    if unresolved:
        row = rate_row(extract.header, item, price, NOBODY)
        extract.rows[row] += 1
        extract.unresolved.add(row)


def rate_row(header: Header, item: dict[str, Json], price: dict[str, Json], provider: Provider) -> RateRow:
    """One price of one item for one provider, cleaned."""
    return RateRow(
        reporting_entity_name=header.reporting_entity_name,
        billing_code=as_trimmed(item["billing_code"]) or "",
        billing_code_type=(as_trimmed(item.get("billing_code_type")) or "").upper() or None,
        arrangement=as_text(item.get("negotiation_arrangement")),
        negotiated_type=as_text(price.get("negotiated_type")),
        negotiated_rate=as_rate(pick(price, "negotiated_rate", "negotiated_price")),
        billing_class=as_class(price.get("billing_class")),
        setting=as_text(price.get("setting")),
        service_codes=as_code_list(price.get("service_code")),
        modifiers=as_code_list(price.get("billing_code_modifier")),
        expiration_date=as_date(price.get("expiration_date")),
        tin_type=provider.tin_type,
        tin=provider.tin,
        npi=provider.npi,
    )


@dataclass
class Behind:
    """What the groups and references that give a provider say."""

    networks: set[str] = field(default_factory=set)
    business_names: set[str] = field(default_factory=set)
    group_sizes: set[int] = field(default_factory=set)

    def add(self, group: dict[str, Json], networks: set[str]) -> None:
        self.networks |= networks
        name = as_business_name(group.get("tin"))
        self.business_names |= {name} if name else set()
        npis = {provider.npi or 0 for provider in providers_of_group(group)}
        self.group_sizes.add(sum(0 < npi < 2**63 for npi in npis))


def providers_of(rate: dict[str, Json], references: "_References") -> tuple[dict[Provider, Behind], bool]:
    """Inline and cited providers with what is said of them; and whether one more could not be found."""
    found: dict[Provider, Behind] = defaultdict(Behind)
    for group in as_objects(rate.get("provider_groups")):
        for provider in providers_of_group(group):
            found[provider].add(group, set())
    unresolved = False
    for citation in _citations(rate.get("provider_references")):
        groups = references.groups(as_id(citation))
        unresolved |= not groups
        for group, networks in groups:
            for provider in providers_of_group(group):
                found[provider].add(group, networks)
    return dict(found), unresolved or not found


def _citations(value: Json) -> list[Json]:
    """As ``as_list``, but a null citation stays: it cites something that cannot be found."""
    return value if isinstance(value, list) else as_list(value)


def providers_of_group(group: dict[str, Json]) -> Iterator[Provider]:
    """One provider per distinct NPI of the group; a group without any NPI is a TIN alone."""
    tin_type, tin = as_tin(group.get("tin"))
    for npi in {as_npi(element) for element in as_list(pick(group, "npi", "NPI"))} or {None}:
        yield Provider(tin_type, tin, npi)


class _References:
    """The root's provider references by id; several with one id are the union of their groups."""

    def __init__(self, references: Iterable[dict[str, Json]], remote: Mapping[str, bytes]) -> None:
        self.remote = remote
        self.cited_locations: set[str] = set()
        self.by_id: dict[ExactNumber | str, list[dict[str, Json]]] = defaultdict(list)
        for reference in references:
            identity = as_id(reference.get("provider_group_id"))
            if identity is not None:
                self.by_id[identity].append(reference)

    def groups(self, identity: ExactNumber | str | None) -> list[tuple[dict[str, Json], set[str]]]:
        """Each group under an id with its reference's network names; none: it cannot be resolved."""
        return [
            (group, _network_names(reference))
            for reference in (self.by_id.get(identity, []) if identity is not None else [])
            for group in as_objects(reference.get("provider_groups")) or self._remote_groups(reference)
        ]

    def _remote_groups(self, reference: dict[str, Json]) -> list[dict[str, Json]]:
        location = as_trimmed(reference.get("location"))
        if location is None:
            return []
        self.cited_locations.add(location)
        try:
            root = plain_json(self.remote[location])
        except (KeyError, UnreadableError):
            return []
        return remote_groups(root)


def remote_groups(root: Json) -> list[dict[str, Json]]:
    """The groups of a remote file: under provider_groups, a bare list of them, or the file is one itself."""
    if isinstance(root, list):
        groups = as_objects(root)
        return groups if all(GROUP_KEYS & group.keys() for group in groups) else []
    if not isinstance(root, dict):
        return []
    if root.get("provider_groups") is None and GROUP_KEYS & root.keys():
        return [root]
    return as_objects(root.get("provider_groups"))


GROUP_KEYS = {"npi", "NPI", "tin"}


def _network_names(reference: dict[str, Json]) -> set[str]:
    return {name for name in map(as_trimmed, as_list(reference.get("network_name"))) if name}
