"""The family of a code: the codes that count as evidence ``related`` (reviewed in ``reference/code_families.csv``)."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import polars as pl

from schemas.reference import CODE_FAMILIES, load_reference


@dataclass(frozen=True)
class CodeRange:
    """Codes from ``first`` to ``last``, both included, of the same length."""

    first: str
    last: str

    def __str__(self) -> str:
        """``97010-97799``."""
        return f"{self.first}-{self.last}"

    def includes(self, other: "CodeRange") -> bool:
        """Whether all codes of the other range are in this one."""
        return len(self.first) == len(other.first) and self.first <= other.first and other.last <= self.last

    def holds(self, code: pl.Expr) -> pl.Expr:
        """Whether a code is in the range; null for a null code."""
        return code.is_between(pl.lit(self.first), pl.lit(self.last)) & (code.str.len_bytes() == len(self.first))


def family_of(billing_code: str) -> CodeRange:
    """The reviewed family of a code; the code alone where none is reviewed."""
    return _families().get(billing_code, CodeRange(billing_code, billing_code))


def families_of(billing_codes: Iterable[str]) -> tuple[CodeRange, ...]:
    """The distinct families of these codes, in order."""
    return tuple(sorted({family_of(code) for code in billing_codes}, key=lambda family: (family.first, family.last)))


@cache
def _families() -> dict[str, CodeRange]:
    rows = load_reference(CODE_FAMILIES).select("billing_code", "first_code", "last_code").iter_rows()
    return {code: CodeRange(first, last) for code, first, last in rows}
