"""FIELD-NOTES, "Versions and shape", "Size", "Who": where things stand in a document, and what looks like them."""

from tests.documents import (
    ANN,
    BOB,
    EVE,
    Record,
    cited_document,
    document,
    group,
    item,
    key_first,
    npi_of,
    other_item,
    price,
    rate,
    reference,
    without,
)
from tests.field_note_case import Case, case
from tests.json_text import Pairs, Token, escaped, json_bytes

VERSIONS = "Schema tags run from 1.0.0"
SHAPE_1X = "1.x only: `negotiated_rates[].provider_groups` inline"
SHAPE_2X = "2.x adds `setting`"
KEY_ORDER = "Extra keys are legal anywhere"
INLINE_OR_CITED = "One file is all inline groups"
ROOT_KEYS = "Root keys seen besides the standard"
DECOYS = "Decoys: 21.7 million nested"
MANY_ITEMS = "The same code stands in many items"
SPLIT = "Files are split"
LARGE = "150 GB uncompressed is common"
CONTENTS = "Tables of contents: 10.5 GB gz"
MANY_TINS = "One rate for 514,491 TINs"
SPELLINGS = "Spellings: `Cigna Health Life Insurance Company`"
PUBLISHER = "The publisher isn't the payer"

SPREADSHEET_TIN = {"value": 1234567, "type": "EIN"}
REMOTE_FILE = json_bytes({"provider_groups": [group(ANN), group(BOB, EVE)], "version": "1.0.0"})
REMOTE = "https://example.com/providers/41.json"
REMOTE_SHAPES = "A remote provider-reference file may be"
REMOTE_FILES = {
    "a bare list": [group(ANN), group(BOB, EVE)],
    "an empty list": [],
    "a list of other objects": [group(ANN), {"npis": [1]}],
    "a list of numbers": [1, 2],
    "one group": group(ANN, BOB),
    "one group, and more": {"version": "1.0.0", **group(ANN), "npi_count": 1},
    "one TIN": {"tin": {"type": "ein", "value": "12-3456789"}},
    "one group beside null": {"provider_groups": None, **group(ANN)},
    "one group beside a list": {**group(EVE), "provider_groups": [group(ANN)]},
    "another object": {"message": "Forbidden"},
    "a text": "gone",
}
REMOTE_DOCUMENT = cited_document({"provider_group_id": 41, "location": REMOTE}, cites=[41])

DECOY_TEXT = 'A "billing_code":"97026", {"in_network":[{ ]}] and C:\\'
DECOY_ITEM = other_item(
    name=DECOY_TEXT,
    description='"provider_references": [{"provider_group_id": 1}]}]}',
    bundled_codes=[{"billing_code_type": "CPT", "billing_code": "97026", "description": "Infrared"}],
    covered_services=[{"billing_code_type": "CPT", "billing_code": "97026", "negotiated_rates": [rate(group(BOB))]}],
)
STRUCTURE: Record = {
    "reporting_plans": [{"plan_name": "Acme 97026", "plan_id_type": "EIN", "plan_id": "123456789"}],
    "in_network_files": [{"description": "rates", "location": "https://example.com/rates.json.gz?sig=1"}],
}
TABLE_OF_CONTENTS: Record = {
    "reporting_entity_name": "Acme Health Plan",
    "reporting_entity_type": "health insurance issuer",
    "reporting_structure": [STRUCTURE, STRUCTURE],
}
ALLOWED_AMOUNTS: Record = {
    "reporting_entity_name": "Acme Health Plan",
    "last_updated_on": "2026-06-01",
    "out_of_network": [
        {
            "name": "Infrared",
            "billing_code_type": "CPT",
            "billing_code": "97026",
            "allowed_amounts": [{"tin": {"type": "ein", "value": "123456789"}, "payments": [{"allowed_amount": 25.0}]}],
        }
    ],
}


def _versions() -> list[Case]:
    stated = ["1", "1.0.0", "1.3.1", "2.0", "2.2.0", Token("2.0"), None, "", ["2.0.0"]]
    named = [
        case(f"version {version!r}, {type(version).__name__}", VERSIONS, document(version=version))
        for version in stated
    ]
    return [
        *named,
        case("no version at all", VERSIONS, without(document(), "version")),
        case("version 1 in the shape of 2", VERSIONS, _all_of_2x() | {"version": "1.0.0"}),
    ]


def _all_of_2x() -> Record:
    grouped = group(ANN, BOB, tin={"type": "ein", "value": "12-3456789", "business_name": "Ann & Bob, LLC"})
    setting = price(setting="outpatient", additional_information="", severity_of_illness=["1"])
    return document(
        item(rate(provider_references=[1], prices=[setting])),
        references=[reference(1, grouped, network_name=["Choice", "Choice Plus"])],
        issuer_name="Acme Issuer",
        plan_sponsor_name="Acme auto shop",
        plan_id_type="ein",
        plan_market_type="group",
    )


def _references() -> list[Case]:
    far = "/providers/41.json?sig=a%2Bb"
    return [
        case("remote location, cited and found", SHAPE_1X, REMOTE_DOCUMENT, remote={REMOTE: REMOTE_FILE}),
        case("remote location, cited and dead", SHAPE_1X, REMOTE_DOCUMENT),
        case("remote location, cited and not JSON", SHAPE_1X, REMOTE_DOCUMENT, remote={REMOTE: b"<html>gone</html>"}),
        case(
            "remote groups out of a spreadsheet",
            SHAPE_1X,
            REMOTE_DOCUMENT,
            remote={
                REMOTE: json_bytes({"provider_groups": [group(f"{BOB}.0", tin={"value": 1234567, "type": "EIN"})]})
            },
        ),
        case("remote file without groups", SHAPE_1X, REMOTE_DOCUMENT, remote={REMOTE: b'{"provider_groups": []}'}),
        *(
            case(f"remote file is {name}", REMOTE_SHAPES, REMOTE_DOCUMENT, remote={REMOTE: json_bytes(content)})
            for name, content in REMOTE_FILES.items()
        ),
        case("remote location, not cited", SHAPE_1X, document(references=[{"provider_group_id": 41, "location": far}])),
        case(
            "inline groups win over a location",
            SHAPE_1X,
            cited_document(reference(41, group(EVE), location=REMOTE), cites=[41]),
            remote={REMOTE: REMOTE_FILE},
        ),
        case("setting, network names, business name", SHAPE_2X, _all_of_2x()),
        case("all inline", INLINE_OR_CITED, document(item(rate(group(ANN), group(BOB, EVE))))),
        case(
            "all cited",
            INLINE_OR_CITED,
            cited_document(reference(1, group(ANN)), reference(2, group(BOB)), cites=[2, 1]),
        ),
        case(
            "inline and cited in one rate",
            INLINE_OR_CITED,
            document(item(rate(group(ANN), provider_references=[1])), references=[reference(1, group(BOB))]),
        ),
        case("neither inline nor cited", INLINE_OR_CITED, document(item(rate()))),
        case("empty lists of both", INLINE_OR_CITED, document(item(rate(provider_groups=[], provider_references=[])))),
        case("first citation unresolved", INLINE_OR_CITED, cited_document(reference(1, group(ANN)), cites=[404, 1])),
        case(
            "null citation beside a good one",
            INLINE_OR_CITED,
            cited_document(reference(1, group(ANN)), cites=[None, 1]),
        ),
        case(
            "one citation resolved, one not",
            INLINE_OR_CITED,
            cited_document(reference(1, group(ANN)), reference(2), cites=[1, 2, 3]),
        ),
    ]


def _key_order() -> list[Case]:
    cited = cited_document(reference(1, group(ANN), network_name="Choice"), cites=[1])
    upside_down = json_bytes(_reversed(cited))
    junk = {"x_note": DECOY_TEXT, "x_deep": [[[[{"in_network": [{"billing_code": "97026"}]}]]]], "": None}
    extra = junk | document(
        item(rate(group(ANN) | junk, prices=[price() | junk]) | junk) | junk, references=[reference(9) | junk]
    )
    return [
        case("extra keys everywhere", KEY_ORDER, extra),
        case("in_network before provider_references", KEY_ORDER, key_first(cited, "in_network", "provider_references")),
        case("header at the very end", KEY_ORDER, key_first(cited, "provider_references", "in_network")),
        case("negotiated_rates before billing_code", KEY_ORDER, document(key_first(item(), "negotiated_rates"))),
        case("description before billing_code_type", KEY_ORDER, document(key_first(item(), "description"))),
        case("every object upside down", KEY_ORDER, upside_down),
        case(
            "prices before their providers", KEY_ORDER, document(item(key_first(rate(group(ANN)), "negotiated_prices")))
        ),
    ]


def _reversed(value: object) -> object:
    if isinstance(value, dict):
        return {key: _reversed(value[key]) for key in reversed(value)}
    return [_reversed(element) for element in value] if isinstance(value, list) else value


def _root_keys() -> list[Case]:
    cited = cited_document(reference(1, group(ANN)), cites=[1])
    spelled = ("provider_group_reference", "provider_group_references", "provider_reference")
    renamed = [
        {spelling if key == "provider_references" else key: value for key, value in cited.items()}
        for spelling in spelled
    ]
    in_networks = without(document(), "in_network") | {"in_networks": [item()]}
    return [
        *(case(f"root key {name}", ROOT_KEYS, changed) for name, changed in zip(spelled, renamed, strict=True)),
        case("root key in_networks", ROOT_KEYS, in_networks),
        case("in_network null beside in_networks", ROOT_KEYS, in_networks | {"in_network": None}),
        case("in_network wins over in_networks", ROOT_KEYS, document(in_networks=[item(), item()])),
        case("table of contents", ROOT_KEYS, TABLE_OF_CONTENTS, expect="no_match", file_name="index.json"),
        case("wrapped table of contents", ROOT_KEYS, {"TOC_Files": [TABLE_OF_CONTENTS]}, expect="no_match"),
        case(
            "allowed_amount_file as an array, no reporting_plans",
            ROOT_KEYS,
            TABLE_OF_CONTENTS
            | {
                "reporting_structure": [
                    {"allowed_amount_file": [{"description": "x", "location": "https://example.com/a"}]}
                ]
            },
            expect="no_match",
        ),
        case("allowed amounts", ROOT_KEYS, ALLOWED_AMOUNTS, expect="no_match"),
        case("provider reference file", ROOT_KEYS, REMOTE_FILE, expect="no_match"),
    ]


def _decoys() -> list[Case]:
    nested = [{"provider_references": [reference(1, group(BOB))], "in_network": [item(rate(group(BOB)))]}]
    escaped_key = Pairs((Token(escaped(key)) if "billing" in key else key, value) for key, value in item().items())
    return [
        case("wanted code in bundled_codes and covered_services", DECOYS, document(DECOY_ITEM), expect="no_match"),
        case(
            "nested sections that are not the root's",
            DECOYS,
            document(other_item(), x_nested=nested),
            expect="no_match",
        ),
        case("wanted code only at the root", DECOYS, document(other_item(), billing_code="97026"), expect="no_match"),
        case(
            "wanted code inside a rate",
            DECOYS,
            document(other_item(negotiated_rates=[rate() | item()])),
            expect="no_match",
        ),
        case(
            "wanted code longer or shorter",
            DECOYS,
            document(*map(_coded, ("970260", "9702", "97026-GP", ""))),
            expect="no_match",
        ),
        case(
            "decoys around a real match",
            DECOYS,
            document(DECOY_ITEM, item(name=DECOY_TEXT), DECOY_ITEM, x_nested=nested),
        ),
        case(
            "nested references beside the real ones",
            DECOYS,
            cited_document(reference(1, group(ANN) | {"provider_references": nested}), cites=[1], x_first=nested),
        ),
        case("keys in \\u escapes", DECOYS, document(escaped_key)),
        case("code in \\u escapes", DECOYS, document(item(billing_code=escaped("97026")))),
        case(
            "partly escaped key", DECOYS, json_bytes(document()).replace(b'"billing_code":', rb'"billing\u005fcode":')
        ),
        case("strings end in an escaped backslash", DECOYS, document(item(name="ends in \\", description='\\"\\\\'))),
        case("a solidus may be escaped", DECOYS, document(item(name=Token(r'"a\/b"')))),
        case(
            "key that begins like another",
            DECOYS,
            document(other_item(billing_code_modifier="97026")),
            expect="no_match",
        ),
    ]


def _coded(code: str) -> Record:
    return item(billing_code=code)


def _sizes() -> list[Case]:
    tiers = [item(rate(group(ANN), prices=[price(negotiated_rate=20.0 + n)])) for n in range(5)]
    modified = [item(rate(group(ANN), prices=[price(billing_code_modifier=[m])])) for m in ("GP", "GO", "GN", "AS")]
    many_references = [reference(n, group(npi_of(n))) for n in range(1, 371)]
    many_groups = [group(npi_of(n), tin={"type": "ein", "value": f"{n:09d}"}) for n in range(1, 515)]
    one_group = group(*(npi_of(n) for n in range(1, 698)))
    urls = [f"https://example.com/rates_{n % 5}.json.gz?Expires={n}&Signature=ab~{n}" for n in range(40)]
    files = [{"description": "rates", "location": url} for url in urls]
    return [
        case("one item per price tier", MANY_ITEMS, document(*tiers)),
        case("one item per modifier, others between", MANY_ITEMS, document(*modified[:2], other_item(), *modified[2:])),
        case(
            "part 31 of 31 without the code",
            SPLIT,
            document(other_item()),
            expect="no_match",
            file_name="r_31_of_31.json",
        ),
        case("empty in_network", SPLIT, document() | {"in_network": []}, expect="no_match"),
        case("null in_network", SPLIT, document() | {"in_network": None}, expect="no_match"),
        case("header only", SPLIT, without(document(), "in_network"), expect="no_match"),
        case("74 of 370 references cited", LARGE, cited_document(*many_references, cites=list(range(5, 375, 5)))),
        case("references after 300 items", LARGE, _references_last(many_references)),
        case("signed links to few files", CONTENTS, _contents(files), expect="no_match", file_name="index.json"),
        case("structures that share one list", CONTENTS, _contents(*[files] * 20), expect="no_match"),
        case("one rate for 514 TINs", MANY_TINS, document(item(rate(*many_groups)))),
        case("one group of 697 NPIs", MANY_TINS, document(item(rate(one_group)))),
    ]


def _references_last(references: list[Record]) -> Record:
    whole = cited_document(*references, cites=[7])
    return without(whole, "provider_references", "in_network") | {
        "in_network": [*(other_item() for _ in range(300)), *whole["in_network"]],
        "provider_references": references,
    }


def _contents(*file_lists: list[dict[str, str]]) -> Record:
    structures = [STRUCTURE | {"in_network_files": files} for files in file_lists]
    return TABLE_OF_CONTENTS | {"reporting_structure": structures}


def _names() -> list[Case]:
    entities = (
        "Cigna Health Life Insurance Company",
        "Aetna Life insurance Company",
        "United-HealthCare-Services--Inc-",
        "BCBS_ILLINOIS",
        "Rocky Mountain Hospital and Medical Service",
        "BCBSM, Inc.",
        "  Blanks around, Compañía de Salud™ ",
    )
    return [
        *(case(f"entity {name!r}", SPELLINGS, document(reporting_entity_name=name)) for name in entities),
        case("entity missing", PUBLISHER, without(document(), "reporting_entity_name")),
        case("entity null", PUBLISHER, document(reporting_entity_name=None)),
        case("entity is a number", PUBLISHER, document(reporting_entity_name=Token("41"))),
        case("entity is an object", PUBLISHER, document(reporting_entity_name={"name": "Acme"})),
        case("a Blue's file on another's host", PUBLISHER, document(), file_name="host-of-another-blue_041.json"),
    ]


SHAPE_CASES: tuple[Case, ...] = (
    *_versions(),
    *_references(),
    *_key_order(),
    *_root_keys(),
    *_decoys(),
    *_sizes(),
    *_names(),
)
