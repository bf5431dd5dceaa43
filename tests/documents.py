"""Builders of made-up in-network documents: a base one with known rows, and changes to it."""

from collections.abc import Iterable
from typing import Any

from tests.plain_reading import luhn_sum

Record = dict[str, Any]


def npi_of(body: int) -> int:
    """A valid NPI from its first nine digits; made up, whoever may own it."""
    first_nine = f"{body:09d}"
    return int(first_nine + str(-luhn_sum("80840" + first_nine + "0") % 10))


ANN, BOB, EVE = npi_of(100000001), npi_of(100000002), npi_of(200000003)
BAD_CHECK_DIGIT = ANN + 1


def without(record: Record, *keys: str) -> Record:
    """The record less some keys."""
    return {key: value for key, value in record.items() if key not in keys}


def key_first(record: Record, *keys: str) -> Record:
    """The same record with these keys written first, in this order."""
    return {key: record[key] for key in keys} | record


def group(*npis: Any, **changes: Any) -> Record:
    """A provider group: its NPIs under one TIN."""
    return {"npi": list(npis), "tin": {"type": "ein", "value": "12-3456789"}} | changes


def reference(identity: Any, *groups: Any, **changes: Any) -> Record:
    """A provider reference."""
    return {"provider_group_id": identity, "provider_groups": list(groups)} | changes


def price(**changes: Any) -> Record:
    """A price that is eligible: 30 dollars in the office, with modifier GP."""
    base: Record = {
        "negotiated_type": "negotiated",
        "negotiated_rate": 30.0,
        "expiration_date": "9999-12-31",
        "service_code": ["11"],
        "billing_class": "professional",
        "billing_code_modifier": ["GP"],
    }
    return base | changes


def rate(*groups: Any, prices: Any = None, **changes: Any) -> Record:
    """One element of ``negotiated_rates``, with inline groups unless ``changes`` cite some."""
    inline = {"provider_groups": list(groups)} if groups else {}
    return inline | {"negotiated_prices": [price()] if prices is None else prices} | changes


def item(*rates: Any, **changes: Any) -> Record:
    """An in-network item of the wanted code."""
    base: Record = {
        "negotiation_arrangement": "ffs",
        "name": "Infrared",
        "billing_code_type": "CPT",
        "billing_code_type_version": "2026",
        "billing_code": "97026",
        "description": "Application of a modality; infrared",
        "negotiated_rates": list(rates or [rate(group(ANN))]),
    }
    return base | changes


def other_item(**changes: Any) -> Record:
    """An item that nobody asked for."""
    return item(**({"billing_code": "99213", "name": "Office visit"} | changes))


def document(*items: Any, references: Iterable[Any] | None = None, **changes: Any) -> Record:
    """An in-network document: one price of one item for Ann, unless told otherwise."""
    header: Record = {
        "reporting_entity_name": "Acme Health Plan",
        "reporting_entity_type": "health insurance issuer",
        "last_updated_on": "2026-06-01",
        "version": "2.0.0",
    }
    section = {} if references is None else {"provider_references": list(references)}
    return header | section | {"in_network": list(items or [item()])} | changes


def cited_document(*references: Any, cites: list[Any], **changes: Any) -> Record:
    """A document whose one price cites ``cites`` and has no inline groups."""
    return document(item(rate(provider_references=cites)), references=references, **changes)


def priced_document(**changes: Any) -> Record:
    """The base document with changes to its one price."""
    return document(item(rate(group(ANN), prices=[price(**changes)])))


def grouped_document(**changes: Any) -> Record:
    """The base document with changes to its one provider group."""
    return document(item(rate(group(ANN, **changes))))
