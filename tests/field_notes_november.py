"""FIELD-NOTES, "Added November 2026": mixes of versions, spreadsheet values, spellings, carve-outs."""

from tests.documents import ANN, BOB, EVE, cited_document, document, group, item, other_item, price, rate, reference
from tests.field_note_case import Case, case
from tests.json_text import Token

MIXED_VERSIONS = "Compliance is judged by 2.x since 2026-02-02"
SPREADSHEET = "`billing_class` as `Professional`, with blanks, or null"
THREE_SPELLINGS = "Unknown payers spelled three ways in one month"
MANY_CITATIONS = "One provider group cited by thousands of rates"
CARVE_OUT = "Carve-out files hold some 80 therapy codes"

SPREADSHEET_GROUP = {"npi": [f"{ANN}.0"], "tin": {"type": "ein", "value": "12345678.0"}}
SPREADSHEET_CHANGES = {"billing_class": "  Professional ", "expiration_date": "1/1/2025 00:00"}
THERAPY_CODES = [code for code in range(97010, 97551) if code not in (97026, 97028)]


def _versions() -> list[Case]:
    named = {"network_name": ["Choice"]}
    business = group(ANN, tin={"type": "ein", "value": "12-3456789", "business_name": "Ann's Clinic"})
    remote = {"provider_group_id": 3, "location": "https://example.com/providers/3.json"}
    mixed = rate(group(EVE), provider_references=[1, 2, 3])
    references = [reference(1, business, **named), reference(2, group(BOB)), remote]
    return [
        case(
            "inline groups, references and a remote location in one rate",
            MIXED_VERSIONS,
            document(item(mixed), references=references, version="2.2.0"),
        )
    ]


def _spreadsheet() -> list[Case]:
    return [
        case(
            "class, dates, TIN and NPI out of a spreadsheet",
            SPREADSHEET,
            document(item(rate(SPREADSHEET_GROUP, prices=[price(**SPREADSHEET_CHANGES)]))),
        ),
        case("class null", SPREADSHEET, document(item(rate(group(ANN), prices=[price(billing_class=None)])))),
    ]


def _spellings() -> list[Case]:
    names = ("Prairie Lantern, Inc.", "PRAIRIE LANTERN INC", "Prairie  Lantern L.L.C.")
    return [case(f"unknown payer {name!r}", THREE_SPELLINGS, document(reporting_entity_name=name)) for name in names]


def _citations() -> list[Case]:
    prices = [[price(negotiated_rate=Token(f"{dollars}.5"))] for dollars in range(1, 301)]
    rates = [rate(prices=each, provider_references=[7]) for each in prices]
    again = [reference(7, group(npi)) for npi in (ANN, BOB, EVE)]
    return [
        case("one group cited by 300 rates", MANY_CITATIONS, document(item(*rates), references=[again[0]])),
        case("one id defined three times", MANY_CITATIONS, cited_document(*again, cites=[7])),
    ]


def _carve_out() -> list[Case]:
    therapy = [other_item(billing_code=str(code), name="Therapy") for code in THERAPY_CODES]
    items = [*therapy[:40], item(), *therapy[40:80], item(rate(group(BOB))), item(billing_code="97028")]
    return [case("three of 83 items are wanted", CARVE_OUT, document(*items))]


NOVEMBER_CASES: tuple[Case, ...] = (
    *_versions(),
    *_spreadsheet(),
    *_spellings(),
    *_citations(),
    *_carve_out(),
)
