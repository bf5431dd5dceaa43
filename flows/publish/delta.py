"""`summaries` and `providers` as Delta tables under ``delta/``, brought in line with what is published.

A commit replaces the rows of one month. The tables' own log says which content of a month was committed last, so what
a killed run, a failed commit or an undone publication left different is put right by the next call, and what is the
same is not committed again. Memory: one row group of a published table.
"""

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from flows.download.sources import sha256_of
from flows.publish.manifest import read_manifest
from flows.publish.publish import fetch_published
from flows.storage.layout import Layout, month_of_name
from flows.storage.locks import locked
from flows.storage.parquet import ROW_GROUP_ROWS, ZSTD_LEVEL
from flows.storage.redaction import redact_text
from flows.storage.threads import interruptible
from schemas.published import PROVIDERS, SUMMARIES
from schemas.table import Table
from transforms.errors import OutageError, TicRatesError, UsageError

if TYPE_CHECKING:
    from deltalake import CommitProperties, DeltaTable

LOG = logging.getLogger(__name__)
DELTA_TABLES: dict[str, Table] = {"summaries": SUMMARIES, "providers": PROVIDERS}
PARTITION = "period"  # as of the published folders; ``month`` stays a column of the files
ATTEMPTS = 5  # of a commit, where other machines commit at the same time
REMOVED = 0  # in place of a content's number: the month has no rows
INSTALL = "install it with `pip install 'tic-rates[delta]'`"


class DeltaCommitError(OutageError):
    """A commit failed. The published tables are complete; a later run commits what is missing."""


@dataclass(frozen=True)
class DeltaCommits:
    """What was committed. versions: of each table now, by name. failed: why a commit failed, and what repeats it."""

    commits: int = 0
    versions: Mapping[str, int] = field(default_factory=dict)
    failed: str | None = None

    def __str__(self) -> str:
        versions = ", ".join(f"{name} version {version}" for name, version in self.versions.items())
        return self.failed or f"{self.commits} commit(s), {versions}"

    def as_json(self) -> dict[str, Any]:
        """As in the result line of a command."""
        return {"commits": self.commits, "versions": dict(self.versions), "failed": self.failed}


def require_deltalake() -> None:
    """Nothing, where the extra is installed.

    Raises:
        UsageError: it is not.
    """
    if find_spec("deltalake") is None:
        raise UsageError(f"Delta tables (--delta, or `delta = true`) need the package deltalake; {INSTALL}")


def commit_months(layout: Layout) -> DeltaCommits:
    """Commit every published month whose content is not what the Delta tables have, and remove months that went away.

    Raises:
        DeltaCommitError: a commit failed, the library's reason in its text.
    """
    commits, versions = 0, {}
    layout.staging.mkdir(parents=True, exist_ok=True)
    with locked(layout.staging / "delta.lock"):
        for name in DELTA_TABLES:
            place = _Place(layout, name)
            with _explained(place.address):
                commits += sum(1 for _ in _commits(place))
                table = place.open()
            if table is not None:
                versions[name] = table.version()
    return DeltaCommits(commits, versions)


@dataclass(frozen=True)
class _Place:
    """Where a Delta table is, and the published table of that name."""

    layout: Layout
    name: str

    @property
    def address(self) -> str:
        store = self.layout.store
        folder = self.layout.root / "delta" / self.name
        return str(folder.absolute()) if store is None else store.full(f"delta/{self.name}")

    @property
    def options(self) -> dict[str, str] | None:
        return None if self.layout.store is None else self.layout.store.library_options

    def open(self) -> "DeltaTable | None":
        """The table as it is now; None where there is none."""
        from deltalake import DeltaTable

        is_table = interruptible(DeltaTable.is_deltatable, self.address, self.options)
        return interruptible(DeltaTable, self.address, storage_options=self.options) if is_table else None

    def published(self, month: str) -> Path:
        return self.layout.month(self.name, month_of_name(month)) / f"{self.name}.parquet"

    def identity(self, manifest: Mapping[str, Any], month: str) -> dict[str, Any] | None:
        """Time, version and table sha256 of a month's publication; None without a table."""
        entry = manifest.get("months", {}).get(month)
        if entry is None:
            return None
        path = self.published(month)
        stored = manifest.get("objects", {}).get(path.relative_to(self.layout.root).as_posix(), {})
        sha256 = stored.get("sha256") or entry.get("sha256", {}).get(self.name)
        if sha256 is None and path.exists():  # published by an earlier version
            sha256 = sha256_of(path)
        stated = {key: entry.get(key) for key in ("published_at", "software", "methodology")}
        return {"month": month, "sha256": sha256, **stated} if sha256 else None


def _commits(place: _Place) -> Iterator[str]:
    """The months that a commit was made of, in order."""
    manifest, table = read_manifest(place.layout), place.open()
    stated = ((month, place.identity(manifest, month)) for month in manifest.get("months", {}))
    months = {month: identity for month, identity in stated if identity is not None}
    periods = [] if table is None else sorted(str(each[PARTITION]) for each in table.partitions())
    stale = [month for month in sorted(months) if _committed(table, month) != _number(months[month]["sha256"])]
    removed = [month for month in periods if month not in months and _committed(table, month) != REMOVED]
    for month in stale:
        if _commit(place, month):
            yield month
    for month in removed:
        LOG.warning("%s: %s is not published any more; its rows are removed", place.address, month)
        if (table := place.open()) is not None:
            properties = _properties(month, REMOVED, {"month": month, "removed": True})
            interruptible(table.delete, f"{PARTITION} = '{month}'", commit_properties=properties)
        yield month


def _commit(place: _Place, month: str) -> bool:
    """Whether a commit was made: not where another machine made it meanwhile, or published the month anew."""
    from deltalake.exceptions import CommitFailedError

    for attempt in range(1, ATTEMPTS + 1):
        fetch_published(place.layout, f"{place.name}/period={month}")
        identity = place.identity(read_manifest(place.layout), month)
        table = place.open()
        if identity is None or _committed(table, month) == _number(identity["sha256"]):
            return False
        with place.published(month).open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != identity["sha256"]:
                continue  # exchanged by another run since the manifest was read
            try:
                interruptible(_write, place, file, table, identity)
            except CommitFailedError:
                if attempt == ATTEMPTS:
                    raise
                continue
        LOG.info("%s: committed %s", place.address, month)
        return True
    raise OSError(f"{place.published(month)} is not the file that manifest.json names; publish {month} again")


def _write(place: _Place, file: BinaryIO, known: "DeltaTable | None", identity: Mapping[str, Any]) -> None:
    from deltalake import WriterProperties, write_deltalake

    table, month = DELTA_TABLES[place.name], identity["month"]
    rows = _rows(file, table, month)
    columns = None if known is None else {each.name for each in known.schema().fields}
    write_deltalake(
        place.address if known is None else known,
        rows,
        mode="overwrite",
        predicate=None if known is None else f"{PARTITION} = '{month}'",
        partition_by=PARTITION,
        schema_mode=None if columns is None or columns >= set(rows.schema.names) else "merge",
        name=table.name.lower(),
        description=table.description,
        storage_options=place.options,
        writer_properties=WriterProperties(compression="ZSTD", compression_level=ZSTD_LEVEL),
        commit_properties=_properties(month, _number(identity["sha256"]), identity),
    )


def _rows(file: BinaryIO, table: Table, month: str) -> pa.RecordBatchReader:
    """The rows of a published file with the partition's column.

    Every column is nullable: rows of earlier versions have null in the columns that later ones add.
    """
    fields = [
        column.arrow.with_nullable(True).with_metadata({**column.arrow.metadata, "comment": column.description})
        for column in table
    ]
    schema = pa.schema([*fields, pa.field(PARTITION, pa.string())])

    def batches() -> Iterator[pa.RecordBatch]:
        with pq.ParquetFile(file) as published:
            there = set(published.schema_arrow.names)
            for batch in published.iter_batches(ROW_GROUP_ROWS):
                rows = batch.num_rows
                columns = [batch[each.name] if each.name in there else pa.nulls(rows, each.type) for each in fields]
                yield pa.RecordBatch.from_arrays([*columns, pa.repeat(month, rows)], schema=schema)

    return pa.RecordBatchReader.from_batches(schema, batches())


def _properties(month: str, number: int, identity: Mapping[str, Any]) -> "CommitProperties":
    """The manifest's identity of a month: for people in the commit, and for ``_committed`` in the table's own state."""
    from deltalake import CommitProperties, Transaction

    stated = {f"tic_rates.{key}": value for key, value in identity.items()}
    return CommitProperties(
        custom_metadata={**stated, "userMetadata": json.dumps(identity, sort_keys=True)},
        app_transactions=[Transaction(_transaction(month), number)],
    )


def _transaction(month: str) -> str:
    return f"tic-rates/{month}"


def _committed(table: "DeltaTable | None", month: str) -> int | None:
    """The number of the content that was committed last; None for never. Kept when the log is cleaned up."""
    return None if table is None else table.transaction_version(_transaction(month))


def _number(sha256: str) -> int:
    """The digest as a transaction's version, a signed number of 64 bits."""
    return int(sha256[:15], 16)


@contextmanager
def _explained(place: str) -> Iterator[None]:
    """Every error of the library as one that says what stands and what does not."""
    from deltalake.exceptions import DeltaError

    try:
        yield
    except (TicRatesError, DeltaError, OSError, ValueError) as error:
        text = redact_text(" ".join(str(error).split())[:300])
        raise DeltaCommitError(f"{place}: not committed: {type(error).__name__}: {text}") from None
