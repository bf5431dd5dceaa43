"""FIELD-NOTES, "Ids and values": one value of the base document changed at a time."""

from itertools import starmap
from typing import Any

from tests.documents import (
    ANN,
    BAD_CHECK_DIGIT,
    BOB,
    EVE,
    cited_document,
    document,
    group,
    grouped_document,
    item,
    other_item,
    price,
    priced_document,
    rate,
    reference,
    without,
)
from tests.field_note_case import Case, case
from tests.json_text import Pairs, Token

IDS = "`provider_group_id`: 40.0000000001"
WHO = "NPI: strings, repeated"
RATES = "Rates: 0 on 25% to 46% of rows"
CODES = "`billing_code` as a number"
CLASSES = "`billing_class`: everything `institutional`"
DATES = "`expiration_date` 9999-12-31 on 93%"
MIXED_UP = "`covered_services: null`"
DUPLICATES = "Exact duplicate rows up to 17.8%"
HALF_PAIRS = "lone surrogates"

BEYOND_INT64 = "98765432109876543210"

# (defined, another definition with Bob, cited): the citation finds Ann alone, whatever is near it
SAME_IDS: tuple[tuple[str, str, str], ...] = (
    ("40.0000000001", "40", "40.0000000001"),
    ("690.6447", "690.6446", "690.64470"),
    ("320.25975", "320", "320.25975"),
    ("690.64462", "690.64466", "690.64462"),
    ("3800007931", "3800007932", "3800007931"),
    ("9007199254740993", "9007199254740992", "9007199254740993"),
    (BEYOND_INT64, BEYOND_INT64[:-1] + "1", BEYOND_INT64),
    ("0.1000000000000000055511151231257827", "0.1", "0.1000000000000000055511151231257827"),
    ("1", "2", "1.0"),
    ("100", "10", "1e2"),
    ("0.01", "0.1", "1E-2"),
    ('"7"', '"8"', "7"),
    ("7", "8", '"7"'),
    ('" 7 "', "8", "7.00"),
    ('"007"', "8", "7"),
    ('"+7"', "-7", "7"),
    ('"40.0000000001"', '"40"', "40.0000000001"),
    ('"G-1"', '"G-2"', '"G-1"'),
    ('"G-1"', '"g-1"', '" G-1 "'),
    ("-0", "1", "0.0"),
)
UNRESOLVED_IDS: tuple[tuple[str, str], ...] = (
    ("40", "40.0000000001"),
    ("9007199254740992", "9007199254740993"),
    ("1e400", "1e401"),
    ('"G-1"', '"G-01"'),
    ("null", "null"),
    ("true", "true"),
    ("{}", "{}"),
    ("1", "null"),
    ("1", "[1]"),
)


def _ids() -> list[Case]:
    return [
        *starmap(_same_id, SAME_IDS),
        *starmap(_unresolved_id, UNRESOLVED_IDS),
        case(
            "one id defined twice", IDS, cited_document(reference(1, group(ANN)), reference(1, group(BOB)), cites=[1])
        ),
        case(
            "one id defined in two spellings",
            IDS,
            cited_document(reference(1, group(ANN)), reference(Token("1.0"), group(BOB)), cites=["1"]),
        ),
        case("one citation repeated", IDS, cited_document(reference(1, group(ANN)), cites=[1, 1, Token("1.0")])),
        case(
            "citation is no array",
            IDS,
            document(item(rate(provider_references=1)), references=[reference(1, group(ANN))]),
        ),
        case(
            "reference without an id",
            IDS,
            cited_document(without(reference(1, group(ANN)), "provider_group_id"), cites=[1]),
        ),
    ]


def _same_id(defined: str, other: str, cited: str) -> Case:
    references = (reference(Token(other), group(BOB)), reference(Token(defined), group(ANN)))
    return case(f"id {defined} cited as {cited}", IDS, cited_document(*references, cites=[Token(cited)]))


def _unresolved_id(defined: str, cited: str) -> Case:
    return case(
        f"id {defined} is not {cited}", IDS, cited_document(reference(Token(defined), group(ANN)), cites=[Token(cited)])
    )


# name: the value of "npi"
NPIS: dict[str, Any] = {
    "strings": [str(ANN), str(BOB)],
    "with dashes and blanks": [f" {str(ANN)[:3]}-{str(ANN)[3:6]}-{str(ANN)[6:]} "],
    "repeated": [ANN, ANN, str(ANN), Token(f"{ANN}.0"), BOB],
    "zero": [0],
    "zero beside a good one": [0, ANN],
    "empty text": [""],
    "empty text beside a good one": ["", ANN],
    "bad check digit": [BAD_CHECK_DIGIT],
    "nine digits": [100000001],
    "starts with 3": [3000000004],
    "integral number": [Token(f"{ANN}.0"), Token("1.000000012e9")],
    "fraction": [Token(f"{ANN}.5")],
    "beyond int64": [Token(BEYOND_INT64), BEYOND_INT64],
    "largest int64": [2**63 - 1],
    "just beyond int64": [2**63],
    "enormous exponent": [Token("1e999999")],
    "leading zeros": [f"000{ANN}"],
    "other digits than ASCII": ["१२३४५६७८९३"],
    "words": ["n/a"],
    "text with .0": [f"{ANN}.0", f" {BOB}.00 ", f"{EVE}.5"],
    "negative": [-ANN],
    "negative beside a good one": [-ANN, BOB],
    "boolean and object": [True, {"npi": ANN}],
    "null beside a good one": [None, ANN],
    "only nulls": [None, None],
    "no array": ANN,
    "null": None,
    "empty list": [],
}
# name: the value of "tin"
TINS: dict[str, Any] = {
    "without dash": {"type": "ein", "value": "123456789"},
    "of type npi": {"type": "npi", "value": str(BOB)},
    "value 0": {"type": "ein", "value": "0"},
    "value a number": {"type": "ein", "value": 123456789},
    "value a fraction": {"type": "ein", "value": Token("12.5")},
    "value with .0": {"type": "ein", "value": "123456789.0"},
    "value a number with .0": {"type": "ein", "value": Token("123456789.0")},
    "value without its zeros": {"type": "ein", "value": "1234567"},
    "value a number without its zeros": {"value": Token("1234567.0"), "type": " Ein"},
    "short value of type npi": {"type": "npi", "value": 12345},
    "short value without type": {"value": "012345"},
    "value all zeros": {"type": "EIN", "value": "00-0000000"},
    "value with an exponent": {"type": "ein", "value": Token("1.5e2")},
    "value null": {"type": "ein", "value": None},
    "value blank": {"type": "ein", "value": " "},
    "value words": {"type": "EIN", "value": "unknown"},
    "scalar": "12-3456789",
    "number": 123456789,
    "null": None,
    "array": [{"type": "ein", "value": "12-3456789"}],
    "boolean": True,
    "business name": {"type": "ein", "value": "12-3456789", "business_name": 'Bob "97026" {Ann}, Inc.\\'},
}


def _who() -> list[Case]:
    named = {"npi": [BOB], "NPI": [EVE]}
    return [
        *(case(f"npi {name}", WHO, grouped_document(npi=value)) for name, value in NPIS.items()),
        case("npi missing", WHO, document(item(rate(without(group(), "npi"))))),
        case("key NPI", WHO, document(item(rate(without(group(), "npi") | {"NPI": [ANN]})))),
        case("npi wins over NPI", WHO, grouped_document(**named)),
        case("npi null beside NPI", WHO, grouped_document(npi=None, NPI=[EVE])),
        *(case(f"tin {name}", WHO, grouped_document(tin=value)) for name, value in TINS.items()),
        case("tin missing", WHO, document(item(rate(without(group(ANN), "tin"))))),
        case("one npi under two tins", WHO, document(item(rate(group(ANN), group(ANN, tin={"value": "98-7654321"}))))),
        case("empty group", WHO, document(item(rate({})))),
        case("empty cited group", WHO, cited_document(reference(1, {}), cites=[1])),
        case(
            "empty group beside an unresolved citation",
            WHO,
            document(item(rate({}, provider_references=[404]))),
            ruling="one row of null tin and npi, provider_unresolved: it comes before no_npi",
        ),
    ]


# name: changes to the price
PRICES: dict[str, dict[str, Any]] = {
    "zero": {"negotiated_rate": 0},
    "placeholder": {"negotiated_rate": 0.06},
    "text": {"negotiated_rate": "30.50"},
    "text with blanks and sign": {"negotiated_rate": " +30.5 "},
    "text without leading zero": {"negotiated_rate": ".5"},
    "text with trailing point": {"negotiated_rate": "30."},
    "text with exponent": {"negotiated_rate": "3.05e1"},
    "text with dollar and comma": {"negotiated_rate": "$1,234.50"},
    "text NaN": {"negotiated_rate": "NaN"},
    "text Infinity": {"negotiated_rate": "Infinity"},
    "text with underscore": {"negotiated_rate": "3_0"},
    "text of other digits": {"negotiated_rate": "३०"},
    "empty text": {"negotiated_rate": ""},
    "negative": {"negotiated_rate": -12.5},
    "integer": {"negotiated_rate": 30},
    "exponent": {"negotiated_rate": Token("3.05E+1")},
    "seventeen digits": {"negotiated_rate": Token("30.299999999999997")},
    "beyond float64": {"negotiated_rate": Token("1e999")},
    "integer beyond int64": {"negotiated_rate": Token(BEYOND_INT64)},
    "boolean": {"negotiated_rate": True},
    "object": {"negotiated_rate": {"amount": 30}},
    "null": {"negotiated_rate": None},
    "percentage": {"negotiated_type": "percentage", "negotiated_rate": 40.5},
    "per diem": {"negotiated_type": "per diem", "negotiated_rate": 900},
    "derived": {"negotiated_type": "derived"},
    "fee schedule": {"negotiated_type": "fee schedule"},
    "capitalised type": {"negotiated_type": "Negotiated"},
    "null type": {"negotiated_type": None},
}


def _rates() -> list[Case]:
    singular = without(rate(group(ANN)), "negotiated_prices")
    renamed = without(price(), "negotiated_rate")
    good_beside_null = [price(), price(negotiated_rate=None)]
    return [
        *(case(f"rate {name}", RATES, priced_document(**changes)) for name, changes in PRICES.items()),
        case("rate missing", RATES, document(item(rate(group(ANN), prices=[renamed])))),
        case("null rate beside a good one", RATES, document(item(rate(group(ANN), prices=good_beside_null)))),
        case("negotiated_price as the array", RATES, document(item(singular | {"negotiated_price": [price()]}))),
        case("negotiated_price as one object", RATES, document(item(singular | {"negotiated_price": price()}))),
        case(
            "negotiated_price as the rate",
            RATES,
            document(item(rate(group(ANN), prices=[renamed | {"negotiated_price": "31"}]))),
        ),
        case("negotiated_rate wins over negotiated_price", RATES, priced_document(negotiated_price=99)),
        case(
            "negotiated_rate an object beside negotiated_price",
            RATES,
            priced_document(negotiated_rate={}, negotiated_price=31),
        ),
        case(
            "negotiated_rate null beside negotiated_price",
            RATES,
            priced_document(negotiated_rate=None, negotiated_price=31),
        ),
        *(
            case(f"arrangement {name!r}", RATES, document(item(negotiation_arrangement=name)))
            for name in ("bundle", "capitation", "FFS", None)
        ),
    ]


MATCHING_CODES: dict[str, dict[str, Any]] = {
    "number": {"billing_code": 97026},
    "padded": {"billing_code": " 97026\t"},
    "type in lower case, padded": {"billing_code_type": " cpt "},
    "type HCPCS": {"billing_code_type": "Hcpcs"},
    "type null": {"billing_code_type": None},
    "type blank": {"billing_code_type": "  "},
    "type no text": {"billing_code_type": ["CPT"]},
}
OTHER_CODES: dict[str, dict[str, Any]] = {
    "type RC": {"billing_code_type": "RC"},
    "type CSTM-ALL": {"billing_code_type": "CSTM-ALL", "billing_code": "CSTM-ALL"},
    "type a number": {"billing_code_type": 1},
    "number with a fraction": {"billing_code": Token("97026.0")},
    "number with an exponent": {"billing_code": Token("9.7026e4")},
    "leading zero": {"billing_code": "097026"},
    "null": {"billing_code": None},
    "array": {"billing_code": ["97026"]},
    "boolean": {"billing_code": True},
}


def _codes() -> list[Case]:
    return [
        *(case(f"code {name}", CODES, document(item(**changes))) for name, changes in MATCHING_CODES.items()),
        case("code type missing", CODES, document(without(item(), "billing_code_type"))),
        *(
            case(f"code {name}", CODES, document(item(**changes)), expect="no_match")
            for name, changes in OTHER_CODES.items()
        ),
        case("code missing", CODES, document(without(item(), "billing_code")), expect="no_match"),
    ]


CLASS_CHANGES: dict[str, dict[str, Any]] = {
    "institutional": {"billing_class": "institutional", "service_code": ["21"]},
    "both": {"billing_class": "both"},
    "blank": {"billing_class": "", "service_code": ["21"]},
    "null": {"billing_class": None},
    "capitalised": {"billing_class": "Professional", "service_code": ["21"]},
    "capitalised and padded": {"billing_class": " INSTITUTIONAL\n", "service_code": ["21"]},
    "some other class": {"billing_class": "Dental"},
    "class a number": {"billing_class": 7},
    "all hundred service codes": {"service_code": [f"{code:02d}" for code in range(100)]},
    "service code CSTM-00": {"service_code": ["CSTM-00"]},
    "service code cstm-00": {"service_code": [" cstm-00 "]},
    "service codes empty": {"service_code": []},
    "service codes null": {"service_code": None},
    "service codes blank": {"service_code": [""]},
    "service code a scalar": {"service_code": "11"},
    "service code a number": {"service_code": [11, Token("11.0")]},
    "service codes in one text": {"service_code": "11,12"},
    "service code elsewhere": {"service_code": ["21", "22", "22"]},
    "modifier blank": {"billing_code_modifier": [""]},
    "modifier null": {"billing_code_modifier": None},
    "modifier list of null": {"billing_code_modifier": [None]},
    "modifier 00": {"billing_code_modifier": ["00"]},
    "modifier a scalar": {"billing_code_modifier": "gp"},
    "modifier a number": {"billing_code_modifier": [59]},
    "modifiers untidy": {"billing_code_modifier": [" kx", "GP", "gp ", ""]},
    "modifier not allowed": {"billing_code_modifier": ["GP", "CO"]},
    "modifier an object": {"billing_code_modifier": [{"code": "CO"}, True]},
    "setting": {"setting": "outpatient"},
    "setting null": {"setting": None},
}
EXPIRATIONS: tuple[Any, ...] = (
    "9999-12-31",
    "9999-12-31T00:00:00",
    "12/31/9999",
    "2025-12-31T00:00:00",
    "2026-06-01",
    "2026-05-31",
    " 2027-01-31 ",
    "2/4/2027",
    "02/04/2027",
    "2027-02-30",
    "20270131",
    "20270131T120000Z",
    "20270131235959",
    "2027013",
    "2027/01/31",
    "2027/01-31",
    "2027-01-31Z",
    "2027-01-311",
    "1-31-2027",
    "1/31/2027 12:00:00 AM",
    "1/31/20270",
    "99991231",
    "12-31-9999 00:00",
    "31.12.2027",
    "9999-12-30",
    "",
    None,
    20270131,
)
UPDATES: tuple[Any, ...] = (
    "2026-06-01T00:00:00-05:00",
    "2/4/2026",
    "2020-08-27",
    "2031-01-01",
    "June 2026",
    "2/4/2026 10:15",
    "2026/02/04",
    "",
    None,
    20260601,
)


def _classes_and_dates() -> list[Case]:
    return [
        *(case(name, CLASSES, priced_document(**changes)) for name, changes in CLASS_CHANGES.items()),
        case("class missing", CLASSES, document(item(rate(group(ANN), prices=[without(price(), "billing_class")])))),
        *(case(f"expires {day!r}", DATES, priced_document(expiration_date=day)) for day in EXPIRATIONS),
        *(case(f"updated {day!r}", DATES, _expiring(last_updated_on=day)) for day in UPDATES),
        case("updated never", DATES, without(_expiring(), "last_updated_on")),
    ]


def _expiring(**changes: Any) -> dict[str, Any]:
    return priced_document(expiration_date="2026-03-31") | changes


def _twice(record: dict[str, Any], key: str, first: Any) -> Pairs:
    """The record with ``key`` written a first time, with another value, before everything else."""
    return Pairs([(key, first), *record.items()])


def _mixed_up() -> list[Case]:
    scalars: dict[str, Any] = {"plan_id": {}, "plan_name": [], "version": 2}
    nulls = document(None, item(None, rate(None, group(ANN), prices=[None, price()])), references=[None])
    numbers = document(7, item(8, rate(9, group(ANN), prices=[10, price(), "x", []])), references=[11, [], "x"])
    bare = document() | {"in_network": item(negotiated_rates=rate(provider_groups=group(ANN), prices=price()))}
    bare_reference = cited_document(cites=[1]) | {"provider_references": reference(1, provider_groups=group(ANN))}
    emptied = Pairs([*document().items(), ("in_network", [])])
    return [
        case("covered_services null", MIXED_UP, document(item(covered_services=None, bundled_codes=None), **scalars)),
        case("nulls among everything", MIXED_UP, nulls),
        case("numbers and texts among everything", MIXED_UP, numbers),
        case("objects where arrays belong", MIXED_UP, bare),
        case("a reference object where the array belongs", MIXED_UP, bare_reference),
        case(
            "scalars where arrays belong",
            MIXED_UP,
            document(item(negotiated_rates=5), item(negotiated_rates="x"), item()),
        ),
        case("rates null: matched item, no price", MIXED_UP, document(item(negotiated_rates=None), item())),
        case("in_network a scalar", MIXED_UP, document() | {"in_network": "97026"}, expect="no_match"),
        case("duplicate code, wanted last", MIXED_UP, document(_twice(item(), "billing_code", "99213"))),
        case(
            "duplicate code, wanted first",
            MIXED_UP,
            document(_twice(other_item(), "billing_code", "97026")),
            expect="no_match",
        ),
        case("duplicate in_network, wanted last", MIXED_UP, _twice(document(), "in_network", [item(), other_item()])),
        case("duplicate in_network, empty last", MIXED_UP, emptied, expect="no_match"),
        case(
            "duplicate provider_references",
            MIXED_UP,
            _twice(
                cited_document(reference(1, group(ANN)), cites=[1]), "provider_references", [reference(1, group(BOB))]
            ),
        ),
        case("duplicate header", MIXED_UP, _twice(document(), "reporting_entity_name", "Another Plan")),
        case("duplicate negotiated_rates", MIXED_UP, document(_twice(item(), "negotiated_rates", [rate(group(BOB))]))),
        case(
            "duplicate rate, tin and npi",
            MIXED_UP,
            document(
                item(
                    rate(
                        _twice(group(ANN), "npi", [BOB]),
                        _twice(group(EVE), "tin", "98-7654321"),
                        prices=[_twice(price(), "negotiated_rate", 99)],
                    )
                )
            ),
        ),
        case("exact duplicates of price, rate, item", DUPLICATES, _doubled()),
        case("a twin under another name", DUPLICATES, document(), file_name="2026-07_another-name.json"),
    ]


def _doubled() -> dict[str, Any]:
    doubled = rate(group(ANN), group(ANN), prices=[price(), price(negotiated_rate=Token("3.0e1"))])
    return document(item(doubled, doubled), item(doubled, doubled))


def _half_pairs() -> list[Case]:
    replaced = "a lone half of a surrogate pair is published as U+FFFD: Parquet text is UTF-8"
    return [
        case("a surrogate pair in escapes", HALF_PAIRS, document(reporting_entity_name=Token(r'"Acme \ud83d\ude00"'))),
        case("lone surrogate in a name", HALF_PAIRS, document(item(name=Token(r'"Acme \ud83d"')))),
        case(
            "lone surrogate in the entity",
            HALF_PAIRS,
            document(reporting_entity_name=Token(r'"Acme \ude00"')),
            ruling=replaced,
        ),
        case(
            "lone surrogate in the class",
            HALF_PAIRS,
            priced_document(billing_class=Token(r'"\ud800x"')),
            ruling=replaced,
        ),
        case("lone surrogate in a key", HALF_PAIRS, document(Pairs([(Token(r'"\udc00"'), 1), *item().items()]))),
        case("escaped NUL in a name", HALF_PAIRS, document(item(name=Token(r'"a\u0000b"')))),
    ]


VALUE_CASES: tuple[Case, ...] = (
    *_ids(),
    *_who(),
    *_rates(),
    *_codes(),
    *_classes_and_dates(),
    *_mixed_up(),
    *_half_pairs(),
)
