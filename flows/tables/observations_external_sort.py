"""An external sort of observations, which are computed by NPI and published by TIN.

Rows are spilled by code, class and range of TINs; then each part is sorted. Memory: ``HELD_ROWS`` while rows are added,
then one part: 0.9 GiB for 5 million observations, where polars' streaming sort needs 1.7 GiB and its plain one 2.2.
"""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import polars as pl

from schemas.published import PROVIDERS

HELD_ROWS = 1_000_000  # few payers have more
TIN_RANGES = 16

Part = tuple[str | None, str | None, int]  # billing_code, billing_class, range of TINs


class SortedObservations:
    """One payer's observations, added in any order and returned in the order of ``schemas.PROVIDERS``."""

    def __init__(self, folder: Path, tins: pl.Series) -> None:
        """Args: folder: for temporary files. tins: all that can occur."""
        self._folder = folder
        self._tins = tins
        self._buffered: list[pl.DataFrame] = []
        self._rows = 0
        self._parts: dict[Part, list[Path]] = {}
        self._number = count()

    def add(self, observations: pl.DataFrame) -> None:
        """Add rows of ``schemas.PROVIDERS``."""
        self._buffered.append(observations)
        self._rows += observations.height
        if self._rows > HELD_ROWS:
            self._spill()

    def frames(self) -> Iterator[pl.DataFrame]:
        """All of them, sorted as a whole."""
        if not self._parts:
            yield pl.concat([PROVIDERS.empty(), *self._buffered]).sort(PROVIDERS.grain)
            return
        self._spill()
        for part in sorted(self._parts, key=lambda part: [(value is not None, value) for value in part]):
            yield pl.concat([pl.read_ipc(path) for path in self._parts[part]]).sort(PROVIDERS.grain)
            for path in self._parts[part]:
                path.unlink()

    def _spill(self) -> None:
        if not self._buffered:
            return
        numbered = pl.concat(self._buffered).join(self._ranges(), on="tin", how="left", nulls_equal=True)
        parts = numbered.partition_by("billing_code", "billing_class", "tin_range", as_dict=True)
        for (code, billing_class, tin_range), rows in parts.items():
            path = self._folder / f"observations-{next(self._number)}.arrow"
            rows.drop("tin_range").write_ipc(path)
            self._parts.setdefault((code, billing_class, tin_range), []).append(path)
        self._buffered, self._rows = [], 0

    def _ranges(self) -> pl.DataFrame:
        """tin, tin_range: in order of TIN, about as many TINs in each."""
        tins = pl.DataFrame({"tin": self._tins}).unique().sort("tin")
        return tins.with_columns(tin_range=pl.int_range(pl.len()) * TIN_RANGES // pl.len())
