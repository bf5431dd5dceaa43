"""Templates: the structure of an element, with the name of a pool of parts at each place that differs.

A template has the order of an element's keys, its white space, how many rates, prices and groups it has, what is
missing, doubled or unknown in it. Each element takes a part of each of its places by chance, so that ten thousand
elements of one template differ.
"""

from collections.abc import Callable, Sequence
from random import Random

from tests.json_text import escaped, json_bytes

Parts = Sequence[bytes | str]  # literally these bytes, or one of the parts of the pool of this name
Fields = list[tuple[str, Parts]]


NUMBERS = frozenset("whole leading digits two_digits fraction integer exponent amount npi tin id".split())


def spellings(text: str) -> list[Parts]:
    """Parts, separated by ``|``: a word that names a pool of numbers is one of those, any other is itself."""
    return [[word if word in NUMBERS else word.encode() for word in spelled.split()] for spelled in text.split("|")]


TEN = "1 digits digits digits"
NINE = "digits digits digits"
AMOUNTS = spellings(
    "whole . two_digits | whole . two_digits | whole . two_digits | whole fraction | leading digits fraction"
    '| - whole fraction | whole | " whole fraction " | 0 fraction | amount'
)
NPIS = spellings(
    f'{TEN} | {TEN} | {TEN} | {TEN} | " {TEN} " | 2 digits digits digits | whole | whole'
    f"| 1234567 digits | {TEN} digits digits | npi"
)
TINS = spellings(
    f'" two_digits - digits digits 1 " | " {NINE} " | " {NINE} " | " 1 {NINE} " | " 00- {NINE} digits "'
    f'| " {NINE} {NINE} two_digits "'
)
IDS = spellings('whole | whole | whole | whole | " whole " | id | 38000 whole | leading digits 000000000000')
FREE_AMOUNTS = spellings("integer fraction exponent | leading digits digits fraction")
FREE_NPIS = spellings(f"{TEN} .0 | integer")
FREE_TINS = spellings('1 digits two_digits | " whole "')
FREE_IDS = spellings("whole .0 | whole e2")


class Templates:
    """Makes templates; ``oddness`` is the chance of each thing that is not as the schema has it."""

    def __init__(self, random: Random, oddness: float) -> None:
        self.random = random
        self.oddness = oddness
        self.comma, self.colon = random.choice(((b",", b":"), (b",", b":"), (b", ", b": "), (b",\n  ", b" : ")))
        self.has_blanks = random.random() < 0.15
        self.is_small = random.random() < 0.8
        self.is_shuffled = random.random() < 0.6
        self.spells_freely = random.random() < 0.05  # numbers that only Python reads, each of them new

    def most(self, *several: int) -> int:
        """One of a few elements or, when all is small, mostly a single one."""
        return 1 if self.is_small and self.random.random() < 0.9 else self.random.choice(several)

    def often(self, chance: float) -> bool:
        """Whether an optional thing is there."""
        return self.random.random() < (chance / 3 if self.is_small else chance)

    def odd(self) -> bool:
        """Whether this one is odd."""
        return self.random.random() < self.oddness

    def separated(self, opening: bytes, parts: Sequence[Parts], closing: bytes) -> Parts:
        """An array or object of these."""
        made: list[bytes | str] = [opening]
        for number, part in enumerate(parts):
            made += [self.comma, *part] if number else part
            if self.has_blanks:
                made.append("blanks")
        return [*made, closing]

    def record(self, fields: Sequence[tuple[str, Parts]], *, doubled: bool = True) -> Parts:
        """An object; when odd, one field is missing or doubled, unknown ones are there, a key has an escape."""
        pairs = list(fields)
        if self.is_shuffled:
            self.random.shuffle(pairs)
        if self.odd() and pairs:
            pairs.pop()
        keyed = [self._member(json_bytes(key), value) for key, value in pairs]
        if doubled and self.odd() and pairs:
            key, value = self.random.choice(pairs)
            again = self._member(json_bytes(key), self.random.choice((value, [b"null"], ["junk"])))
            keyed.insert(self.random.randint(0, len(keyed)), again)
        if self.odd() and self.odd() and pairs:
            key, value = pairs.pop()
            keyed = [
                *(self._member(json_bytes(name), part) for name, part in pairs),
                self._member(escaped(key).encode(), value),
            ]
        for pool, is_in in (("unknown key", self.random.random() < 0.08), ("odd key", self.odd())):
            if is_in:
                keyed.insert(self.random.randint(0, len(keyed)), self._member(pool, ["junk"]))
        return self.separated(b"{", keyed, b"}")

    def _member(self, key: bytes | str, value: Parts) -> Parts:
        return [key, *(["blanks"] if self.has_blanks else []), self.colon, *value]

    def array(self, make: Callable[[], Parts], most: int, least: int = 1) -> Parts:
        """An array; when odd, what stands where it belongs: null, a bare element, or junk among its elements."""
        made = [make() for _ in range(self.random.randint(least, most))]
        if not self.odd() or not made:
            return self.separated(b"[", made, b"]")
        return self.random.choice(
            (
                [b"null"],
                [b"[]"],
                made[0],
                self.separated(b"[", [*made, [b"null"]], b"]"),
                self.separated(b"[", [["junk"], *made], b"]"),
                [b"[", *self.separated(b"[", made, b"]"), b"]"],
                ["junk"],
            )
        )

    def of(self, *usual: Parts, odd: str) -> Parts:
        """One of the usual parts; when odd, of the pool of that name, or junk."""
        if not self.odd():
            return self.random.choice(usual)
        return [self.random.choice((odd, odd, "junk"))]

    def number(self, usual: list[Parts], free: list[Parts], odd: str) -> Parts:
        """One of the usual spellings; where numbers are spelled freely, also one of those that only Python reads."""
        return self.of(*usual, *(free if self.spells_freely else ()), odd=odd)

    # ---- elements ------------------------------------------------------------------------------------------

    def item(self) -> Parts:
        """An in-network item; its code is of the pool ``code``."""
        fields: Fields = [
            ("negotiation_arrangement", self.of([b'"ffs"'], [b'"ffs"'], ["arrangement"], odd="text")),
            ("billing_code_type", self.of([b'"CPT"'], [b'"CPT"'], [b'"HCPCS"'], odd="code type")),
            ("billing_code", ["code"]),
            (
                "negotiated_rates",
                self.array(self.rate, self.most(1, 1, 1, 1, 1, 3), least=0 if self.odd() else 1),
            ),
        ]
        if self.often(0.2):
            fields.append(("name", ["text"]))
        if self.often(0.1):
            fields.append((self.random.choice(("bundled_codes", "covered_services")), ["bundle"]))
        return self.record(fields)

    def rate(self) -> Parts:
        """One of an item's rates."""
        fields: Fields = []
        providers = self.random.choice(("inline", "cited", "cited", "cited", "both", "neither"))
        if providers in ("inline", "both"):
            fields.append(("provider_groups", self.array(self.group, self.most(1, 1, 1, 2))))
        if providers in ("cited", "both"):
            fields.append(("provider_references", self.array(self.identity, self.most(1, 1, 2, 8))))
        alias = self.odd()
        prices = self.array(self.price, self.most(1, 1, 1, 1, 2, 3))
        fields.append(("negotiated_price" if alias else "negotiated_prices", prices))
        if alias and self.odd():
            fields.append(("negotiated_prices", self.random.choice(([b"null"], [b"[]"], prices))))
        return self.record(fields, doubled=not alias)

    def price(self) -> Parts:
        """One price."""
        fields: Fields = [
            ("negotiated_type", self.of(["negotiated type"], odd="text")),
            ("negotiated_rate", self.amount()),
            ("expiration_date", self.of(["date"], [b'"9999-12-31"'], odd="odd date")),
            ("billing_class", self.of(["class"], odd="text")),
        ]
        if self.often(0.4):
            fields.append(("service_code", self.of(["service codes"], odd="codes")))
        if self.often(0.4):
            fields.append(("billing_code_modifier", self.of(["modifiers"], odd="codes")))
        if self.often(0.2):
            fields.append(("setting", self.of(["setting"], odd="text")))
        if self.odd():
            fields.append(("negotiated_price", self.amount()))
        return self.record(fields)

    def amount(self) -> Parts:
        """A rate in many spellings."""
        return self.number(AMOUNTS, FREE_AMOUNTS, odd="rate")

    def group(self) -> Parts:
        """A provider group."""
        most = self.most(1, 1, 1, 2, 3, 6, 20)
        name = "NPI" if self.odd() else "npi"
        fields: Fields = [(name, self.array(self.npi, most)), ("tin", self.tin())]
        if name == "npi" and self.odd():
            fields.append(("NPI", self.array(self.npi, 3)))
        return self.record(fields)

    def npi(self) -> Parts:
        """An NPI in many spellings."""
        return self.number(NPIS, FREE_NPIS, odd="odd npi")

    def tin(self) -> Parts:
        """A TIN: an object; when odd, a bare value."""
        if self.odd():
            return ["odd tin"]
        if self.random.random() < 0.1:
            return ["tin"]
        value = self.number(TINS, FREE_TINS, odd="odd tin")
        fields: Fields = [
            ("type", self.of([b'"ein"'], [b'"npi"'], ["tin type"], odd="text")),
            ("value", value),
        ]
        if self.often(0.3):
            fields.append(("business_name", ["text"]))
        return self.record(fields)

    def identity(self) -> Parts:
        """The id of a provider reference: one of a thousand mostly, so that many are cited."""
        return self.number(IDS, FREE_IDS, odd="no id")

    def reference(self) -> Parts:
        """A provider reference."""
        fields: Fields = [("provider_group_id", self.identity())]
        if self.random.random() < 0.9:
            fields.append(("provider_groups", self.array(self.group, self.most(1, 1, 1, 2))))
        if self.often(0.1):
            fields.append(("location", ["text"]))
        if self.often(0.3):
            fields.append(("network_name", self.of(["names"], ["text"], odd="codes")))
        return self.record(fields)
