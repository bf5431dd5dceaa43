"""The demo's files as bytes: offers written in the shape of each file's layout, between filler and decoys.

Memory: one document at a time, a few MB.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from random import Random

from transforms.demo.items import Json, decoys, filler
from transforms.demo.layouts import FILES, DemoFile, Layout
from transforms.demo.market import Market, Offer
from transforms.demo.prices import Price
from transforms.demo.providers import Member, Tin

_FILLERS = 450  # items of other codes in each file
_OFFERS_PER_ITEM = 12  # so that many items of one file have the same code
_GHOST_REFERENCES = 25  # that no price cites
_GHOST_TIN = Tin("009999999", "ein", "Nobody's contract")
_NAMES = {"97026": "Infrared therapy", "97028": "Ultraviolet therapy"}
_MISSING = 8_888_888  # a reference id that no file defines


@dataclass(frozen=True)
class Document:
    """A file's name and its JSON; ``file`` says which container it goes into."""

    name: str
    file: DemoFile
    content: bytes


def write_documents(market: Market) -> Iterator[Document]:
    """Every file of the market in order; a twin repeats the bytes of the file it copies."""
    written: dict[str, bytes] = {}
    for file in FILES:
        written[file.name] = written[file.twin_of] if file.twin_of else _Writer(market, file).content()
        yield Document(file.file_name(market.month), file, written[file.name])


def offers_of(market: Market, file: DemoFile) -> list[Offer]:
    """The publisher's offers that a file holds: the two parts of a split file share every ninth."""
    own = [offer for offer in market.offers if offer.publisher == file.publisher]
    middle = len(own) // 2
    parts = {"all": own, "none": [], "first": own[:middle], "second": own[middle:] + own[:middle:9]}
    return parts[file.part]


class _Writer:
    """One file's document: JSON values first, bytes last."""

    def __init__(self, market: Market, file: DemoFile) -> None:
        self._market = market
        self._file = file
        self._layout = file.layout
        self._random = Random(f"{market.seed} {file.name}")
        self._cited: dict[tuple[Member, ...], int] = {}  # groups of members with their places, in order
        self._members = [offer.members for offer in market.offers if offer.publisher == file.publisher]

    def content(self) -> bytes:
        items = self._items()
        self._random.shuffle(items)
        header, references = self._header(), self._provider_references()
        network: Json = {"in_network": items}
        body = network | references if self._layout.references == "after" else references | network
        root = body | header if self._layout.header == "end" else header | body
        text = json.dumps(root, indent=1) if self._layout.pretty else json.dumps(root, separators=(",", ":"))
        text = text.replace('"billing_code"', '"billing\\u005fcode"') if self._layout.escaped else text
        return (text.replace("\n", "\r\n") if self._layout.pretty else text).encode()

    def _header(self) -> Json:
        updated = self._market.month.replace(day=self._file.last_updated_day)
        second = {"issuer_name": "Lantern Issuer", "plan_sponsor_name": "Lamp Works"}
        return {
            "reporting_entity_name": self._file.publisher.reporting_entity_name,
            "reporting_entity_type": "health insurance issuer",
            **(second if self._layout.second_schema else {}),
            "last_updated_on": _date_text(updated, self._layout),
            "version": self._layout.version,
        }

    def _items(self) -> list[Json]:
        by_item: dict[tuple[str, str | None, str], list[Offer]] = defaultdict(list)
        for offer in offers_of(self._market, self._file):
            by_item[offer.billing_code, offer.billing_code_type, offer.arrangement].append(offer)
        wanted = [
            self._item(offers[start : start + _OFFERS_PER_ITEM])
            for offers in by_item.values()
            for start in range(0, len(offers), _OFFERS_PER_ITEM)
        ]
        others = [
            filler(self._random, [self._filler_rate() for _ in range(self._random.randint(1, 3))])
            for _ in range(_FILLERS)
        ]
        return wanted + others + decoys([self._filler_rate()])

    def _item(self, offers: list[Offer]) -> Json:
        first = offers[0]
        item: Json = {"negotiation_arrangement": first.arrangement, "name": _NAMES[first.billing_code]}
        code: Json = {"billing_code_type_version": "2026", "billing_code": self._code(first.billing_code)}
        if first.billing_code_type:
            shown = first.billing_code_type
            code = {"billing_code_type": f"{shown.lower()} " if self._layout.lower_type else shown} | code
        text: Json = {"description": f"{_NAMES[first.billing_code]} \\ per session"}
        rates: Json = {"negotiated_rates": [self._rate(offer) for offer in offers]}
        if first.arrangement == "bundle":
            text["bundled_codes"] = [{"billing_code_type": "CPT", "billing_code": "97110", "description": "part"}]
        return item | rates | text | code if self._layout.rates_first else item | code | text | rates

    def _code(self, code: str) -> str | int:
        if self._layout.code == "number":
            return int(code)
        return f" {code} " if self._layout.code == "padded" else code

    def _rate(self, offer: Offer) -> Json:
        rate = self._providers(offer.members)
        if offer.unresolved:
            missing = f"CG-{_MISSING}" if self._layout.reference_ids == "text" else _MISSING
            rate["provider_references"] = [*rate.get("provider_references", []), missing]
        prices = {"negotiated_prices": [self._price(price) for price in offer.prices]}
        return prices | rate if self._layout.rates_first else rate | prices

    def _providers(self, members: tuple[Member, ...]) -> Json:
        """Written out, cited, or half and half, the halves sharing a member; once or twice counts the same."""
        half = len(members) // 2
        if self._random.random() < self._layout.inline_share:
            if half and self._layout.references != "none" and self._random.random() < 0.5:
                cited = {"provider_references": [self._cite(members[half:])]}
                return {"provider_groups": self._groups(members[: half + 1])} | cited
            return {"provider_groups": self._groups(members)}
        if half and self._random.random() < 0.2:
            return {"provider_references": [*map(self._cite, (members[: half + 1], members[half:]))]}
        return {"provider_references": [self._cite(members)]}

    def _groups(self, members: Iterable[Member]) -> list[Json]:
        by_tin = defaultdict(list)
        for member in members:
            by_tin[member.tin].append(member.npi)
        groups = []
        for tin, npis in by_tin.items():
            name: Json = {"business_name": tin.name} if self._layout.second_schema else {}
            dashed = tin.kind == "ein" and not self._layout.as_text
            value: float | str = f"{tin.value[:2]}-{tin.value[2:]}" if dashed else tin.value
            shown: list[int] | list[str] = [str(npi) for npi in (*npis, npis[0])] if self._layout.as_text else npis
            if self._layout.spreadsheet:
                value = float(tin.value) if tin.kind == "ein" else tin.value
                shown = [f"{npi}.0" for npi in npis]
            groups.append({"npi": shown, "tin": {"type": tin.kind, "value": value} | name})
        return groups

    def _price(self, price: Price) -> Json:
        rate: float | str | None = price.negotiated_rate
        if self._layout.as_text:
            rate = "N/A" if rate is None else str(rate)
        ends = _date_text(price.expiration_date, self._layout) if price.expiration_date else "9999-12-31"
        shown: Json = {"negotiated_type": price.negotiated_type, "negotiated_rate": rate, "expiration_date": ends}
        if price.setting:
            shown = {"setting": price.setting} | shown
        if price.service_codes or self._random.random() < 0.5:
            shown["service_code"] = [code.lower() for code in reversed(price.service_codes)]
        spreadsheet = self._layout.spreadsheet
        shown["billing_class"] = f"{price.billing_class.title()} " if spreadsheet else price.billing_class
        if price.modifiers or self._random.random() < 0.5:
            shown["billing_code_modifier"] = [f" {code.lower()}" for code in price.modifiers] or [""]
        return shown

    def _filler_rate(self) -> Json:
        """Some of the same providers at another price."""
        rate = self._providers(self._random.choice(self._members)[:4])
        cents = self._random.randint(1_000, 90_000)
        price = Price("negotiated", cents / 100, "professional", None, ("11",), (), None)
        return rate | {"negotiated_prices": [self._price(price)]}

    def _provider_references(self) -> Json:
        if self._layout.references == "none":
            return {}
        names = list(self._file.publisher.networks)
        networks: Json = {"network_name": names} if self._layout.second_schema else {}
        for npi in self._random.sample(sorted(self._market.providers), _GHOST_REFERENCES):
            self._cite((Member(_GHOST_TIN, npi),))
        return {
            "provider_references": [
                {"provider_group_id": self._reference_id(place), **networks, "provider_groups": self._groups(members)}
                for members, place in self._cited.items()
            ]
        }

    def _cite(self, members: tuple[Member, ...]) -> int | float | str:
        """The id of their provider reference, as a price cites it."""
        identity = self._reference_id(self._cited.setdefault(members, len(self._cited)))
        return int(identity) if self._layout.reference_ids == "digits" else identity

    def _reference_id(self, place: int) -> int | float | str:
        """The id in one of the forms seen."""
        form = self._layout.reference_ids
        if form == "float":
            return round(690 + place / 10_000, 4) if place % 3 else round(40 + place / 10**10, 10)
        if form == "digits":
            return str(2**53 + place)  # neighbours that one double can't tell apart
        return f"CG-{place:05d}" if form == "text" else 3_800_007_931 + place


def _date_text(day: date, layout: Layout) -> str:
    if layout.dates in ("us", "us time"):
        return f"{day.month}/{day.day}/{day.year}" + (" 12:00:00 AM" if layout.dates == "us time" else "")
    return f"{day.isoformat()}T00:00:00" if layout.dates == "time" else day.isoformat()
