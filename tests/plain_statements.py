"""The plain reading of a place: which rate rows the source holds at the offsets that `explain` states."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from schemas.published import RATE_GRAIN
from tests.fuzz.plain_rows import respelled
from tests.offsets import element_at
from tests.plain_extract import (
    NOBODY,
    REFERENCES,
    Header,
    Provider,
    RateRow,
    _header,
    _References,
    providers_of,
    providers_of_group,
    rate_row,
    remote_groups,
)
from tests.plain_json import Json, as_id, as_list, as_objects, pick, plain_documents, plain_json

Record = dict[str, Json]


class PlainSources:
    """The sources of a month: bytes as published by source_id, and remote provider references by sha256."""

    def __init__(self, published: Mapping[str, bytes], remote: Mapping[str, bytes]) -> None:
        self._published = published
        self._remote = remote
        self._stated = cache(self._rows_at)
        self._documents = cache(self._read)

    def assert_stated(self, rate: Mapping[str, Any]) -> None:
        """Each statement of a rate row leads to its item, price, reference and provider; each of its files has one."""
        row = row_of(rate)
        assert {each["source_id"] for each in rate["statements"]} == {*rate["source_ids"]}, rate
        for each in rate["statements"]:
            place = ("source_id", "document", "item_offset", "reference_offset", "location_sha256")
            rows = self._stated(*(each[name] for name in place))
            named = (None, *row[1:])  # by the configuration, where the file has no name
            assert row in rows or named in rows, (rate, each, rows)

    def _read(self, source_id: str) -> list[tuple[bytes, Header, _References]]:
        return [
            (data, _header(root), _References(as_objects(pick(root, *REFERENCES)), {}))
            for data in plain_documents(self._published[source_id])
            if isinstance(root := plain_json(data), dict)
        ]

    def _rows_at(
        self, source_id: str, number: int, item_offset: int, reference_offset: int | None, sha256: str | None
    ) -> set[tuple[Any, ...]]:
        data, header, references = self._documents(source_id)[number]
        item = element_at(data, item_offset)
        groups = () if sha256 is None else remote_groups(plain_json(self._remote[sha256]))
        reference = None if reference_offset is None else element_at(data, reference_offset)
        return {
            respelled(rate_row(header, item, price, provider))
            for rate in as_objects(item.get("negotiated_rates"))
            for provider in (
                _inline(rate, references) if reference is None else _cited(rate, reference, groups, sha256)
            )
            for price in as_objects(pick(rate, "negotiated_prices", "negotiated_price"))
        }


def row_of(rate: Mapping[str, Any]) -> tuple[Any, ...]:
    """The grain of a published rate row."""
    values = (tuple(rate[name]) if isinstance(rate[name], list) else rate[name] for name in RATE_GRAIN)
    row: tuple[Any, ...] = respelled(RateRow._make(values))
    return row


def _inline(rate: Record, references: _References) -> set[Provider]:
    """The providers inside a rate, and nobody where it cites what is not there, or has no provider."""
    found = {who for group in as_objects(rate.get("provider_groups")) for who in providers_of_group(group)}
    _, unresolved = providers_of(rate, references)
    return found | ({NOBODY} if unresolved else set())


def _cited(rate: Record, reference: Record, remote: Any, sha256: str | None) -> set[Provider]:
    """The providers of a reference, where a rate cites it; nobody where it has none."""
    identity = as_id(reference.get("provider_group_id"))
    if identity is None or identity not in map(as_id, as_list(rate.get("provider_references"))):
        return set()
    own = as_objects(reference.get("provider_groups"))
    assert (sha256 is None) or not own
    return {who for group in (own or remote) for who in providers_of_group(group)} or {NOBODY}
