"""Outputs of earlier versions: tables under ``month=`` and ``payer=`` get today's folders and columns."""

import logging
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import polars as pl

from flows.storage.atomic_files import put_in_place, remove_folder, unfinished_folder
from flows.storage.layout import Layout
from flows.storage.parquet import read_frames, write_table
from schemas.published import PUBLISHED

LOG = logging.getLogger(__name__)
_OLDER_MONTH, _OLDER_PAYER = "month=", "payer="
_TABLE_OF = {(table.path.partition("/")[0], Path(table.path).name): table for table in PUBLISHED}


def older_months(layout: Layout) -> list[Path]:
    """The folders of tables that a version before 0.2 published, one for each table and month."""
    return sorted(layout.root.glob(f"*/{_OLDER_MONTH}????-??"))


def upgrade_output(layout: Layout) -> None:
    """Rewrite these tables as the present version publishes them.

    Each folder appears whole under its new name before the old one is removed, so a killed upgrade is continued by the
    next command. Memory: one row group.
    """
    for older in older_months(layout):
        month = date.fromisoformat(f"{older.name.removeprefix(_OLDER_MONTH)}-01")
        target = layout.month(older.parent.name, month)
        if not target.exists():
            with unfinished_folder(layout.staging) as folder:
                for path in sorted(older.rglob("*.parquet")):
                    _rewrite(path, folder / _new_name(path.relative_to(older)), month, older.parent.name)
                put_in_place(folder, target)
        remove_folder(older)
        LOG.info("%s is now %s, with the columns of this version", older, target.name)


def _new_name(path: Path) -> Path:
    return Path(*(part.replace(_OLDER_PAYER, "payer_slug=") for part in path.parts))


def _rewrite(path: Path, target: Path, month: date, folder: str) -> None:
    table = _TABLE_OF[folder, path.name]

    def pieces() -> Iterator[pl.DataFrame]:
        for piece in read_frames(path):
            yield table.complete(piece.with_columns(month=pl.lit(month)))

    write_table(target, table, pieces())
