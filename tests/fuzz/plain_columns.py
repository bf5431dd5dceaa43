"""The columns that a reader should have collected, from ``json.loads`` and the plain reading's rules for values.

A rule is asked once for each distinct value that it is asked about often: the rules are ``tests.plain_json``'s.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any

from tests.plain_json import (
    Json,
    Number,
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
    plain_json,
)

CODE_TYPES = (None, "CPT", "HCPCS")
REMEMBERED = 1 << 16
SHORT = 19  # digits of a number that fits into 64 bits, whatever they are

Row = tuple[Any, ...]
Starts = dict[str, list[int]]


def remembered(rule: Callable[[Json], Any]) -> Callable[[Json], Any]:
    """The rule, asked once for equal values of one type; always for objects and arrays."""
    cached = lru_cache(REMEMBERED, typed=True)(rule)

    def read(value: Json) -> Any:
        try:
            return cached(value)
        except TypeError:
            return rule(value)

    return read


def rate(value: Json) -> float | None:
    """As ``as_rate``; minus zero is zero."""
    amount = float(value) if type(value) is Number else as_rate(value)
    return amount if amount is None else amount + 0.0


def npi(value: Json) -> int | None:
    """As ``as_npi``: of a plain whole number, that number."""
    return int(value) if type(value) is Number and len(value) < SHORT and value.isdigit() else as_npi(value)


def objects(value: Json) -> list[dict[str, Json]]:
    """As ``as_objects``."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else as_objects(value)


text, trimmed, class_, date, unread, identity = map(
    remembered, (as_text, as_trimmed, as_class, as_date, is_unread_date, as_id)
)


def codes(value: Json) -> tuple[str, ...]:
    """As ``as_code_list``; a list without lists and objects in it is asked about once."""
    if value is None:
        return ()
    try:
        return _of_scalars(tuple(value) if isinstance(value, list) else (value,))
    except TypeError:
        return as_code_list(value)


@lru_cache(REMEMBERED)
def _of_scalars(values: tuple[Json, ...]) -> tuple[str, ...]:
    return as_code_list(list(values))


class PlainColumns:
    """Rows in the columns' order: see ``transforms.read.collect``. Ids are the plain reading's own."""

    def __init__(self, document: bytes, wanted: frozenset[str], starts: Starts) -> None:
        """Read a document; ``starts``: where the elements of its root arrays begin."""
        self.items: list[Row] = []
        self.prices: list[Row] = []
        self.citations: list[Row] = []
        self.groups: list[Row] = []
        self.references: list[Row] = []
        self.reference_groups: list[Row] = []
        self.items_seen = self.references_seen = self.rates = 0
        root = plain_json(document)
        for start, item in _elements(root, starts, ("in_network", "in_networks")):
            self.items_seen += 1
            self._read_item(item, start, wanted)
        cited = {key for _, key in self.citations if key is not None}
        for start, reference in _elements(root, starts, REFERENCES):
            self.references_seen += 1
            self._read_reference(reference, start, cited)

    def _read_item(self, item: dict[str, Json], start: int, wanted: frozenset[str]) -> None:
        code, kind = trimmed(item.get("billing_code")), trimmed(item.get("billing_code_type"))
        kind = kind and kind.upper()
        if code not in wanted or kind not in CODE_TYPES:
            return
        first = self.rates
        for each in objects(item.get("negotiated_rates")):
            self._read_rate(each)
        self.items.append((text(item.get("negotiation_arrangement")), code, kind, first, self.rates, start))

    def _read_rate(self, element: dict[str, Json]) -> None:
        number = self.rates
        self.rates += 1
        for price in objects(either(element, "negotiated_prices", "negotiated_price")):
            get = price.get
            expires = get("expiration_date")
            self.prices.append(
                (
                    number,
                    text(get("negotiated_type")),
                    rate(either(price, "negotiated_rate", "negotiated_price")),
                    class_(get("billing_class")),
                    text(get("setting")),
                    codes(get("service_code")),
                    codes(get("billing_code_modifier")),
                    date(expires),
                    unread(expires),
                )
            )
        cited = element.get("provider_references")
        for citation in cited if isinstance(cited, list) else as_list(cited):
            self.citations.append((number, identity(citation)))
        for group in objects(element.get("provider_groups")):
            self.groups.append(group_row(number, group))

    def _read_reference(self, reference: dict[str, Json], start: int, cited: set[object]) -> None:
        key = identity(reference.get("provider_group_id"))
        if key not in cited:
            return
        number = len(self.references)
        groups = objects(reference.get("provider_groups"))
        names = as_list(reference.get("network_name"))
        networks = tuple(sorted({name for name in map(trimmed, names) if name}))
        self.references.append((number, key, text(reference.get("location")), networks, len(groups), start))
        for group in groups:
            self.reference_groups.append(group_row(number, group))


def either(record: dict[str, Json], name: str, alias: str) -> Json:
    """As ``pick``."""
    value = record.get(name)
    return record.get(alias) if value is None else value


def group_row(owner: int, group: dict[str, Json]) -> Row:
    """A provider group: its TIN, the number of its NPIs, and those, ascending; null behind them for a blank one."""
    tin = group.get("tin")
    npis = set(map(npi, as_list(either(group, "npi", "NPI"))))
    known = sorted(each for each in npis if each is not None)
    size = sum(each > 0 for each in known)
    if len(known) < len(npis) or not known:
        known.append(None)  # type: ignore[arg-type]
    name = text(tin.get("business_name")) if isinstance(tin, dict) else None
    return (owner, *as_tin(tin), name, size, known)


def _elements(root: dict[str, Json], starts: Starts, keys: Sequence[str]) -> Iterator[tuple[int, dict[str, Json]]]:
    """The objects of a root array, and where they begin."""
    key = next((key for key in keys if key in root), None)
    for start, element in zip(starts[key], root[key], strict=True) if key is not None else ():
        if isinstance(element, dict):
            yield start, element


REFERENCES = ("provider_references", "provider_reference", "provider_group_reference", "provider_group_references")
