"""Texts in the elements that the kernel decodes: each distinct one cleaned once, by the plain grammar's rules.

A text is the bytes of a JSON value as they stand in the document. What a rule counts as a quirk is counted for every
value that has the text. A text that crosses a limit, or that the plain grammar would refuse, is refused here: the
element that holds it goes to the plain grammar, whose error says why.
Memory: the kernel's texts and their cleaned values, and up to ``KNOWN_TEXTS`` cleaned values of earlier documents.
"""

import io
from collections import Counter
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from functools import lru_cache, partial

import ijson
import numpy as np

from schemas.mrf import CODE_TYPES
from transforms.errors import BadFileError
from transforms.limits import Limits
from transforms.read.clean import class_of, codes_of, npi_of, rate_of, read_date, reference_key, text_of
from transforms.read.collect import Collected
from transforms.read.read_ijson import parse
from transforms.read.walk import Event, Walker
from transforms.scan.filled_columns import CleanedTexts
from transforms.scan.scan_kernel import columns as k

_LITERALS: dict[bytes, Event] = {b"null": ("null", None), b"true": ("boolean", True), b"false": ("boolean", False)}
_Cleaned = tuple[
    object, int
]  # the column's value, and the kernel's: a rate's bits, an NPI, a key, whether a code is wanted

# Short texts that were read in any document, since most have the same; not keys, which each document numbers anew
_Known = dict[tuple[int, bytes], tuple[object, int, Counter[str]]]
KNOWN_TEXTS, KNOWN_BYTES = 4_096, 64


@lru_cache(maxsize=4)
def _known_texts(_wanted: frozenset[str], _limits: Limits) -> _Known:
    return {}


class Texts:
    """The values that the texts of each rule are cleaned to, by their numbers."""

    def __init__(self, wanted: frozenset[str], collected: Collected) -> None:
        self._wanted = wanted
        self._keys = collected.keys
        self._limits = collected.limits
        self._scratch = Collected(collected.open_temporary, limits=collected.limits)
        self._walker = Walker(iter(()).__next__, wanted, self._scratch)
        self.forget()
        self._known = _known_texts(wanted, collected.limits)
        self._rules: dict[int, Callable[[str, object], _Cleaned]] = {
            k.AS_TEXT: partial(self._scalar, text_of),
            k.AS_CLASS: partial(self._scalar, class_of),
            k.AS_DATE: partial(self._scalar, read_date),
            k.AS_CODES: lambda event, value: (codes_of(self._walker.scalars(event, value)), 0),
            k.AS_NAMES: lambda event, value: (self._walker.names(event, value), 0),
            k.AS_TIN: lambda event, value: (self._walker.walk_tin(event, value), 0),
            k.AS_RATE: self._rate,
            k.AS_NPI: self._npi,
            k.AS_KEY: self._key,
            k.AS_CODE: self._code,
            k.AS_CODE_TYPE: self._code_type,
        }

    def forget(self) -> None:
        """Forget all texts."""
        self.cleaned = CleanedTexts()

    def read(self, rule: int, token: bytes) -> tuple[int, int]:
        """Clean one more text of a rule: its state, and the kernel's value of it."""
        known = self._known.get((rule, token))
        if known is None:
            return self._read_new(rule, token)
        value, of_kernel, quirks = known
        if quirks:
            self.cleaned.quirks[rule][len(self.cleaned.values[rule])] = quirks
        self.cleaned.values[rule].append(value)
        return k.READ, of_kernel

    def _read_new(self, rule: int, token: bytes) -> tuple[int, int]:
        scratch = self._scratch
        scratch.quirks.clear()
        self._walker.crossed = None
        number = len(self.cleaned.values[rule])
        try:
            first, *rest = self._events(token)
            self._walker.next = iter(rest).__next__
            value, of_kernel = self._rules[rule](*first)
        except (BadFileError, InvalidOperation, ijson.JSONError, UnicodeDecodeError, StopIteration, ValueError):
            self._walker.crossed = None
            self.cleaned.values[rule].append(None)
            return k.REFUSED, 0
        self.cleaned.values[rule].append(value)
        if self._walker.crossed is not None:
            return k.REFUSED, 0
        if scratch.quirks:
            self.cleaned.quirks[rule][number] = scratch.quirks.copy()
        if rule != k.AS_KEY and len(token) <= KNOWN_BYTES and len(self._known) < KNOWN_TEXTS:
            self._known[rule, token] = value, of_kernel, scratch.quirks.copy()
        return k.READ, of_kernel

    def _events(self, token: bytes) -> list[Event]:
        """The events of one value, as ijson reads them."""
        if token[:1] == b'"' and b"\\" not in token:
            return [("string", token[1:-1].decode())]
        if token in _LITERALS:
            return [_LITERALS[token]]
        if token[:1] not in b'"[{':
            is_whole = not any(mark in token for mark in b".eE")
            return [("number", int(token) if is_whole else Decimal(token.decode()))]
        return list(parse(io.BytesIO(token), self._limits, str))

    def _scalar(self, clean: Callable[[object], object], event: str, value: object) -> _Cleaned:
        return clean(self._walker.within_limit(self._walker.scalar(event, value))), 0

    def _rate(self, event: str, value: object) -> _Cleaned:
        rate = rate_of(self._walker.within_limit(self._walker.scalar(event, value)))
        return rate, int(np.float64(np.nan if rate is None else rate).view(np.int64))

    def _npi(self, event: str, value: object) -> _Cleaned:
        npi = npi_of(self._walker.scalar(event, value))
        return npi, k.BLANK_NPI if npi is None else npi

    def _key(self, event: str, value: object) -> _Cleaned:
        key = reference_key(self._walker.within_limit(self._walker.scalar(event, value)))
        return key, self._keys.number_of(key)

    def _code(self, event: str, value: object) -> _Cleaned:
        code = (text_of(self._walker.scalar(event, value)) or "").strip() or None
        return code, int(code in self._wanted)

    def _code_type(self, event: str, value: object) -> _Cleaned:
        code_type = (text_of(self._walker.scalar(event, value)) or "").strip().upper() or None
        return code_type, int(code_type is None or code_type in CODE_TYPES)
