"""Columns that the kernel has filled, as Arrow batches for the spools of ``Collected``."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from transforms.read import arrow_columns as arrow
from transforms.read.collect import Collected
from transforms.read.spool import Spool, decoded
from transforms.scan.scan_kernel import columns as k

FEW_ROWS = 16  # of so few, the values themselves take less time than a dictionary of them

COLUMNS: dict[str, dict[str, int | None]] = {
    "item": {
        "item_arrangement": k.AS_TEXT,
        "item_code": k.AS_CODE,
        "item_code_type": k.AS_CODE_TYPE,
        "item_first": None,
        "item_end": None,
        "item_offset": None,
    },
    "price": {
        "price_rate": None,
        "price_type": k.AS_TEXT,
        "price_amount": None,
        "price_class": k.AS_CLASS,
        "price_setting": k.AS_TEXT,
        "price_codes": k.AS_CODES,
        "price_modifiers": k.AS_CODES,
        "price_date": k.AS_DATE,
    },
    "citation": {"citation_rate": None, "citation_key": None},
    "reference": {
        "reference_no": None,
        "reference_key": None,
        "reference_location": k.AS_TEXT,
        "reference_networks": k.AS_NAMES,
        "reference_groups": None,
        "reference_offset": None,
    },
}  # of each spool, in its order: numbers (None), or texts and the rule that cleans them; see _groups for groups
ROWS = (*COLUMNS, "group")
_LISTS = (k.AS_CODES, k.AS_NAMES)  # rules that give lists of texts; AS_DATE and AS_TIN give tuples, others texts


@dataclass
class CleanedTexts:
    """What the texts of each rule were cleaned to, by their numbers, and the quirks that each of them counts as."""

    values: list[list[object]] = field(default_factory=lambda: [[] for _ in range(k.RULES)])
    quirks: list[dict[int, Counter[str]]] = field(default_factory=lambda: [{} for _ in range(k.RULES)])
    dictionaries: dict[int, list[pa.Array]] = field(default_factory=dict)  # of each rule, those made last

    def dictionary(self, rule: int, count: int) -> list[pa.Array]:
        """What the first so many texts of a rule were cleaned to."""
        if rule not in self.dictionaries or len(self.dictionaries[rule][0]) != count:
            self.dictionaries[rule] = _columns_of(rule, self.values[rule][:count])
        return self.dictionaries[rule]


@dataclass(frozen=True)
class Filled:
    """Rows that wait for their spools, in columns which stay as they are until ``put`` has ended.

    ``counts``: of the kernel's rows, digits, NPIs and blank NPIs. ``known``: how many texts each rule had.
    """

    arrays: Mapping[str, NDArray[Any]]
    counts: Mapping[str, int]
    texts: CleanedTexts
    known: tuple[int, ...]

    def spools(self, collected: Collected) -> dict[str, Spool]:
        """Where the rows of each kind go."""
        return {
            "item": collected.items,
            "price": collected.prices,
            "citation": collected.citations,
            "group": collected.reference_groups if self.counts["reference"] else collected.groups,
            "reference": collected.references,
        }

    def put(self, collected: Collected) -> Counter[str]:
        """Put the rows into the spools: the quirks of their texts."""
        quirks: Counter[str] = Counter()
        for rows, spool in self.spools(collected).items():
            if self.counts[rows]:
                columns = self._groups(quirks) if rows == "group" else self._columns(rows, quirks)
                spool.append_batch(pa.RecordBatch.from_arrays(list(columns), names=spool.schema.names))
        return quirks

    def _columns(self, rows: str, quirks: Counter[str]) -> Iterator[pa.Array]:
        for name, rule in COLUMNS[rows].items():
            yield from self._column(name, rule, self.counts[rows], quirks)

    def _column(self, name: str, rule: int | None, count: int, quirks: Counter[str]) -> list[pa.Array]:
        """A column: numbers, or what its texts were cleaned to; of many rows dictionary-encoded."""
        numbers = self.arrays[name][:count]
        if rule is None:
            return [arrow.numbers(numbers, np.isnan(numbers) if name == "price_amount" else None)]
        self._count_quirks(numbers, rule, quirks)
        if count <= FEW_ROWS:
            values = self.texts.values[rule]
            return _columns_of(rule, [values[number] for number in numbers.tolist()])
        encoded = arrow.numbers(numbers)
        return [pa.DictionaryArray.from_arrays(encoded, cleaned) for cleaned in self._cleaned(rule)]

    def _cleaned(self, rule: int) -> list[pa.Array]:
        return self.texts.dictionary(rule, self.known[rule])

    def _count_quirks(self, numbers: NDArray[np.int32], rule: int, quirks: Counter[str]) -> None:
        for number, of_text in [*self.texts.quirks[rule].items()]:  # which may grow meanwhile
            times = int(np.count_nonzero(numbers == number))
            for name, count in of_text.items():
                quirks[name] += times * count

    def _groups(self, quirks: Counter[str]) -> list[pa.Array]:
        arrays, count = self.arrays, self.counts["group"]
        (types,), (names,) = (self._column(f"group_{name}", k.AS_TEXT, count, quirks) for name in ("tin_type", "name"))
        ends = arrays["group_digits_end"][:count]
        digits = np.diff(ends, prepend=np.int32(0)) > 0
        tins = arrow.texts_of(arrays["digits"][: self.counts["digit"]], ends, digits)
        odd = arrays["group_tin"][:count]
        if odd.any():
            self._count_quirks(odd, k.AS_TIN, quirks)
            odd_types, odd_tins, odd_names = (cleaned.take(arrow.numbers(odd)) for cleaned in self._cleaned(k.AS_TIN))
            is_odd = arrow.flags(odd > 0)
            types = pc.if_else(is_odd, odd_types, decoded(types))
            tins = pc.if_else(is_odd, odd_tins, tins)
            names = pc.if_else(is_odd, odd_names, decoded(names))
        npis = arrays["npis"][: self.counts["npi"]]
        values = arrow.numbers(npis, npis == k.BLANK_NPI if self.counts["blanks"] else None)
        lists = pa.ListArray.from_arrays(arrow.numbers(arrow.offsets(arrays["group_npis_end"][:count])), values)
        owners, sizes = (arrow.numbers(arrays[name][:count]) for name in ("group_owner", "group_size"))
        return [owners, types, tins, names, sizes, lists]


def _columns_of(rule: int, values: Sequence[Any]) -> list[pa.Array]:
    """Cleaned values of a rule: one array for each part of a value."""
    if rule == k.AS_DATE:
        days, unread = zip(*((None, None) if pair is None else pair for pair in values), strict=True)
        return [arrow.dates(days), arrow.flags(np.array(unread, np.bool_))]
    if rule == k.AS_TIN:
        parts = zip(*((None, None, None) if tin is None else tin for tin in values), strict=True)
        return [arrow.texts(part) for part in parts]
    return [arrow.lists(values) if rule in _LISTS else arrow.texts(values)]
