"""The demo's market: contracts with the representative rate of each, and the offers that publish them.

The files are written from the offers; the known answers are computed from the contracts. The same seed and month
make the same market.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from itertools import product
from random import Random

from schemas.codes import DEFAULT_CODES, GEOGRAPHIES
from transforms.demo.prices import Price, ineligible_variants, noise, other_arrangement, price, quotes
from transforms.demo.providers import Member, Provider, make_roster
from transforms.demo.utilization import Services, make_services

DEFAULT_SEED = 97026

_SHEETS = 3  # fee schedules per payer and state; a member is on one of them
_BASE_CENTS = {"97026": 700, "97028": 830}  # near Medicare's, so that a rate is an outlier only by intent
_OUTLIER_CENTS = (6, 25_000)  # under 10% and over 1000% of any year's Medicare amount


@dataclass(frozen=True)
class Publisher:
    """The publisher of a file: the name in the header, and what its items, prices and provider references state."""

    reporting_entity_name: str
    payer: str
    code_types: tuple[str | None, ...] = ("CPT",)
    settings: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()


AETNA = Publisher("Aetna Life Insurance Company", "Aetna")
BLUE_ILLINOIS = Publisher("Blue Cross and Blue Shield of Illinois", "Blue Cross Blue Shield", ("CPT", "HCPCS"))
ANTHEM = Publisher(
    "Anthem Insurance Companies, Inc.",
    "Blue Cross Blue Shield",
    settings=("outpatient", "both"),
    networks=("Anthem PPO", "Anthem HMO"),
)
PREMERA = Publisher("Premera Blue Cross", "Blue Cross Blue Shield", (None, "CPT"))
CIGNA = Publisher(
    "Cigna Health Life Insurance Company", "Cigna", settings=("outpatient", "both"), networks=("National OAP",)
)
UNITED = Publisher("United HealthCare Services, Inc.", "UnitedHealth Group")
LANTERN = Publisher(
    "Prairie Lantern Health Cooperative",
    "Prairie Lantern Health Cooperative",
    settings=("outpatient",),
    networks=("Lamplight PPO", "Lamplight Choice"),
)
PUBLISHERS = (AETNA, BLUE_ILLINOIS, ANTHEM, PREMERA, CIGNA, UNITED, LANTERN)

_LEVEL = {AETNA.payer: 0.92, ANTHEM.payer: 1.12, CIGNA.payer: 1.0, UNITED.payer: 0.86, LANTERN.payer: 1.3}
_ILLINOIS_AND_AROUND = ("IL", "IA", "WI", "MN", "MO")
_PREMERAS = ("WA", "AK", "OR", "GU", "AS", "MP")
_PRAIRIE = ("IL", "IA", "NE", "KS", "SD", "ND", "MN")


@dataclass(frozen=True)
class Contract:
    """What a payer pays these members for a code and class: the representative rate that its offers must yield."""

    payer: str
    billing_code: str
    billing_class: str
    representative_cents: int
    members: tuple[Member, ...]
    outlier: bool = False


@dataclass(frozen=True)
class Offer:
    """Prices that one publisher publishes for some members.

    unresolved: it also cites a reference that the file does not define.
    """

    publisher: Publisher
    billing_code: str
    billing_code_type: str | None
    arrangement: str
    prices: tuple[Price, ...]
    members: tuple[Member, ...]
    unresolved: bool = False


@dataclass(frozen=True)
class Market:
    """Providers by NPI, contracts (the intended rates), offers (what is published), services billed to Medicare."""

    month: date
    seed: int
    providers: dict[int, Provider]
    contracts: tuple[Contract, ...]
    offers: tuple[Offer, ...]
    services: Services = field(default_factory=dict)


def make_market(month: date, seed: int = DEFAULT_SEED) -> Market:
    """The whole market of a day's month, in memory: some ten thousand contracted rates."""
    month = month.replace(day=1)
    random = Random(seed)
    roster = make_roster(random)
    signed = [
        (publishers, contract)
        for payer in dict.fromkeys(publisher.payer for publisher in PUBLISHERS)
        for state in GEOGRAPHIES
        if (publishers := _publishers(random, payer, state))
        for contract in _contracts(random, payer, roster.members[state])
    ]
    signed += [
        ((publisher,), Contract(publisher.payer, code, "professional", cents, (member,), outlier=True))
        for publisher, member, cents in zip((AETNA, CIGNA), roster.outlier_members, _OUTLIER_CENTS, strict=True)
        for code in DEFAULT_CODES
    ]
    offers = [offer for publishers, contract in signed for offer in _offers(random, publishers, contract, month)]
    offers += _ineligible_offers(random, roster.outlier_members, month)
    contracts = tuple(contract for _, contract in signed)
    services = make_services(random, roster.providers.values())
    return Market(month, seed, roster.providers, contracts, tuple(offers), services)


def _ineligible_offers(random: Random, members: tuple[Member, ...], month: date) -> Iterator[Offer]:
    """Offers whose prices are all excluded, so that their members are in no summary of that payer."""
    for publisher, code in product((UNITED, LANTERN), DEFAULT_CODES):
        good = price(random, ("negotiated", 700), "professional", publisher.settings, month)
        yield Offer(publisher, code, "CPT", "ffs", tuple(ineligible_variants(random, good, month)), members)


def _publishers(random: Random, payer: str, state: str) -> tuple[Publisher, ...]:
    """Publishers of a payer's prices in a state: two Blues in some states, none where the payer is absent."""
    if payer == LANTERN.payer:
        return (LANTERN,) if state in _PRAIRIE else ()
    if payer == ANTHEM.payer:
        local = BLUE_ILLINOIS if state in _ILLINOIS_AND_AROUND else PREMERA if state in _PREMERAS else ANTHEM
        return (local, ANTHEM) if local != ANTHEM and random.random() < 0.5 else (local,)
    return tuple(publisher for publisher in PUBLISHERS if publisher.payer == payer)


def _contracts(random: Random, payer: str, members: tuple[Member, ...]) -> Iterator[Contract]:
    """A state's contracts of one payer; the first sheet always has both codes, and the state's first members."""
    level = _LEVEL[payer] * random.uniform(0.85, 1.2)
    for place, sheet in enumerate(_sheets(random, members)):
        for code in DEFAULT_CODES:
            if place and random.random() < 0.15:
                continue
            cents = round(_BASE_CENTS[code] * level * random.uniform(0.8, 1.25))
            yield Contract(payer, code, "professional", cents, sheet)
            if random.random() < 0.35:
                yield Contract(payer, code, "institutional", round(cents * random.uniform(1.1, 1.9)), sheet)


def _sheets(random: Random, members: tuple[Member, ...]) -> list[tuple[Member, ...]]:
    """Members by fee schedule; one in five is out of network."""
    sheets: list[list[Member]] = [[] for _ in range(_SHEETS)]
    for place, member in enumerate(members):
        if place < 4:
            sheets[0].append(member)
        elif random.random() < 0.8:
            random.choice(sheets).append(member)
    return [tuple(sheet) for sheet in sheets if sheet]


def _offers(random: Random, publishers: tuple[Publisher, ...], contract: Contract, month: date) -> Iterator[Offer]:
    """The contract as published: its quotes shared out among the publishers, with noise, repeats and decoys."""
    agreed = quotes(random, contract.representative_cents)
    if contract.outlier:
        agreed = [("negotiated", contract.representative_cents)]
    for place, publisher in enumerate(publishers):
        shared = agreed[place :: len(publishers)] or agreed
        good = [price(random, quote, contract.billing_class, publisher.settings, month) for quote in shared]
        prices = [*good, *noise(random, good[0], month)]
        if random.random() < 0.15:
            prices.append(random.choice(prices))  # an exact duplicate
        random.shuffle(prices)
        code_type = random.choice(publisher.code_types)
        unresolved = random.random() < 0.06
        yield Offer(publisher, contract.billing_code, code_type, "ffs", tuple(prices), contract.members, unresolved)
        if random.random() < 0.03:
            arrangement = random.choice(("bundle", "capitation"))
            other = (other_arrangement(good[0]),)
            yield Offer(publisher, contract.billing_code, code_type, arrangement, other, contract.members)
