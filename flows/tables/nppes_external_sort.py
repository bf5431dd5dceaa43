"""Sorting more records than memory should hold: spilled to disk by NPI range, then merged range by range.

Memory: the records of ``BUFFERED_RECORDS`` while spilling, one range (a sixteenth of NPPES, 550,000 records,
some 300 MiB) while merging. Disk, for the time being: about 60 bytes a record beside the target.
"""

import os
from collections.abc import Iterable
from pathlib import Path

import polars as pl
import pyarrow as pa

from flows.storage.parquet import parquet_writer
from schemas.nppes import NPPES
from transforms.cms.nppes import apply_updates

BUFFERED_RECORDS = 200_000
RANGE_NPIS = 62_500_000  # NPIs in use run from 1,000,000,000 to 1,999,999,999, evenly: sixteen ranges
_LAST_RANGE = 48  # beyond the NPIs that begin with 2, everything shares one


class SpilledRecords:
    """Records kept on disk by NPI range, in the order they came. A context manager, so that no file stays open."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.records = 0
        self._buffer: list[pl.DataFrame] = []
        self._buffered = 0
        self._writers: dict[int, pa.ipc.RecordBatchStreamWriter] = {}

    def __enter__(self) -> "SpilledRecords":
        return self

    def __exit__(self, *_: object) -> None:
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()

    def add(self, records: pl.DataFrame) -> None:
        """Takes ``NPPES_RECORDS``; later ones replace earlier ones of the same NPI when merged."""
        self._buffer.append(records)
        self._buffered += len(records)
        self.records += len(records)
        if self._buffered >= BUFFERED_RECORDS:
            self._spill()

    def write_lookup(self, target: Path, deactivations: Iterable[pl.DataFrame], made_from: str) -> int:
        """Merges the ranges into ``target``, a Parquet file of ``NPPES`` sorted by npi; the number of NPIs.

        Args: made_from: the files behind it, kept in its metadata: the lookup's vintage.
        """
        self._spill()
        self.__exit__()
        reported = _by_range(pl.concat([_NO_REPORT, *deactivations]))
        written = 0
        schema = NPPES.arrow(made_from=made_from)
        with parquet_writer(target, schema) as parquet:
            for number in sorted({*reported, *(int(path.stem) for path in self.folder.glob("*.arrows"))}):
                lookup = apply_updates(self._range(number), [reported[number]] if number in reported else [])
                parquet.write_table(lookup.to_arrow().cast(schema), row_group_size=100_000)
                written += len(lookup)
        _sync(target)
        return written

    def _spill(self) -> None:
        if not self._buffer:
            return
        for number, records in _by_range(pl.concat(self._buffer)).items():
            table = records.to_arrow(compat_level=pl.CompatLevel.oldest())
            if number not in self._writers:
                self._writers[number] = pa.ipc.new_stream(str(self.folder / f"{number:02}.arrows"), table.schema)
            self._writers[number].write_table(table)
        self._buffer.clear()
        self._buffered = 0

    def _range(self, number: int) -> list[pl.DataFrame]:
        path = self.folder / f"{number:02}.arrows"
        if not path.exists():
            return []
        with pa.OSFile(str(path)) as file, pa.ipc.open_stream(file) as stream:
            frame = pl.from_arrow(stream.read_all())
        assert isinstance(frame, pl.DataFrame)
        return [frame]


_NO_REPORT = pl.DataFrame(schema={"npi": pl.Int64, "deactivation_date": pl.Date})


def _by_range(records: pl.DataFrame) -> dict[int, pl.DataFrame]:
    number = (pl.col("npi") // RANGE_NPIS).clip(0, _LAST_RANGE).cast(pl.Int32).alias("range")
    parts = records.with_columns(number).partition_by("range", as_dict=True, include_key=False)
    return {int(key[0]): part for key, part in parts.items()}


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
