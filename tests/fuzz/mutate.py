"""Changes to a JSON text that know its structure, and some that don't.

A mutation is a list of edits ``(start, end, new bytes)`` of the text as it was; those that overlap an earlier one are
left out, so that any number of mutations apply at once.
"""

from collections.abc import Callable
from random import Random

from tests.fuzz.spans import Member, Span, Text, parse
from tests.generated_documents import DECOY_TEXTS
from tests.json_text import escaped, json_bytes

Edit = tuple[int, int, bytes]
Edits = list[Edit]

KEYS = tuple(
    f'"{key}"'.encode()
    for key in (
        *("in_network", "in_networks", "provider_references", "provider_reference", "provider_group_reference"),
        *("provider_group_references", "reporting_entity_name", "last_updated_on", "version", "provider_groups"),
        *("billing_code", "billing_code_type", "negotiated_rates", "negotiated_prices", "negotiated_price"),
        *("negotiated_rate", "negotiated_type", "negotiation_arrangement", "provider_group_id", "location"),
        *("network_name", "npi", "NPI", "tin", "type", "value", "service_code", "billing_code_modifier"),
        *("expiration_date", "billing_class", "setting", "bundled_codes", "covered_services", "billing_codes"),
        *("provider_group_ids", "xbilling_code", "billing_cod", "", "billing code", "BILLING_CODE", "reporting_plans"),
    )
)
NUMBERS = (
    *(b"0 -0 1 -1 40 40.0 4e1 4E+1 400e-1 40.0000000001 0.4e2 1e2 1E-2 -0.0 0e0 97026 97028 97026.0 9.7026e4".split()),
    *(b"9007199254740992 9007199254740993 9223372036854775807 9223372036854775808 18446744073709551616".split()),
    *(b"1e308 1e309 -1e400 1e-400 1e99999 1e-99999 1e999999 123456789012345678901234567890.5 1234567 12345678".split()),
    *(b"1e1000000 1e-1000001 1e999999999 1e99999999999999999999 0e99999999999999999999 999999999999999".split()),
    *(b"1000000000000000 10e14 1e15 01 1. .5 +1 - 1e 1e+ 0x10 1_0 NaN Infinity -Infinity 1.e5 00 -01".split()),
    b"9" * 4300,
    b"9" * 4301,
    b"9" * 1000,
    b"9" * 1001,
    b"1." + b"0" * 5000,
    b"0." + b"1" * 100,
    b"1" + b"0" * 400,
)
LITERALS = (b"null", b"true", b"false", b"nul", b"True", b"nulll", b"undefined")
TEXTS = (
    *(b'"97026" "97028" " 97026 " "97026\\u0000" "\\u0039\\u0037026" "CPT" "cpt" "HCPCS" "DRG" "RC" "" " "'.split()),
    *(b'"\\ud83d" "\\ude00\\ud83d" "\\ud83d\\ude00" "\\uD83D\\u0041" "\\\\ud83d" "\\ud83d\\ud83d\\ude00"'.split()),
    *(b'"\\n" "\\"" "\\\\" "\\/" "\\u0000" "\\ufeff" "\xef\xbb\xbf" "\xc3\xa9" "\xf0\x9f\x98\x80" "\x7f"'.split()),
    *(b'"40" " 40.0 " "4e1" "+40" "040" "40." ".4e2" "0x28" "G-1" " G-1 " "-0" "1e9999999999"'.split()),
    b'"\xc2\xa097026\xe2\x80\x83"',
    b'"97026\\t"',
    b'"\\r\\n97028"',
    b'"\x1c97026"',
    b'"\xe2\x80\xa997026"',
    b'" cpt "',
    b'"\\u00a0CPT"',
    b'"9999-12-31" ',
    *(json_bytes(text) for text in DECOY_TEXTS),
    *(bytes(escaped(text).encode()) for text in ("billing_code", "97026", "😀", '"\\')),
)
CONTAINERS = (
    *(b'{} [] [[]] [{}] [null] {"":0} [1,2] ["97026"] {"billing_code":"97026"}'.split()),
    b'[{"billing_code":"97026"},{"billing_code":"97028","negotiated_rates":null}]',
    b'{"billing_code":"97026","negotiated_rates":[{"negotiated_prices":[{"negotiated_rate":1}]}]}',
    b'{"billing_code":"99213","negotiated_rates":[{"negotiated_prices":[{"negotiated_rate":1}]}]}',
    b'[{"provider_group_id":40,"provider_groups":[{"npi":[1000000004],"tin":{"type":"ein","value":"1"}}]}]',
    b'{"provider_group_id":40,"provider_group_id":41}',
    b'{"billing_code":"99213","billing_code":"97026"}',
    b'[{"billing_code":"99213","x":[{"y":"]}"}]}]',
)
BROKEN = (
    *(b'{ } [ ] , : " \\ \\" }] ]} }} ,, {] [} "" \\u \\x \x00 \x01 \x1f \x7f \xff \xc3 \xed\xa0\x80 \xf0\x9f'.split()),
    *(b"\xe2\x80\xa8 \xef\xbb\xbf \xc0\xaf \xf4\x90\x80\x80 // /**/ NaN x .5 -".split()),
    *(b" ", b"\n", b"\t", b"\r", b"\x0b", b"\x0c", b"\xa0", b"\x00"),
)
SPACES = (b" ", b"\n", b"\t", b"\r\n", b"  ", b" " * 17, b"\n" * 63, b" " * 64, b"\r" * 65, b" " * 130)
TRAILING = (
    b"{}",
    b"null",
    b"}",
    b"]",
    b",",
    b"\x00",
    b"<html>",
    b"0",
    b'"',
    b"\n",
    b" \r\n\t",
    b"\xef\xbb\xbf",
    b"\x1a",
)
DEPTHS = (5, 31, 62, 63, 64, 65, 128, 420, 480, 490, 497, 498, 499, 500, 501, 502, 510, 570, 700, 1100)
MAX_BYTES = 40_000


class Mutator:
    """Mutates texts; ``pool`` gives other texts to take parts from."""

    def __init__(self, random: Random, other: Callable[[], Text]) -> None:
        self.random = random
        self.other = other
        self.structural = (
            *(self.delete_member, self.double_member, self.double_member_with_another_value, self.swap_members),
            *(self.shuffle_members, self.insert_member, self.swap_values, self.delete_element, self.double_element),
            *(self.retype, self.retype, self.retype, self.splice, self.splice, self.rename_key, self.rename_key),
            *(
                self.escape_string,
                self.lengthen_string,
                self.insert_space,
                self.spell_number,
                self.nest,
                self.reuse_value,
            ),
            *(self.set_known_member, self.set_known_member, self.misspell_key, self.add_misspelt_member),
        )
        self.bytewise = (
            *(self.flip, self.insert_broken, self.delete_bytes, self.replace_byte, self.truncate, self.append),
            *(self.double_bytes, self.prepend),
        )

    def mutate(self, text: Text) -> bytes:
        """Some mutations of a text: mostly of its structure, at times of its bytes."""
        random = self.random
        edits: Edits = []
        for _ in range(random.choice((1, 1, 1, 2, 2, 3, 5, 8))):
            edits += random.choice(self.structural)(text)
        if random.random() < 0.3:
            for _ in range(random.choice((1, 1, 2))):
                edits += random.choice(self.bytewise)(text)
        return applied(text.data, edits)

    # ---- of the structure ----------------------------------------------------------------------------------

    def member(self, text: Text) -> Member | None:
        return self.random.choice(text.members) if text.members else None

    def delete_member(self, text: Text) -> Edits:
        """One member, and a comma beside it."""
        member = self.member(text)
        return [without_comma(text.data, member.whole)] if member else []

    def double_member(self, text: Text) -> Edits:
        member = self.member(text)
        return [insertion_after(text.data, member.whole, text.data[slice(*member.whole)])] if member else []

    def double_member_with_another_value(self, text: Text) -> Edits:
        """The same key once more, before or after, with any value."""
        member = self.member(text)
        if not member:
            return []
        again = text.data[slice(*member.key)] + b":" + self.any_value()
        if self.random.random() < 0.5:
            return [insertion_after(text.data, member.whole, again)]
        return [(member.whole[0], member.whole[0], again + b",")]

    def swap_members(self, text: Text) -> Edits:
        return self.swap([member.whole for member in self.random.choice(text.objects)], text) if text.objects else []

    def shuffle_members(self, text: Text) -> Edits:
        if not text.objects:
            return []
        spans = [member.whole for member in self.random.choice(text.objects)]
        shuffled = self.random.sample(spans, len(spans))
        return [(*span, text.data[slice(*new)]) for span, new in zip(spans, shuffled, strict=True)]

    def insert_member(self, text: Text) -> Edits:
        """A member of another text, into some object of this."""
        other = self.other()
        member = self.member(text)
        new = self.member(other)
        if not member or not new or new.whole[1] - new.whole[0] > MAX_BYTES:
            return []
        return [(member.whole[0], member.whole[0], other.data[slice(*new.whole)] + b",")]

    def set_known_member(self, text: Text) -> Edits:
        """A key that the readers know, into some object."""
        member = self.member(text)
        value = self.any_value()
        return [(member.whole[0], member.whole[0], self.random.choice(KEYS) + b":" + value + b",")] if member else []

    def swap_values(self, text: Text) -> Edits:
        return self.swap(self.random.sample(text.values, min(2, len(text.values))), text)

    def swap(self, spans: list[Span], text: Text) -> Edits:
        if len(spans) < 2:
            return []
        one, other = self.random.sample(spans, 2)
        return [(*one, text.data[slice(*other)]), (*other, text.data[slice(*one)])]

    def element(self, text: Text) -> Span | None:
        return self.random.choice(self.random.choice(text.arrays)) if text.arrays else None

    def delete_element(self, text: Text) -> Edits:
        element = self.element(text)
        return [without_comma(text.data, element)] if element else []

    def double_element(self, text: Text) -> Edits:
        element = self.element(text)
        if not element:
            return []
        new = self.any_value() if self.random.random() < 0.3 else text.data[slice(*element)]
        return [insertion_after(text.data, element, new)] * self.random.choice((1, 1, 1, 3))

    def value(self, text: Text) -> Span | None:
        return self.random.choice(text.values) if text.values else None

    def any_value(self) -> bytes:
        return self.random.choice(self.random.choice((NUMBERS, LITERALS[:3], TEXTS, CONTAINERS, CONTAINERS)))

    def retype(self, text: Text) -> Edits:
        """Any value in the place of any other."""
        span = self.value(text)
        if not span:
            return []
        data = text.data[slice(*span)]
        match self.random.randrange(6):
            case 0 if data[:1] == b'"':
                return [(*span, data[1:-1] or b"0")]
            case 1:
                return [(*span, b'"' + data.replace(b'"', b"") + b'"')]
            case 2:
                return [(*span, b"[" + data + b"]")]
            case 3:
                return [(*span, b"null")]
            case _:
                return [(*span, self.any_value())]

    def splice(self, text: Text) -> Edits:
        """A value of another text; if possible, one under the same key."""
        other = self.other()
        member = self.member(text)
        if not member or not other.members:
            return []
        key = text.data[slice(*member.key)]
        same = [new for new in other.members if other.data[slice(*new.key)] == key]
        new = self.random.choice(same or other.members).value
        return [(*member.value, other.data[slice(*new)])] if new[1] - new[0] <= MAX_BYTES else []

    def reuse_value(self, text: Text) -> Edits:
        """The value of one place in another one too: ids that meet, codes that are cited."""
        if len(text.values) < 2:
            return []
        one, other = self.random.sample(text.values, 2)
        return [(*one, text.data[slice(*other)])]

    def rename_key(self, text: Text) -> Edits:
        member = self.member(text)
        if not member:
            return []
        key = text.data[slice(*member.key)]
        match self.random.randrange(5):
            case 0:
                return [(*member.key, self.random.choice(KEYS))]
            case 1:
                return [(*member.key, key.upper())]
            case 2:
                return [(*member.key, key[:-1] + self.random.choice((b" ", b"s", b"\\u0000", b"\xc3\xa9")) + b'"')]
            case _:
                return self.escape(member.key, key)

    def misspelt(self, key: bytes) -> bytes:
        """A key of the same length with one other letter: no key that the readers know, but nearly."""
        at = self.random.randrange(1, len(key) - 1) if len(key) > 2 else 0
        return key[:at] + self.random.choice((b"a", b"e", b"r", b"_", b"A", b" ")) + key[at + 1 :] if at else key

    def misspell_key(self, text: Text) -> Edits:
        """One letter of a key, here or wherever the key stands."""
        member = self.member(text)
        if not member:
            return []
        key = text.data[slice(*member.key)]
        new = self.misspelt(key)
        everywhere = self.random.random() < 0.5
        return [
            (*each.key, new)
            for each in (text.members if everywhere else [member])
            if text.data[slice(*each.key)] == key
        ]

    def add_misspelt_member(self, text: Text) -> Edits:
        """Beside a member, wherever its key stands, one whose key differs in a letter."""
        member = self.member(text)
        if not member:
            return []
        key, value = text.data[slice(*member.key)], self.any_value()
        new = self.misspelt(key) + b":" + value + b","
        return [(each.whole[0],) * 2 + (new,) for each in text.members if text.data[slice(*each.key)] == key]

    def escape_string(self, text: Text) -> Edits:
        span = self.random.choice(text.strings) if text.strings else None
        return self.escape(span, text.data[slice(*span)]) if span else []

    def escape(self, span: Span, token: bytes) -> Edits:
        r"""One or all ASCII characters of a string as ``\u`` escapes."""
        inner = token[1:-1]
        if b"\\" in inner or not inner:
            return []
        at = self.random.randrange(-1, len(inner))
        new = b"".join(
            b"\\u%04x" % byte if byte < 128 and at in (-1, n) else inner[n : n + 1] for n, byte in enumerate(inner)
        )
        return [(*span, b'"' + new + b'"')]

    def lengthen_string(self, text: Text) -> Edits:
        """Something within a string: mostly to move what follows to other places in its 64 bytes."""
        if not text.strings:
            return []
        start, end = self.random.choice(text.strings)
        new = self.random.choice(
            (
                b"x" * self.random.randrange(130),
                self.random.choice((b"{", b"}", b"[", b"]", b":", b",", b"]}", b'\\"', b"\\\\", b"\\\\\\\\")),
                self.random.choice(TEXTS)[1:-1],
                b"\xc3\xa9" * self.random.randrange(40),
                b"\\u00e9" * self.random.randrange(12),
                b"\\\\" * self.random.randrange(70),
            )
        )
        at = self.random.choice((start + 1, end - 1, self.random.randint(start + 1, max(end - 1, start + 1))))
        return [(at, at, new)]

    def insert_space(self, text: Text) -> Edits:
        places = self.random.sample(text.gaps, min(len(text.gaps), self.random.choice((1, 1, 3, 20))))
        space = self.random.choice(SPACES)
        return [(place, place, space) for place in places]

    def spell_number(self, text: Text) -> Edits:
        if not text.numbers:
            return []
        span = self.random.choice(text.numbers)
        number = text.data[slice(*span)]
        spellings = (number + b".0", number + b"e0", number + b"00e-2", b"-" + number, number + b"0", b'"%b"' % number)
        return [(*span, self.random.choice((*spellings, self.random.choice(NUMBERS))))]

    def nest(self, text: Text) -> Edits:
        """A value within many arrays or objects."""
        span = self.value(text)
        if not span:
            return []
        depth = self.random.choice(DEPTHS)
        inner = self.random.choice((b"", text.data[slice(*span)][:1000]))
        if self.random.random() < 0.5:
            return [(*span, b"[" * depth + inner + b"]" * depth)]
        return [(*span, b'{"a":' * depth + (inner or b"0") + b"}" * depth)]

    # ---- of the bytes --------------------------------------------------------------------------------------

    def place(self, text: Text) -> int:
        """Anywhere; mostly where a token begins or ends."""
        if text.gaps and self.random.random() < 0.6:
            return self.random.choice(text.gaps)
        return self.random.randint(0, len(text.data))

    def flip(self, text: Text) -> Edits:
        at = self.place(text)
        return [(at, at + 1, bytes([text.data[at] ^ (1 << self.random.randrange(8))]))] if at < len(text.data) else []

    def insert_broken(self, text: Text) -> Edits:
        at = self.place(text)
        return [(at, at, self.random.choice(BROKEN))]

    def delete_bytes(self, text: Text) -> Edits:
        at = self.place(text)
        return [(at, at + self.random.choice((1, 1, 1, 2, 3, 8, 64)), b"")]

    def replace_byte(self, text: Text) -> Edits:
        at = self.place(text)
        return [(at, at + 1, self.random.choice(BROKEN))]

    def truncate(self, text: Text) -> Edits:
        return [(self.place(text), len(text.data), b"")]

    def append(self, text: Text) -> Edits:
        return [(len(text.data), len(text.data), self.random.choice(TRAILING))]

    def prepend(self, text: Text) -> Edits:
        return [
            (0, 0, self.random.choice((b"\xef\xbb\xbf", b"\xef\xbb\xbf", b" \n", b"\xef\xbb", b"\x00", b"[", b"x")))
        ]

    def double_bytes(self, text: Text) -> Edits:
        at = self.place(text)
        return [(at, at, text.data[at : at + self.random.choice((1, 2, 16, 64))])]


def insertion_after(data: bytes, span: Span, new: bytes) -> Edit:
    return (span[1], span[1], b"," + new)


def without_comma(data: bytes, span: Span) -> Edit:
    """The removal of a member or element with the comma behind or in front of it."""
    start, end = span
    while end < len(data) and data[end] in b" \n\r\t":
        end += 1
    if data[end : end + 1] == b",":
        return (start, end + 1, b"")
    while start and data[start - 1] in b" \n\r\t":
        start -= 1
    return (start - (data[start - 1 : start] == b","), span[1], b"")


def applied(data: bytes, edits: Edits) -> bytes:
    """The text with the edits made, in order of place; overlapping ones are left out."""
    pieces: list[bytes] = []
    at = 0
    for start, end, new in sorted(edits, key=lambda edit: edit[:2]):
        if start >= at:
            pieces += (data[at:start], new)
            at = max(end, at)
    pieces.append(data[at:])
    return b"".join(pieces)


__all__ = ["MAX_BYTES", "Mutator", "applied", "parse"]
