"""FIELD-NOTES, "Bytes and transport": what is wrong with the bytes, and what only looks wrong."""

import json

from tests.containers import CONTAINERS
from tests.documents import ANN, Record, cited_document, document, group, item, other_item, price, rate, reference
from tests.field_note_case import Case, case
from tests.json_text import Token, json_bytes, json_text, unescaped

SEEN = "Seen: trailing commas, missing commas"
TRUNCATED = "Truncated downloads that others recorded as complete"

BESIDE = "A README or PDF beside the JSON in a zip"

GOOD = json_bytes(document(item(), other_item()))
FIRST_BROKEN = "gzip-no-trailer"
SOUND = list(CONTAINERS)[: list(CONTAINERS).index(FIRST_BROKEN)]
BROKEN = list(CONTAINERS)[list(CONTAINERS).index(FIRST_BROKEN) :]

HTML = b"<!DOCTYPE html>\n<html><head><title>404 Not Found</title></head><body>97026</body></html>\n"
XML = b'<?xml version="1.0"?>\n<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>'


def _sound() -> list[Case]:
    pretty = json.dumps(document(item(), other_item()), indent=2)
    spaced = json_text(document(item(), other_item()), gap=lambda: " \t\r\n")
    return [
        *(case(f"container {name}", SEEN, GOOD, container=name) for name in SOUND),
        case("gzip named .json", SEEN, GOOD, container="gzip", file_name="in-network-rates.json"),
        case("plain JSON named .gz", SEEN, GOOD, file_name="in-network-rates.json.gz"),
        case("zip named .gz", SEEN, GOOD, container="zip", file_name="in-network-rates.json.gz"),
        case("gzip named .zip", SEEN, GOOD, container="gzip", file_name="in-network-rates.zip"),
        case("README and PDF in the zip", BESIDE, GOOD, container="zip-with-readme"),
        case("no extension", SEEN, GOOD, container="gzip", file_name="in-network-rates"),
        case("CRLF pretty print", SEEN, pretty.replace("\n", "\r\n").encode()),
        case("pretty print", SEEN, pretty.encode(), container="gzip"),
        case("whitespace wherever it may stand", SEEN, spaced.encode()),
        case("newline at the end", SEEN, GOOD + b"\r\n \t\n"),
        case("UTF-8 beyond ASCII", SEEN, document(reporting_entity_name="Compañía 😀 \u2028 保険")),
        case("no-match file, gzip", SEEN, document(other_item()), container="gzip", expect="no_match"),
        case("no-match file, BOM", SEEN, document(other_item()), container="bom", expect="no_match"),
    ]


def _not_json() -> list[Case]:
    foreign = "well-formed JSON that holds no key of any TiC file is named for what it is, as an HTML page is"
    return [
        *(case(f"container {name}", SEEN, GOOD, container=name, expect="quarantined") for name in BROKEN),
        case("HTML page", SEEN, HTML, expect="quarantined"),
        case("HTML page, gzip", SEEN, HTML, container="gzip", expect="quarantined", file_name="rates.json.gz"),
        case("XML error", SEEN, XML, expect="quarantined"),
        case("empty file", SEEN, b"", expect="quarantined"),
        case("empty file, gzip", SEEN, b"", container="gzip", expect="quarantined"),
        case("empty member, zip", SEEN, b"", container="zip", expect="quarantined"),
        case("blanks only", SEEN, b" \r\n\t ", expect="quarantined"),
        case("BOM only", SEEN, b"", container="bom", expect="quarantined"),
        case("two BOMs", SEEN, b"\xef\xbb\xbf" + GOOD, container="bom", expect="quarantined"),
        case("UTF-16", SEEN, GOOD.decode().encode("utf-16"), expect="quarantined"),
        case("plain text", SEEN, b"Access denied", expect="quarantined"),
        case("root array", SEEN, b"[" + GOOD + b"]", expect="quarantined", ruling=foreign),
        case("root null", SEEN, b"null", expect="quarantined", ruling=foreign),
        case("root text", SEEN, b'"97026"', expect="quarantined", ruling=foreign),
        case("JSON error body", SEEN, b'{"message": "Forbidden", "code": 403}', expect="quarantined", ruling=foreign),
        case("empty object", SEEN, b"{}", expect="quarantined", ruling=foreign),
        case("nested 200,000 deep", SEEN, document(x=Token("[" * 200_000 + "]" * 200_000)), expect="quarantined"),
    ]


def _after_the_root() -> list[Case]:
    second = b'{"in_network": []}'
    return [
        case("second root value", SEEN, GOOD + b"\n" + second, expect="quarantined"),
        case(
            "second root value in its own gzip member",
            SEEN,
            GOOD,
            container="gzip-document-twice",
            expect="quarantined",
        ),
        case("closing brace too many", SEEN, GOOD + b"}", expect="quarantined"),
        case("comma after the root", SEEN, GOOD + b",", expect="quarantined"),
        case("NUL bytes after the root", SEEN, GOOD + bytes(512), expect="quarantined"),
        case("HTML after the root", SEEN, GOOD + HTML, expect="quarantined"),
        case("text before the root", SEEN, b"callback(" + GOOD + b")", expect="quarantined"),
    ]


MARK = "@@"


def _marked(content: Record, wrong: str) -> bytes:
    """The document with ``wrong`` written, as it is, where the text ``MARK`` stands."""
    return json_bytes(content).replace(f'"{MARK}"'.encode(), wrong.encode("utf-8", "surrogateescape"))


def _in_matched_and_skipped(name: str, wrong: str) -> list[Case]:
    """The mistake as a wanted price, and as a price of an item that nobody asked for."""
    marked = rate(group(ANN), prices=[price(negotiated_rate=MARK)])
    wanted = _marked(document(item(marked)), wrong)
    skipped = _marked(document(item(), other_item(negotiated_rates=[marked])), wrong)
    return [
        case(name, SEEN, wanted, expect="quarantined"),
        case(f"{name}, in a skipped item", SEEN, skipped, expect="quarantined", skipped=True),
    ]


MISTAKES = {
    "number begins with a point": ".5",
    "number ends with a point": "5.",
    "number begins with a zero": "007",
    "number begins with a plus": "+5",
    "number with a comma": "1,234.5",
    "hexadecimal number": "0x1F",
    "bare minus": "-",
    "exponent without digits": "1e",
    "NaN": "NaN",
    "Infinity": "-Infinity",
    "Python None": "None",
    "misspelt true": "ture",
    "value missing": "",
    "single quotes": "'30'",
    "control character in a string": '"3\x010"',
    "newline in a string": '"3\n0"',
    "unknown escape": r'"3\x30"',
    "short unicode escape": r'"\u12"',
    "bad UTF-8": '"3\udcff0"',
    "overlong UTF-8": '"\udcc0\udc80"',
    "surrogate in UTF-8": '"\udced\udca0\udc80"',
    "array closed as object": "[1}",
    "array never closed": "[1",
    "object without colon": '{"a" 1}',
    "object key without quotes": "{a: 1}",
    "object ends with a comma": '{"a": 1,}',
    "array ends with a comma": "[1,]",
    "array begins with a comma": "[,1]",
    "comment": "/* 30 */ 30",
}


def _grammar() -> list[Case]:
    named = cited_document(
        reference(1, group(ANN, tin={"type": "ein", "value": "1", "business_name": MARK})),
        reference(2, group(ANN)),
        cites=[2],
    )
    quoted = json_bytes(named).replace(MARK.encode(), b'Bob "The Knee" Smith, Inc.')
    bad_name = _marked(document(reporting_entity_name=MARK), '"Acme \udcff"')
    return [
        *(found for name, wrong in MISTAKES.items() for found in _in_matched_and_skipped(name, wrong)),
        case("unescaped quote in business_name", SEEN, quoted, expect="quarantined", skipped=True),
        case("trailing comma in in_network", SEEN, GOOD.replace(b"]}]}]}", b"]}]},]}"), expect="quarantined"),
        case("trailing comma in the root", SEEN, GOOD[:-1] + b",}", expect="quarantined"),
        case(
            "comma missing between items",
            SEEN,
            GOOD.replace(b'},{"negotiation', b'}{"negotiation'),
            expect="quarantined",
        ),
        case("comma missing between root keys", SEEN, GOOD.replace(b',"version"', b'"version"'), expect="quarantined"),
        case(
            "comma doubled between items",
            SEEN,
            GOOD.replace(b'},{"negotiation', b'},,{"negotiation'),
            expect="quarantined",
        ),
        case("colon missing in the root", SEEN, GOOD.replace(b'"in_network":', b'"in_network"'), expect="quarantined"),
        case("bad UTF-8 in the entity", SEEN, bad_name, expect="quarantined"),
        case(
            "latin-1",
            SEEN,
            json_text(document(reporting_entity_name="Compañía"), string=unescaped).encode("latin-1"),
            expect="quarantined",
        ),
    ]


def _cuts() -> list[Case]:
    places = {
        "after the opening brace": 1,
        "inside the header": GOOD.index(b"Acme") + 2,
        "inside the wanted item": GOOD.index(b"97026"),
        "inside the wanted number": GOOD.index(b":30.0") + 3,
        "after the wanted item": GOOD.index(b'},{"negotiation') + 1,
        "after the comma behind it": GOOD.index(b'},{"negotiation') + 2,
        "inside a skipped item": GOOD.index(b"99213"),
        "before in_network's bracket": len(GOOD) - 2,
        "before the last brace": len(GOOD) - 1,
    }
    plain = [case(f"cut {name}", TRUNCATED, GOOD[:place], expect="quarantined") for name, place in places.items()]
    inside = case("cut JSON in a sound gzip", TRUNCATED, GOOD[:-1], container="gzip", expect="quarantined")
    zipped = case("cut JSON in a sound zip", TRUNCATED, GOOD[:-1], container="zip", expect="quarantined")
    after = case(
        "complete JSON, gzip trailer missing", TRUNCATED, GOOD, container="gzip-no-trailer", expect="quarantined"
    )
    return [*plain, inside, zipped, after]


BYTES_CASES: tuple[Case, ...] = (*_sound(), *_not_json(), *_after_the_root(), *_grammar(), *_cuts())
