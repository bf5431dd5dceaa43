"""Rows of in-network elements as msgspec decodes them: only what the schema foresees, ten times as fast as ``walk``.

All or nothing: an element with anything odd (a number where text belongs, a null group, an alias, a lone surrogate)
raises ``OddElementError`` and leaves ``Collected`` as it was; ``walk`` then reads it from ijson's events. So the
rules for odd values stand in one place, and what this module yields is what ``walk`` would.
Memory: the decoded element; callers pass at most ``MAX_DECODED_BYTES`` at once.
"""

from collections.abc import Iterable
from datetime import date
from decimal import Decimal, InvalidOperation
from functools import lru_cache

import msgspec

from schemas.codes import CODE_TYPES
from transforms.clean import (
    INT64_MAX,
    class_of,
    codes_of,
    npi_of,
    rate_of,
    read_date,
    reference_key,
    text_of,
    tin_of,
)
from transforms.collect import Collected
from transforms.walk import NPIS_PER_ROW

MAX_DECODED_BYTES = 256 * 1024
LONGEST_CACHED = 200  # the schema knows a hundred service codes

GroupRow = tuple[str | None, str | None, tuple[int | None, ...]]


class OddElementError(Exception):
    """Not laid out as the schema says: for ``walk`` to read."""


class Tin(msgspec.Struct, gc=False):
    """``tin``."""

    type: str | None = None
    value: str | None = None


class Group(msgspec.Struct, gc=False):
    """An element of ``provider_groups``."""

    npi: list[int | str | None] | None = None
    NPI: object = None
    tin: Tin | None = None


class Reference(msgspec.Struct, gc=False):
    """An element of ``provider_references``."""

    provider_group_id: msgspec.Raw = msgspec.Raw(b"null")
    provider_groups: list[Group] | None = None
    location: str | None = None
    network_name: list[str] | None = None


class Price(msgspec.Struct, gc=False):
    """An element of ``negotiated_prices``."""

    negotiated_type: str | None = None
    negotiated_rate: float | str | None = None
    negotiated_price: object = None
    billing_class: str | None = None
    setting: str | None = None
    expiration_date: str | None = None
    service_code: list[str] | None = None
    billing_code_modifier: list[str] | None = None


class Rate(msgspec.Struct, gc=False):
    """An element of ``negotiated_rates``."""

    negotiated_prices: list[Price] | None = None
    negotiated_price: object = None
    provider_groups: list[Group] | None = None
    provider_references: list[msgspec.Raw] | None = None


class Item(msgspec.Struct, gc=False):
    """An element of ``in_network``."""

    billing_code: str | int | None = None
    billing_code_type: str | None = None
    negotiation_arrangement: str | None = None
    negotiated_rates: list[Rate] | None = None


_ITEM = msgspec.json.Decoder(Item)
_RATES = msgspec.json.Decoder(list[Rate])
_REFERENCES = msgspec.json.Decoder(list[Reference])
_REFUSED = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def decode_item(data: bytes, wanted: frozenset[str], collected: Collected) -> None:
    """One item's rows, if its code is wanted; see ``Walker.walk_item``."""
    try:
        item = _ITEM.decode(data)
    except _REFUSED as error:
        raise OddElementError from error
    code = (text_of(item.billing_code) or "").strip() or None
    code_type = (item.billing_code_type or "").strip().upper() or None
    if code in wanted and (code_type is None or code_type in CODE_TYPES):
        first = collected.next_rate_id
        add_rates(item.negotiated_rates or (), collected)
        collected.items_matched += 1
        collected.items.append((item.negotiation_arrangement, code, code_type, first, collected.next_rate_id))
    collected.items_seen += 1


def decode_rates(data: bytes, collected: Collected) -> None:
    """Rows of an array of ``negotiated_rates`` elements."""
    try:
        rates = _RATES.decode(data)
    except _REFUSED as error:
        raise OddElementError from error
    add_rates(rates, collected)


def decode_references(data: bytes, cited: set[str], collected: Collected) -> None:
    """Rows of those of an array of ``provider_references`` elements that are cited."""
    try:
        references = _REFERENCES.decode(data)
    except _REFUSED as error:
        raise OddElementError from error
    marks = len(collected.references), len(collected.reference_groups), collected.next_reference_no
    try:
        for reference in references:
            _add_reference(reference, cited, collected)
    except OddElementError:
        collected.references.truncate(marks[0])
        collected.reference_groups.truncate(marks[1])
        collected.next_reference_no = marks[2]
        raise
    collected.references_seen += len(references)


def add_rates(rates: Iterable[Rate], collected: Collected) -> None:
    """Rows of decoded rates; all, or none and ``OddElementError``."""
    marks = collected.marks()
    first = collected.next_rate_id
    try:
        for rate in rates:
            _add_rate(rate, collected)
    except OddElementError:
        collected.back_to(marks)
        collected.next_rate_id = first
        raise


def _add_rate(rate: Rate, collected: Collected) -> None:
    if rate.negotiated_price is not None:
        raise OddElementError
    rate_id = collected.next_rate_id
    collected.next_rate_id += 1
    longest = collected.limits.list_entries
    for price in rate.negotiated_prices or ():
        collected.prices.append((rate_id, *_price_row(price, longest)))
    for group in rate.provider_groups or ():
        for row in _group_rows(group):
            collected.groups.append((rate_id, *row), weight=1 + len(row[2]) // 4)
    for citation in rate.provider_references or ():
        collected.citations.append((rate_id, _key_of(citation)))


def _price_row(price: Price, longest: int) -> tuple[object, ...]:
    rate = price.negotiated_rate
    if rate is None:
        if price.negotiated_price is not None:
            raise OddElementError
    elif isinstance(rate, str):
        rate = rate_of(rate)
    else:
        rate += 0.0  # minus zero is zero
    return (
        price.negotiated_type,
        rate,
        class_of(price.billing_class),
        price.setting,
        _codes(price.service_code, longest),
        _codes(price.billing_code_modifier, longest),
        *_date(price.expiration_date),
    )


def _add_reference(reference: Reference, cited: set[str], collected: Collected) -> None:
    no = collected.next_reference_no
    collected.next_reference_no += 1
    key = _key_of(reference.provider_group_id)
    if key is None or key not in cited:
        return
    before = len(collected.reference_groups)
    for group in reference.provider_groups or ():
        for row in _group_rows(group):
            collected.reference_groups.append((no, *row), weight=1 + len(row[2]) // 4)
    names = reference.network_name or ()
    if len(names) > collected.limits.list_entries:
        raise OddElementError
    networks = tuple(sorted({stripped for name in names if (stripped := name.strip())}))
    collected.references.append(
        (no, key, reference.location, networks, len(collected.reference_groups) - before),
    )


def _group_rows(group: Group) -> list[GroupRow]:
    if group.NPI is not None:
        raise OddElementError
    tin = group.tin
    tin_type, digits = (None, None) if tin is None else (tin.type, _tin(tin.value, tin.type))
    distinct = tuple(_npis(group.npi or []))
    if len(distinct) <= NPIS_PER_ROW:
        return [(tin_type, digits, distinct)]
    starts = range(0, len(distinct), NPIS_PER_ROW)
    return [(tin_type, digits, distinct[start : start + NPIS_PER_ROW]) for start in starts]


def _npis(values: list[int | str | None]) -> list[int | None]:
    found = set(values)
    found.discard(None)
    try:
        ordered = sorted(found)  # type: ignore[type-var]
        lowest, highest = ordered[0], ordered[-1]
        if isinstance(lowest, int) and lowest >= 0 and isinstance(highest, int) and highest <= INT64_MAX:
            return ordered  # type: ignore[return-value]
    except (TypeError, IndexError):  # of mixed types, or none
        pass
    cleaned = {npi_of(value) for value in found}
    distinct: list[int | None] = [*sorted(npi for npi in cleaned if npi is not None)]
    return [*distinct, None] if None in cleaned or not distinct else distinct


def _key_of(raw: msgspec.Raw) -> str | None:
    text = bytes(raw)
    if text.isdigit() and len(text) <= 18:
        return text.decode()
    first = text[:1]
    if first in b'{["':
        if first != b'"':
            raise OddElementError
        return reference_key(msgspec.json.decode(text))
    if first in b"tfn":
        return None
    number = text.decode()
    try:
        return reference_key(Decimal(number) if any(c in number for c in ".eE") else int(number))
    except (InvalidOperation, ValueError) as error:  # beyond Python's limits: the full parse says so
        raise OddElementError from error


@lru_cache(4096)
def _tin(value: str | None, tin_type: str | None) -> str | None:
    return tin_of(value, tin_type)


def _codes(values: list[str] | None, longest: int) -> tuple[str, ...]:
    if not values:
        return ()
    if len(values) > longest:
        raise OddElementError
    return _cleaned_codes(tuple(values)) if len(values) <= LONGEST_CACHED else codes_of([*values])


@lru_cache(512)  # each of up to MAX_DECODED_BYTES
def _cleaned_codes(values: tuple[str, ...]) -> tuple[str, ...]:
    return codes_of(list(values))


@lru_cache(4096)
def _date(text: str | None) -> tuple[date | None, bool]:
    return read_date(text)
