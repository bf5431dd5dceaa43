"""A market of many payers as published files, and who its providers are: what the plain reading is compared on."""

from decimal import Decimal
from functools import cache
from random import Random
from typing import Any

from tests.documents import ANN, BOB, document, group, item, npi_of, price, rate, reference
from tests.field_notes import CASES, GENERATED_REMOTE
from tests.generated_documents import build_document
from tests.json_text import json_bytes
from tests.plain_evidence import plain_services
from tests.plain_payers import plain_payers, reviewed_payers
from tests.plain_reading import PlainNpi, PlainRate, plain_rates
from tests.plain_taxonomies import plain_tier

CODES = ("97026", "97028")
NATIONAL_USD = (6.79, 8.09, 6.68, 8.35)  # Medicare's amounts of both codes in 2025 and 2026, all indices 1
ENTITIES = (
    "Aetna Life Insurance Company",
    "Blue Cross and Blue Shield of Illinois",
    "Cigna Health Life Insurance Company",
    "UnitedHealthcare Insurance Company",
    "Rocky Mountain Hospital and Medical Service",
    "Acme Health Plan",
    "ACME Health-Plan, L.L.C.",
)
STATES = ("AK", "NY", "PR", "CA", "ZZ", "")
TAXONOMIES = ("225100000X", "225200000X", "207N00000X", "111N00000X", "207Q00000X", "261QP2000X")
POSTAL_CODES = (
    "94110-1234",
    "995011234",
    "10001",
    "00907",
    "K1A 0B1",
    "00000",
    "22201",
)  # the last: in Virginia, DC 01
NPIS = tuple(npi_of(100_000_000 + number) for number in range(60))

PLAIN_NPPES: dict[int, PlainNpi] = {
    npi: PlainNpi(
        state=STATES[number % len(STATES)] if number % 11 == 0 else STATES[number % 4],
        country="CA" if number == 8 else None if number % 7 == 1 else "US",
        postal_code=POSTAL_CODES[number % 8 - 1] if number % 8 else "",
        taxonomies=(TAXONOMIES[number % 6], TAXONOMIES[(number + 3) % 6])[: 1 + number % 2],
        deactivated=number % 17 == 3,
    )
    for number, npi in enumerate((*NPIS[:50], ANN, BOB))
}  # ten NPIs and Eve are unknown


BILLED = (  # npi, code, place of service, services: a year's utilization of every fifth NPI and of every third
    *((npi, "97026", "O", Decimal("2.5") * (number % 7)) for number, npi in enumerate(NPIS) if number % 5 == 1),
    *((npi, "97026", "F", Decimal("0.2")) for number, npi in enumerate(NPIS) if number % 5 == 1),
    *((npi, "97028", "O", Decimal(number) + Decimal("0.4")) for number, npi in enumerate(NPIS) if number % 3 == 2),
    *((npi, "97799", "O", Decimal(12)) for number, npi in enumerate(NPIS) if number % 5 == 2),
    *((npi, "97800", "O", Decimal(12)) for number, npi in enumerate(NPIS) if number % 5 in (1, 3)),
    (ANN, "97028", "O", Decimal("11.5")),
)
SERVICES = plain_services((npi, code, amount) for npi, code, _, amount in BILLED)


def utilization_csv(factor: int = 1) -> bytes:
    """These rows in CMS's layout, with other columns and Latin-1 bytes among them."""
    lines = ["Rndrng_NPI,Rndrng_Prvdr_Last_Org_Name,HCPCS_Cd,Place_Of_Srvc,Tot_Srvcs,Avg_Sbmtd_Chrg"]
    lines += [f'{npi},"Pe\xf1a, ""A""",{code},{place},{amount * factor},1' for npi, code, place, amount in BILLED]
    return "\n".join([*lines, ""]).encode("latin-1")


def market_file(seed: int) -> bytes:
    """Many prices of one payer: every class, kind and tier, inline and cited, some of them outliers."""
    chance = Random(seed)

    def some_group() -> dict[str, Any]:
        number = chance.randrange(14)
        tin = {"type": "ein", "value": f"{number:09d}"} if number else None
        return group(*chance.sample(NPIS, chance.randint(1, 4)), tin=tin)

    def some_price() -> dict[str, Any]:
        return price(
            negotiated_rate=chance.choice((5.25, 6.98, 7, 8.68, 9.1, 12.345, 20, 33.33, 0.69, 69.81, 900, *bounds())),
            negotiated_type=chance.choice(("negotiated", "negotiated", "derived", "fee schedule", "percentage")),
            billing_class=chance.choice(("professional", "Professional ", "both", "institutional", "dental", "")),
            billing_code_modifier=chance.choice(([], ["GP"], ["GP", "KX"], ["AS"])),
        )

    references = [reference(number, some_group(), network_name=["PPO", f"N{number % 3}"]) for number in range(12)]
    items = [
        item(
            *(
                rate(
                    *(some_group() for _ in range(chance.randrange(2))),
                    prices=[some_price() for _ in range(chance.randint(1, 3))],
                    provider_references=[chance.randrange(13)],  # 12 is defined nowhere
                )
                for _ in range(12)
            ),
            billing_code=code,
        )
        for code in CODES
    ]
    entity = ENTITIES[seed % len(ENTITIES)]
    updated = f"2026-0{1 + seed % 6}-15"
    return json_bytes(document(*items, references=references, reporting_entity_name=entity, last_updated_on=updated))


@cache
def bounds() -> list[float]:
    """A tenth and ten times each national amount, which are no outliers, and rates a hair beyond, which are."""
    amounts = [Decimal(repr(amount)) for amount in NATIONAL_USD]
    hair = Decimal("0.0001")
    return [float(rate) for a in amounts for rate in (a / 10, a / 10 - hair, a * 10, a * 10 + hair)]


def generated_file(seed: int) -> bytes:
    """As odd as the field notes; most under one of the payers' names."""
    made = build_document(Random(seed), size=4, oddness=(0.0, 0.02, 0.1)[seed % 3], plain=seed % 2 == 0)
    return made.replace(b"Acme Health Plan", ENTITIES[seed % len(ENTITIES)].encode())


MARKET_REMOTE = GENERATED_REMOTE | {where: data for case in CASES for where, data in case.remote.items()}
_NOTES = [
    case
    for number, case in enumerate(CASES)
    if (number % 8 == 0 or any(word in case.name for word in ("unresolved", "empty", "entity missing")))
    and case.expect == "matched"
    and not case.skipped
    and len(case.published) < 20_000
    and case.container == "plain"
]


@cache
def market_contents() -> list[bytes]:
    """A file of each entity, one of them again of another day, some as odd as the field notes, and field notes."""
    again = market_file(1).replace(b"2026-02-15", b"2026-04-15")
    return [*map(market_file, range(7)), again, *map(generated_file, range(8)), *(case.published for case in _NOTES)]


@cache
def plain_market(with_nppes: bool) -> list[PlainRate]:
    """The plain reading's rates of all of them."""
    nppes = PLAIN_NPPES if with_nppes else None
    rates = plain_rates(market_contents(), CODES, nppes, tier_of=plain_tier, remote=MARKET_REMOTE)
    payers = plain_payers({found.row.reporting_entity_name for found in rates}, reviewed_payers())
    for found in rates:
        found.payer = payers[found.row.reporting_entity_name]
    return rates
