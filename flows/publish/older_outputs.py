"""Outputs of earlier versions: tables under ``month=`` and ``payer=`` get today's folders and columns."""

import logging
from datetime import date
from pathlib import Path

import polars as pl

from flows.storage.atomic_files import put_in_place, remove_folder, unfinished_folder
from flows.storage.layout import Layout
from flows.storage.parquet import read_frames, write_table
from schemas.published import PUBLISHED
from schemas.table import Table

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
                    parts = (part.replace(_OLDER_PAYER, "payer_slug=") for part in path.relative_to(older).parts)
                    _rewrite(path, Path(folder, *parts), _TABLE_OF[older.parent.name, path.name], month)
                put_in_place(folder, target)
        remove_folder(older)
        LOG.info("%s is now %s, with the columns of this version", older, target.name)


def _rewrite(path: Path, target: Path, table: Table, month: date) -> None:
    pieces = (table.complete(piece.with_columns(month=pl.lit(month))) for piece in read_frames(path))
    write_table(target, table, pieces)
