"""The published rate rows of a month, read in pieces of whole NPIs.

Memory: one piece, a row group or two of a payer's rates, and of that the rows and columns that are wanted.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from flows.tables.payer_builds import rates_path
from schemas.published import RATES
from transforms.benchmark.representative_rates import published_class
from transforms.benchmark.summarize import COMPOSITES
from transforms.explain.cells import PROVIDER, CellKey


@dataclass(frozen=True)
class Piece:
    """Rows of ``rates`` of one payer, and the condition on ``npi`` that parts them from the others."""

    rows: pl.DataFrame
    npis: pl.Expr


@dataclass(frozen=True)
class PublishedRates:
    """The rate rows of the payers of a cell; without a key, of every payer. folder: ``rates`` of a month."""

    folder: Path
    key: CellKey | None = None

    def paths(self) -> list[Path]:
        """The payers' files, sorted."""
        payers = None if self.key is None else COMPOSITES.get(self.key.payer, (self.key.payer,))
        if payers is None:
            return sorted(self.folder.rglob("*.parquet"))
        return sorted(path for payer in payers if (path := rates_path(self.folder, payer)).exists())

    def pieces(self, wanted: pl.Expr, columns: Sequence[str] = RATES.names, npi: int | None = None) -> Iterator[Piece]:
        """The rows that are wanted, in order of payer's file and NPI; each NPI of a payer is in one piece.

        Args: npi: of this provider alone, which reads a row group of each payer.
        """
        for path in self.paths():
            rows = pl.scan_parquet(path, hive_partitioning=False).filter(wanted)
            for npis in _npi_ranges(path) if npi is None else [pl.col("npi") == npi]:
                found = rows.filter(npis).select(columns).collect()
                if found.height:
                    yield Piece(found, npis)


def _npi_ranges(path: Path) -> list[pl.Expr]:
    """Conditions that part a file sorted by NPI near the bounds of its row groups; null NPIs belong to the first."""
    with pq.ParquetFile(path) as file:
        names = [file.schema.column(number).path for number in range(len(file.schema))]
        at = names.index("npi")
        groups = [file.metadata.row_group(number).column(at).statistics for number in range(file.num_row_groups)]
    starts = sorted({group.min for group in groups[1:] if group is not None and group.has_min_max})
    npi = pl.col("npi")
    if not starts:
        return [pl.lit(value=True)]
    inner = [(npi >= low) & (npi < high) for low, high in pairwise(starts)]
    return [npi.is_null() | (npi < starts[0]), *inner, npi >= starts[-1]]


def rates_of(rows: pl.DataFrame, members: pl.DataFrame) -> pl.DataFrame:
    """The rows of members, in the same order. Args: rows: eligible ones of ``rates``."""
    own = members.lazy().select(*PROVIDER).rename({"billing_class": "folded"})
    folded = rows.lazy().with_columns(published_class(pl.col("billing_class")).alias("folded"))
    by = ["payer", "billing_code", "folded", "tin", "npi"]
    return folded.join(own, on=by, how="semi", nulls_equal=True, maintain_order="left").drop("folded").collect()


def sum_rows(counts: Iterable[pl.DataFrame], by: Sequence[str]) -> pl.DataFrame:
    """Counts of rows, added up."""
    empty = pl.DataFrame(schema=dict.fromkeys(by, pl.String) | {"rows": pl.Int64})
    return pl.concat([empty, *counts]).group_by(by).agg(pl.col("rows").sum())
