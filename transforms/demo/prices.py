"""The demo's prices: rows whose representative rate is known in advance, and noise rows that must not change it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from random import Random

# (negotiated_type, cents): the representative rate of each list is the cents it is made for
Quote = tuple[str, int]
LAST_RULE = "billing_class"  # about prices, and after those about providers
_Recipe = Callable[[int, int], list[Quote]]

_MODIFIERS = ((), (), ("GP",), ("59", "GP"), ("KX",), ("00", "97"))
_OFFICE = (("11",), ("11", "12", "22"), ("CSTM-00",), ())
_FACILITY = ((), ("22",), ("19", "22"), ("21",))  # the place of service rule is for professional prices alone

_RECIPES: tuple[_Recipe, ...] = (
    lambda cents, _: [("negotiated", cents)],
    lambda cents, _: [("negotiated", cents)],
    lambda cents, _: [("fee schedule", cents)],
    # medians of the distinct rates: odd, even, and one rate on two rows, which is one rate
    lambda cents, step: [("negotiated", cents - step), ("negotiated", cents), ("negotiated", cents + 2 * step)],
    lambda cents, step: [("negotiated", cents - step), ("negotiated", cents + step)],
    lambda cents, step: [
        ("derived", cents - step), ("derived", cents - step), ("derived", cents), ("derived", cents + step)
    ],
    # the best type wins over the others
    lambda cents, step: [("fee schedule", cents - 4 * step), ("negotiated", cents), ("derived", cents - step)],
    lambda cents, step: [
        ("fee schedule", cents + 4 * step), ("derived", cents - step), ("derived", cents + step),
        ("fee schedule", cents + 2 * step),
    ],
)  # fmt: skip


@dataclass(frozen=True)
class Price:
    """One negotiated price, cleaned as the contract cleans it; ``exclusion``: the price rule it fails, if any."""

    negotiated_type: str
    negotiated_rate: float | None
    billing_class: str
    setting: str | None
    service_codes: tuple[str, ...]
    modifiers: tuple[str, ...]
    expiration_date: date | None
    exclusion: str | None = None


def quotes(random: Random, cents: int) -> list[Quote]:
    """Types and cents whose representative rate is ``cents``: the median of the best type's distinct rates."""
    step = max(1, cents // random.randint(8, 20))
    return random.choice(_RECIPES)(cents, step)


def price(random: Random, quote: Quote, billing_class: str, settings: tuple[str, ...], month: date) -> Price:
    """An eligible price: no rule excludes it, for any details drawn."""
    negotiated_type, cents = quote
    professional = billing_class == "professional"
    return Price(
        negotiated_type=negotiated_type,
        negotiated_rate=cents / 100,
        billing_class=random.choice(("professional", "professional", "both")) if professional else billing_class,
        setting=random.choice(settings) if settings else None,
        service_codes=random.choice(_OFFICE if professional else _FACILITY),
        modifiers=random.choice(_MODIFIERS),
        expiration_date=random.choice((None, None, date(month.year + 1, 12, 31))),
    )


def ineligible_variants(random: Random, good: Price, month: date) -> list[Price]:
    """Variants of an eligible price that fail one rule each, at rates that would change the figures if they counted."""
    rate = round((good.negotiated_rate or 1) * random.choice((0.4, 2.5)), 2)
    loud = replace(good, negotiated_rate=rate)
    variants = [
        replace(good, negotiated_type="percentage", negotiated_rate=40.5, exclusion="not_dollars"),
        replace(good, negotiated_type="per diem", negotiated_rate=450.0, exclusion="not_dollars"),
        replace(good, negotiated_rate=0.0, exclusion="bad_rate"),
        replace(good, negotiated_rate=None, exclusion="bad_rate"),
        replace(loud, modifiers=random.choice((("AS",), ("26", "GP"))), exclusion="modifier"),
        replace(loud, expiration_date=month - timedelta(days=random.randint(60, 400)), exclusion="expired"),
        replace(loud, billing_class="dental", exclusion=LAST_RULE),
    ]
    if good.billing_class in {"professional", "both"}:
        variants.append(replace(loud, service_codes=("21",), exclusion="place_of_service"))
    return variants


def noise(random: Random, good: Price, month: date) -> list[Price]:
    """Zero to three of the ineligible variants."""
    return random.sample(ineligible_variants(random, good, month), random.choice((0, 0, 1, 1, 2, 3)))


def other_arrangement(good: Price) -> Price:
    """The same price for a bundle or under capitation: never a price per service."""
    return replace(good, negotiated_rate=99.0, exclusion="arrangement")
