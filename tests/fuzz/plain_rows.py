"""The rate rows of what a reader collected, by plain loops, in the plain reading's own terms."""

import re
from collections import defaultdict
from decimal import Decimal
from typing import Any

from tests.collected_rows import keyed_rows, spool_rows
from tests.plain_extract import NOBODY, PlainExtract, Provider, RateRow
from transforms.read.clean import read_date
from transforms.read.collect import Collected

Networks = dict[RateRow, set[str]]
NUMBER = re.compile(r"-?[0-9]+(?=[.eE])(\.[0-9]+)?([eE][+-]?[0-9]{1,15})?")


def rows_of(found: Collected) -> tuple[Networks, set[RateRow]]:
    """Rows with their network names, and which rows stand for a provider that could not be found."""
    inline: dict[object, set[Provider]] = defaultdict(set)
    for rate_id, tin_type, tin, _, _, npis in spool_rows(found.groups):
        inline[rate_id] |= {Provider(tin_type, tin, npi) for npi in npis}
    providers = _by_key(found)
    cites: dict[object, list[object]] = defaultdict(list)
    for rate_id, key in keyed_rows(found, found.citations):
        cites[rate_id].append(key)
    rows: Networks = {}
    unresolved: set[RateRow] = set()
    items = spool_rows(found.items)
    for rate_id, *price, _ in spool_rows(found.prices):
        item = next(item for item in items if item[3] <= rate_id < item[4])
        resolved: dict[Provider, set[str]] = {provider: set() for provider in inline[rate_id]}
        missing = False
        for key in cites[rate_id]:
            missing |= not providers.get(key)
            for provider, names in providers.get(key, ()):
                resolved.setdefault(provider, set()).update(names)
        for provider, networks in resolved.items():
            rows.setdefault(_row(found, item, price, provider), set()).update(networks)
        if missing or not resolved:
            rows.setdefault(_row(found, item, price, NOBODY), set())
            unresolved.add(_row(found, item, price, NOBODY))
    return rows, unresolved


def _by_key(found: Collected) -> dict[object, list[tuple[Provider, tuple[str, ...]]]]:
    known = {row[0]: (row[1], row[3]) for row in keyed_rows(found, found.references)}
    providers: dict[object, list[tuple[Provider, tuple[str, ...]]]] = defaultdict(list)
    for no, tin_type, tin, _, _, npis in spool_rows(found.reference_groups):
        if no in known:
            key, networks = known[no]
            for npi in npis:
                providers[key].append((Provider(tin_type, tin, npi), networks))
    return providers


def _row(found: Collected, item: tuple[Any, ...], price: list[Any], provider: Provider) -> RateRow:
    arrangement, code, code_type, *_ = item
    negotiated_type, rate, billing_class, setting, service_codes, modifiers, expires = price
    name = found.header.get("reporting_entity_name")
    return RateRow(
        name, code, code_type, arrangement, negotiated_type, rate, billing_class, setting, service_codes, modifiers,
        expires, *provider,
    )  # fmt: skip


def differs(found: Collected, plain: PlainExtract) -> str:
    """In what the reader's rows differ from the plain reading's; empty when they don't."""
    if (found.items_seen, found.items_matched) != (plain.items_seen, plain.items_matched):
        return f"items {found.items_seen}, {found.items_matched}; plain {plain.items_seen}, {plain.items_matched}"
    if len(found.prices) != plain.prices:
        return f"{len(found.prices)} prices; plain {plain.prices}"
    unread = (
        sum(bool(not_read) for *_, not_read in spool_rows(found.prices))
        + read_date(found.header.get("last_updated_on"))[1]
    )
    if unread != plain.dates_not_read:
        return f"{unread} dates not read; plain {plain.dates_not_read}"
    rows, unresolved = rows_of(found)
    expected = {row: plain.networks[row] for row in plain.rows}
    if rows == expected and unresolved == plain.unresolved:
        return ""
    if respelled(rows) == respelled(expected) and respelled(unresolved) == respelled(plain.unresolved):
        return ""
    return f"rows {sorted(map(str, rows))} (unresolved {len(unresolved)}); plain {sorted(map(str, expected))}"


def respelled(value: Any) -> Any:
    """The one difference allowed: where text belongs, a number may be spelled otherwise (1E-3 as 0.001, -0 as 0)."""
    if isinstance(value, dict):
        return {respelled(key): respelled(inner) for key, inner in value.items()}
    if isinstance(value, set):
        return set(map(respelled, value))
    if isinstance(value, tuple):
        parts = map(respelled, value)
        return tuple(parts) if hasattr(value, "_fields") else frozenset(parts)  # codes are sorted by their spelling
    if value == "-0":
        return "0"
    return Decimal(value) if isinstance(value, str) and NUMBER.fullmatch(value) else value
