"""In-network documents as odd as the field notes, always well-formed, and broken ones: strategies for Hypothesis.

Building thousands of values by Hypothesis draws takes 40 ms a document, by a seeded generator one or two; so
``generated_documents()`` draws a size, an oddness and a seed. ``generated_documents(shrinking=True)`` lets Hypothesis
make every choice itself: slow, but a failing example comes out small.
"""

import json
from collections.abc import Sequence
from random import Random
from typing import Any

from hypothesis import strategies as st

from tests.documents import ANN, BAD_CHECK_DIGIT, BOB, EVE, group
from tests.json_text import Pairs, Token, escaped, json_bytes, json_text, unescaped
from tests.odd_json import OddBuilder
from tests.plain_reading import UnreadableError, plain_json

# Spellings of one id stand on one line; the lines differ, some only by a hair.
IDS: tuple[tuple[Any, ...], ...] = (
    (1, Token("1.0"), Token("10e-1"), "1", " +1 ", "01", ".1e1"),
    (Token("40"), Token("4E1"), "40"),
    (Token("40.0000000001"), Token("40.00000000010"), "40.0000000001"),
    (Token("690.6447"), Token("690.64470"), Token("6906447e-4"), "690.64470"),
    (Token("690.6446"), "690.64460"),
    (9007199254740992, "9007199254740992"),
    (9007199254740993, "9007199254740993", Token("9007199254740993.0")),
    (Token("98765432109876543210"), "98765432109876543210"),
    (Token("98765432109876543211"),),
    (3800007931, Token("3.800007931e9")),
    (0, Token("-0"), Token("0.00"), "0"),
    (-1, "-1"),
    ("G-1", " G-1 ", "G-1\n"),
    ("g-1",),
    ("1.2.3",),
)
NO_IDS: tuple[Any, ...] = (None, True, {}, [1])

DECOY_TEXTS = (
    '"billing_code":"97026"',
    '"provider_references":[{"provider_group_id":1}],"in_network":[{',
    "}]}]}",
    "ends in a backslash \\",
    '\\"',
    "[{,:}]\u2028",
    "97026",
    "Compañía 😀 \x7f\x00\n",
    "a/b",
    "",
)
DECOY_RECORDS: tuple[dict[str, Any], ...] = (
    {"billing_code": "97026", "billing_code_type": "CPT", "negotiated_rates": [{"negotiated_prices": [{}]}]},
    {"provider_references": [{"provider_group_id": 1, "provider_groups": [{"npi": [EVE]}]}]},
    {"in_network": [{"billing_code": "97026"}]},
)
SCALARS: tuple[Any, ...] = (*DECOY_TEXTS, None, True, False, 0, -7, 2**70, Token("1E-3"), Token("0.10"))

NPIS: tuple[Any, ...] = (ANN, BOB, EVE, str(ANN), f" {BOB} ", Token(f"{EVE}.0"))
ODD_NPIS: tuple[Any, ...] = (
    *(BAD_CHECK_DIGIT, 0, "", "n/a", None, True, {"npi": ANN}, [ANN], 2**63, 2**63 - 1),
    *(Token("1.5"), Token("1e99"), Token("1.000000012e9"), "98765432109876543210", "123-456-7893", f"{ANN}.0", -BOB),
)
TINS: tuple[Any, ...] = ("12-3456789", "123456789", "98-7654321", 987654321, str(ANN))
ODD_TINS: tuple[Any, ...] = ("0", "", None, Token("12.5"), True, [], "n/a", "1234567.0", Token("1234567.0"), 1234567)
RATES: tuple[Any, ...] = (30, Token("30.0"), Token("3.0e1"), Token("8.68"), Token("7.25"), "30", " 7.5 ")
ODD_RATES: tuple[Any, ...] = (0, Token("0.06"), -5, Token("1e999"), "n/a", "", True, {}, None, "1,000", ".5", "5.")
CODES: tuple[Any, ...] = ("97026", "97026", "97028", "99213")
ODD_CODES: tuple[Any, ...] = (97026, " 97026 ", "97028\t", "9702", "970260", Token("97026.0"), ["97026"], None)
ODD_CODE_TYPES: tuple[Any, ...] = ("cpt ", "Hcpcs", "RC", "", " ", 7, ["CPT"], None)
DATES: tuple[Any, ...] = ("9999-12-31", "2026-12-31", "2026-06-01", "2025-12-31T00:00:00")
ODD_DATES: tuple[Any, ...] = (
    *("2/4/2026", "02/04/2027", "2026-02-30", "soon", "", 20260101, None, " 2026-07-01", "2027/01/31", "12-31-9999"),
    *("1-31-2027", "5/31/2026 12:00:00 AM", "20270131T00:00Z", "99991231", "2026-5-31", True, {}),
)
UPDATES: tuple[Any, ...] = ("2026-06-01", "2026-06-01T00:00:00-05:00", "2026-01-01")
ODD_UPDATES: tuple[Any, ...] = ("6/1/2026", "6/1/2026 10:00", "20260601", "June", "", 7, None)
SERVICE_CODES: tuple[Any, ...] = ("11", "CSTM-00", "22")
ODD_SERVICE_CODES: tuple[Any, ...] = (" 11", "cstm-00", 11, "", None, True, "ß")
MODIFIERS: tuple[Any, ...] = ("GP", "GO", "00", "59")
ODD_MODIFIERS: tuple[Any, ...] = ("gp ", 59, "AS", "", None, {}, "kx")
REFERENCES = ("provider_group_reference", "provider_group_references", "provider_reference")
LOCATIONS: tuple[Any, ...] = ("https://example.com/providers/41.json", "https://example.com/dead.json", "", None)

# What the locations hold that can be fetched: pass it as ``remote``, or pass nothing and all are dead.
GENERATED_REMOTE: dict[str, bytes] = {LOCATIONS[0]: json_bytes({"provider_groups": [group(ANN), group(BOB)]})}


class DocumentBuilder(OddBuilder):
    """Builds one document."""

    def __init__(self, random: Random, oddness: float) -> None:
        super().__init__(random, oddness)
        self.known_ids = random.sample(IDS, 5)

    def one(self, usual: Sequence[Any], odd: Sequence[Any] = ()) -> Any:
        """A usual value; when odd, one of the odd values or junk."""
        if not self.odd():
            return self.random.choice(usual)
        return self.junk() if not odd or self.odd() else self.random.choice(odd)

    def junk(self, depth: int = 3) -> Any:
        """Any JSON at all."""
        kind = self.random.randrange(4) if depth else 0
        if kind == 2:
            return [self.junk(depth - 1) for _ in range(self.random.randrange(3))]
        if kind == 3:
            names = (*DECOY_TEXTS, "in_network", "npi", "billing_code", "provider_groups")
            return {self.random.choice(names): self.junk(depth - 1) for _ in range(self.random.randrange(3))}
        return self.random.choice((*SCALARS, *DECOY_RECORDS))

    def some(self, make: Any, most: int = 3) -> Any:
        """An array; when odd, empty, null, a bare element, or with a null or junk element in it."""
        made = [make() for _ in range(self.random.randint(1, most))]
        if not self.odd():
            return made
        return self.random.choice(([], None, made[0], [None, *made], [*made, self.junk()], [made]))

    def stray_key(self) -> str:
        """See ``OddBuilder``."""
        return f"x_{self.random.choice(DECOY_TEXTS)}"

    def identity(self) -> Any:
        """Some spelling of one of few ids; when odd, what is no id."""
        return self.random.choice(NO_IDS if self.odd() else self.random.choice(self.known_ids))

    def document(self, size: int) -> Pairs:
        """A whole document of up to ``size`` items and three times as many references."""
        sections: dict[str, Any] = {}
        if self.random.random() < 0.8:
            sections["provider_references"] = self.some(self.reference, 3 * size)
        sections["in_network"] = self.some(self.item, size)
        header = {
            "reporting_entity_name": self.one(("Acme Health Plan", "Compañía 😀"), (None, 7, "", " Acme ")),
            "last_updated_on": self.one(UPDATES, ODD_UPDATES),
            "version": self.one(("1.0.0", "2.0.0", Token("2.0"))),
        }
        return self.record(**header, **self.renamed(sections))

    def renamed(self, sections: dict[str, Any]) -> dict[str, Any]:
        """The sections; when odd under an alias, alone or beside the standard spelling."""
        renamed = dict(sections)
        if "provider_references" in sections and self.odd():
            renamed[self.random.choice(REFERENCES)] = renamed.pop("provider_references")
            if self.odd():
                renamed["provider_references"] = self.random.choice((None, [], self.some(self.reference)))
        if self.odd():
            renamed["in_networks"] = renamed.pop("in_network")
            if self.odd():
                renamed["in_network"] = self.random.choice((None, [], self.some(self.item)))
        return renamed

    def reference(self) -> Any:
        """A provider reference, now and then without groups, or remote."""
        fields: dict[str, Any] = {"provider_group_id": self.identity()}
        if self.random.random() < 0.85:
            fields["provider_groups"] = self.some(self.group)
        if self.random.random() < 0.15:
            fields["location"] = self.random.choice(LOCATIONS)
        if self.random.random() < 0.4:
            fields["network_name"] = self.some(
                lambda: self.one(("Choice", "Choice Plus", "HMO"), (" HMO ", "", None, 7))
            )
        return self.record(**fields)

    def group(self) -> Any:
        """A provider group."""
        key = "NPI" if self.odd() else "npi"
        npis = self.some(lambda: self.one(NPIS, ODD_NPIS), 4)
        both = {"NPI": self.some(lambda: self.one(NPIS, ODD_NPIS))} if self.odd() else {}
        return self.record(**({key: npis} | both), tin=self.tin())

    def tin(self) -> Any:
        """A TIN."""
        if self.odd():
            return self.random.choice((*TINS, *ODD_TINS))
        fields = {"type": self.one(("ein", "npi"), ("EIN", " Ein", None)), "value": self.one(TINS, ODD_TINS)}
        return self.record(**fields, business_name=self.random.choice(DECOY_TEXTS))

    def item(self) -> Any:
        """An in-network item, wanted or not, with decoys."""
        decoys = {key: [self.junk()] for key in ("bundled_codes", "covered_services") if self.random.random() < 0.2}
        return self.record(
            negotiation_arrangement=self.one(("ffs",), ("bundle", "capitation", "FFS", None)),
            name=self.random.choice(DECOY_TEXTS),
            description=self.random.choice(DECOY_TEXTS),
            billing_code_type=self.one(("CPT",), ODD_CODE_TYPES),
            billing_code=self.one(CODES, ODD_CODES),
            negotiated_rates=self.some(self.rate),
            **decoys,
        )

    def rate(self) -> Any:
        """One element of ``negotiated_rates``: providers inline, cited, both or neither."""
        fields: dict[str, Any] = {}
        providers = self.random.choice(("inline", "cited", "cited", "both", "neither"))
        if providers in ("inline", "both"):
            fields["provider_groups"] = self.some(self.group)
        if providers in ("cited", "both"):
            fields["provider_references"] = self.some(self.identity)
        fields["negotiated_price" if self.odd() else "negotiated_prices"] = self.some(self.price)
        return self.record(**fields)

    def price(self) -> Any:
        """One price, mostly eligible."""
        fields: dict[str, Any] = {
            "negotiated_type": self.one(("negotiated", "derived", "fee schedule"), ("percentage", "per diem", None)),
            "negotiated_rate": self.one(RATES, ODD_RATES),
            "expiration_date": self.one(DATES, ODD_DATES),
            "billing_class": self.one(
                ("professional", "institutional", "both"), ("", " Professional", "BOTH", "dental", None)
            ),
        }
        if self.random.random() < 0.5:
            fields["service_code"] = self.some(lambda: self.one(SERVICE_CODES, ODD_SERVICE_CODES))
        if self.random.random() < 0.5:
            fields["billing_code_modifier"] = self.some(lambda: self.one(MODIFIERS, ODD_MODIFIERS))
        if self.random.random() < 0.3:
            fields["setting"] = self.one(("inpatient", "outpatient"), ("", None))
        if self.odd():
            fields["negotiated_price"] = self.one(RATES, ODD_RATES)
        return self.record(**fields)


class Speller:
    """One of the many ways to write the same JSON: whitespace and escapes."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.whitespace = random.choice(("", "", " ", "\n", "\r\n  ", "\t \n"))
        self.escaping = random.choice((0.0, 0.0, 0.05, 0.5))

    def gap(self) -> str:
        """Whitespace, or none."""
        return self.whitespace if self.whitespace and self.random.random() < 0.7 else ""

    def string(self, text: str) -> str:
        r"""The string as short as may be, or some or all of its characters in escapes."""
        if self.random.random() >= self.escaping:
            return unescaped(text)
        match self.random.randrange(3):
            case 0:
                return escaped(text)
            case 1:
                return json.dumps(text).replace("/", "\\/")
            case _:
                parts = [escaped(c) if self.random.random() < 0.3 else unescaped(c) for c in text]
                return '"' + "".join(part[1:-1] for part in parts) + '"'


def build_document(random: Random, size: int, oddness: float, plain: bool) -> bytes:
    """A well-formed in-network document; ``plain`` writes it compactly, without needless escapes."""
    document = DocumentBuilder(random, oddness).document(size)
    if plain:
        return json_text(document, string=unescaped).encode()
    speller = Speller(random)
    return json_text(document, speller.gap, speller.string).encode()


def generated_documents(*, shrinking: bool = False) -> st.SearchStrategy[bytes]:
    """Well-formed in-network documents, as bytes: any key order, whitespace, escapes, ids, shapes and mix-ups."""
    return st.builds(
        build_document,
        random=st.randoms(note_method_calls=False, use_true_random=not shrinking),
        size=st.integers(1, 4),
        oddness=st.sampled_from((0.0, 0.02, 0.1, 0.3)),
        plain=st.booleans().map(lambda spelled: not spelled),
    )


# --- Broken ones ----------------------------------------------------------------------------------------------------

INSERTED = (
    *(b",", b'"', b"{", b"}", b"[", b"]", b":", b"\\", b"\x00", b"\x1f", b"\xff", b"\xc3"),
    *(b"\xed\xa0\x80", b"NaN", b".5", b"x", b"\n"),
)
APPENDED = (b"{}", b"null", b"}", b"]", b",", b"\x00", b"<html>", b"0", b'"')


@st.composite
def truncated_documents(draw: st.DrawFn) -> bytes:
    """A generated document cut anywhere before the last byte that matters: never complete."""
    whole = draw(generated_documents()).rstrip()
    return whole[: draw(st.integers(0, len(whole) - 1))]


@st.composite
def malformed_documents(draw: st.DrawFn) -> bytes:
    """A generated document with one to three mistakes anywhere in its bytes: never JSON to a strict reader."""
    broken = draw(generated_documents())
    for _ in range(draw(st.integers(1, 3))):
        broken = draw(_mistakes(broken))
    return broken if is_malformed(broken) else broken.rstrip() + b"{}"


@st.composite
def _mistakes(draw: st.DrawFn, sound: bytes) -> bytes:
    at = draw(st.integers(0, len(sound)))
    match draw(st.sampled_from(("insert", "delete", "replace", "double", "append"))):
        case "insert":
            return sound[:at] + draw(st.sampled_from(INSERTED)) + sound[at:]
        case "delete":
            return sound[:at] + sound[at + draw(st.integers(1, 3)) :]
        case "replace":
            return sound[:at] + draw(st.sampled_from(INSERTED)) + sound[at + 1 :]
        case "double":
            return sound[: at + 1] + sound[at:]
        case _:
            return sound + draw(st.sampled_from(APPENDED))


def is_malformed(document: bytes) -> bool:
    """Not JSON to a strict reader."""
    try:
        plain_json(document)
    except UnreadableError:
        return True
    return False
