"""Pools of parts that the elements of a document are assembled from: see ``tests.fuzz.templates``."""

from collections.abc import Sequence
from random import Random
from typing import Any

from tests import generated_documents as odd
from tests.json_text import escaped, json_bytes

BLANKS = (b"", b"", b" ", b"\n", b"\t", b"\r\n", b"  ", b"\n      ", b" " * 17, b"\n" + b" " * 62, b"\t" * 70)
UNKNOWN_KEYS = (
    *("billing_codes", "xbilling_code", "billing_cod", "npis", "Npi", "tins", "", "BILLING_CODE", "values", "types"),
    *("negotiated_rate_", "negotiated_typ", "name", "description", "additional_information", "service_codes"),
    *("x_[{,:}]", "x_}]}]}", "x_Compañía 😀", f"longer than any of the schema's {'key ' * 20}"),
)
ODD_KEYS = tuple(f"x_{text}" for text in odd.DECOY_TEXTS)
ODD_ELEMENTS = (b"null", b"null", b"0", b'"97026"', b"true", b"[]", b'[{"billing_code":"97026"}]', b"-1.5e3")
ALPHABET = 'abcXYZ 0123456789.-/\\"\n\tßéñ€\u2028\u00a0😀\x7f'
EXPONENTS = tuple("e0 E1 e-1 e+2 e5 E-7 e15 e-15 e22 e-22 e23 e100 e-300 e308 e-324".split())
WHOLE = tuple(str(number) for number in range(1000))
DIGITS = tuple(f"{number:03}" for number in range(1000))
FRESH = 40


def written(random: Random, values: Sequence[Any]) -> list[bytes]:
    """Values as JSON, some of the strings with escapes."""
    escapes = [escaped(value).encode() for value in values if type(value) is str and random.random() < 0.2]
    return [*(json_bytes(value) for value in values), *escapes]


class Fresh:
    """Parts made anew for a while: texts, numbers, lists and junk."""

    def __init__(self, random: Random) -> None:
        self.random = random

    def pools(self) -> dict[str, list[bytes]]:
        """The pools by name, without the pool of codes."""
        random = self.random
        texts = self.texts(FRESH)
        numbers = [self.number() for _ in range(FRESH)]
        fractions = [self.digits(random.randint(1, 9)) for _ in range(2_000)]
        scalars = [*written(random, odd.SCALARS), *texts[:10], *numbers[:10]]
        junk = [*scalars, *(self.junk(scalars) for _ in range(FRESH))]
        several = written(random, odd.ODD_SERVICE_CODES + odd.ODD_MODIFIERS)
        npis = written(random, odd.NPIS)
        return {
            "blanks": list(BLANKS),
            "unknown key": [*map(json_bytes, UNKNOWN_KEYS)],
            "odd key": [*map(json_bytes, ODD_KEYS), *texts[:10]],
            "junk": junk,
            "bundle": [*written(random, [[record] for record in odd.DECOY_RECORDS]), *junk],
            "text": [*texts, *written(random, odd.DECOY_TEXTS), b"null", b"7", b"1E-3", b"0.10", b"true"],
            "whole": [number.encode() for number in WHOLE],
            "leading": [number.encode() for number in WHOLE[1:]],
            "digits": [number.encode() for number in DIGITS],
            "two_digits": [number[1:].encode() for number in DIGITS[:100]],
            "integer": [self.integer().encode() for _ in range(500)],
            "fraction": [b"", b".0", *(b"." + each.encode() for each in fractions)],
            "exponent": [b"", *map(str.encode, EXPONENTS)],
            "amount": [*numbers, *written(random, odd.RATES), *(b'" %b"' % each for each in numbers[:5])],
            "rate": [*written(random, odd.ODD_RATES), *scalars],
            "npi": [*npis, *(self.integer().encode() for _ in range(10)), *(each + b".0" for each in npis[:1])],
            "odd npi": [*written(random, odd.ODD_NPIS), *scalars],
            "tin": [self.tin(value) for value in [*written(random, odd.ODD_TINS + odd.TINS), *numbers[:10], *scalars]],
            "odd tin": [*written(random, odd.ODD_TINS + odd.TINS), *scalars],
            "tin type": written(random, ("ein", "EIN", " Ein", "npi", "NPI", None, "e\u0131n", "other")),
            "id": [*written(random, [each for several in odd.IDS for each in several]), *texts[:10], *numbers[:10]],
            "no id": [*written(random, odd.NO_IDS), *scalars],
            "date": [*written(random, odd.DATES), *(self.date() for _ in range(FRESH))],
            "odd date": [*written(random, odd.ODD_DATES), *texts[:10], *scalars],
            "arrangement": written(random, ("ffs", "bundle", "capitation", "FFS", None)),
            "code type": [*written(random, ("CPT", "HCPCS", *odd.ODD_CODE_TYPES)), *texts[:3]],
            "negotiated type": written(random, ("negotiated", "derived", "fee schedule", "percentage", "per diem")),
            "class": written(random, ("professional", "institutional", "both", " Professional", "BOTH", "", None)),
            "setting": written(random, ("inpatient", "outpatient", "both", "", None)),
            "service codes": self.lists([*written(random, odd.SERVICE_CODES), b'"02"', b'"23"', b'"99"', *several]),
            "modifiers": self.lists([*written(random, odd.MODIFIERS), b'"TC"', b'"26"', *several]),
            "names": self.lists([b'"Choice"', b'"Choice Plus"', b'" HMO "', *texts[:20], b"null", b"7"]),
            "codes": [*several, *scalars],
            "odd element": list(ODD_ELEMENTS),
            "wanted code": [
                b'"97026"',
                b'"97026"',
                b'"97028"',
                b"97026",
                b'" 97028\\t"',
                b'"\\u00397026"',
                escaped("97028").encode(),
            ],
            "other code": [
                *(
                    b'"99213"',
                    b'"97026.0"',
                    b"97026.0",
                    b'"9702"',
                    b"null",
                    b'["97026"]',
                    b'""',
                    b'"970260"',
                    b"9.7026e4",
                ),
                *(b'"%b"' % number.encode() for number in DIGITS[::37]),
            ],
        }

    def digits(self, count: int) -> str:
        return "".join(self.random.choices("0123456789", k=count))

    def integer(self) -> str:
        count = self.random.randint(1, 25)
        return self.random.choice("123456789") + self.digits(count - 1)

    def number(self) -> bytes:
        random = self.random
        whole = random.choice(("0", "-0", self.integer(), f"-{self.integer()}"))
        fraction = f".{self.digits(random.randint(1, 40))}" if random.random() < 0.6 else ""
        exponent = f"{random.choice('eE')}{random.choice(('', '+', '-'))}{random.randint(0, 340)}"
        return f"{whole}{fraction}{exponent if random.random() < 0.5 else ''}".encode()

    def tin(self, value: bytes) -> bytes:
        """A TIN's object, with that value."""
        kind = self.random.choice((b'"ein"', b'"EIN"', b'" ein "', b'"npi"', b"null"))
        return self.random.choice((b'{"type":%b,"value":%b}', b'{ "type": %b, "value": %b }')) % (kind, value)

    def texts(self, count: int) -> list[bytes]:
        random = self.random
        made = ["".join(random.choices(ALPHABET, k=random.choice((0, 1, 3, 8, 8, 20, 70)))) for _ in range(count)]
        return [(escaped(text).encode() if random.random() < 0.1 else json_bytes(text)) for text in made]

    def date(self) -> bytes:
        random = self.random
        year, month, day = random.randint(1900, 2099), random.randint(0, 13), random.randint(0, 32)
        spelled = random.choice(
            ("{0}-{1:02}-{2:02}", "{0}-{1:02}-{2:02}", "{1}/{2}/{0}", "{0}{1:02}{2:02}", "{0}/{1}/{2}")
        )
        return json_bytes(spelled.format(year, month, day) + random.choice(("", "", "T00:00:00Z", " 12:00", "1")))

    def lists(self, elements: list[bytes]) -> list[bytes]:
        """Arrays of these."""
        random = self.random
        comma = random.choice((b",", b", "))
        return [b"[%b]" % comma.join(random.choices(elements, k=random.choice((0, 1, 1, 2, 3, 9)))) for _ in range(40)]

    def junk(self, scalars: list[bytes], depth: int = 4) -> bytes:
        """Any JSON at all."""
        random = self.random
        kind = random.randrange(4) if depth else 0
        if kind < 2:
            return random.choice(scalars)
        inner = [self.junk(scalars, depth - 1) for _ in range(random.randrange(4))]
        if kind == 2:
            return b"[%b]" % b" ,".join(inner)
        return b"{%b}" % b",".join(
            b"%b: %b" % (json_bytes(random.choice((*UNKNOWN_KEYS, "npi", "billing_code"))), each) for each in inner
        )
