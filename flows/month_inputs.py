"""What a month is built from, as it lies in the cache: extract tables, and the remote provider references they cite."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import polars as pl

from flows.concealing import digest_kept, is_refused, shown
from flows.extracts import Outcome
from flows.layout import Layout
from flows.mirror import have_all
from flows.remote import RemoteReferences
from flows.sources import resolve_location
from schemas.extracted import EXTRACTED, REFERENCE_GROUPS, REFERENCES
from schemas.table import Table
from transforms.errors import UsageError
from transforms.resolve import REFERENCE_GRAIN, Extracts


def require(layout: Layout, paths: Sequence[Path]) -> None:
    """See that the files are here, brought from the store if need be.

    Raises:
        UsageError: one is nowhere.
    """
    absent = have_all(layout, paths)
    if absent:
        raise UsageError(f"{absent[0]}: gone from the cache, with {len(absent) - 1} more; run again with --force")


def bytes_of(paths: Iterable[Path]) -> int:
    """Of these files together."""
    return sum(path.stat().st_size for path in paths)


def table_in(folder: Path, table: Table) -> Path:
    """One of an extract's tables."""
    return folder / f"{table.name.lower()}.parquet"


def extract_folders(sources: Sequence[Outcome], numbers: pl.Series, layout: Layout) -> dict[int, Path]:
    """Where these sources' extract tables are, all of them here."""
    # by name: another machine's folder may stand elsewhere
    folders = {
        no: layout.extracts / folder.name
        for no in numbers.unique().sort().to_list()
        if (folder := sources[no].extract) is not None
    }
    require(layout, [table_in(folder, table) for folder in folders.values() for table in EXTRACTED])
    return folders


def load(folders: dict[int, Path], documents: pl.DataFrame) -> Extracts:
    """The extract tables of one payer's documents."""
    ours = documents.lazy()
    key = ["source_no", "document"]
    tables = {table.name: _scan(folders, table).join(ours.select(key), on=key, how="semi") for table in EXTRACTED}
    return Extracts(
        documents=ours,
        prices=tables["PRICES"],
        citations=tables["CITATIONS"],
        inline_groups=tables["INLINE_GROUPS"],
        references=tables["REFERENCES"],
        reference_groups=tables["REFERENCE_GROUPS"],
    )


def _scan(folders: dict[int, Path], table: Table) -> pl.LazyFrame:
    paths = {str(table_in(folder, table)): no for no, folder in folders.items()}
    no_of_path = pl.col("path").replace_strict(paths, return_dtype=pl.UInt32).alias("source_no")
    return pl.scan_parquet(list(paths), include_file_paths="path").with_columns(no_of_path).drop("path")


Fetched = dict[tuple[object, ...], Path]  # by REFERENCE_GRAIN: the Parquet of a remote reference's groups


def fetch_remote(sources: Sequence[Outcome], layout: Layout, remote: RemoteReferences) -> Fetched:
    """The cited references that hold no groups themselves, with what was fetched from their locations.

    Of all sources at once, so that the same hosts are given up whatever payers are built.
    """
    locations: dict[tuple[object, ...], str] = {}
    known: Fetched = {}
    for row in _remote_references(sources, layout):
        grain, stated, outcome = (
            tuple(row[name] for name in REFERENCE_GRAIN),
            row["location"],
            sources[row["source_no"]],
        )
        digest = digest_kept(stated)
        location = outcome.signed.get(stated) if digest else resolve_location(stated, outcome.source)
        if is_refused(stated) or (location is None and digest is None):
            remote.refuse(shown(stated))
        elif location is not None:
            locations[grain] = location
        elif (path := remote.had(str(digest), shown(stated))) is not None:
            known[grain] = path
    paths = remote.fetch(locations.values())
    return known | {grain: paths[location] for grain, location in locations.items() if location in paths}


def _remote_references(sources: Sequence[Outcome], layout: Layout) -> Iterator[dict[str, Any]]:
    """Rows of REFERENCES that have a location and no groups, with their source_no."""
    numbers = [no for no, outcome in enumerate(sources) if outcome.account.cites_remotely]
    folders = extract_folders(sources, pl.Series(numbers, dtype=pl.UInt32), layout) if numbers else {}
    for no, folder in folders.items():
        references = pl.scan_parquet(table_in(folder, REFERENCES))
        wanted = references.filter((pl.col("n_groups") == 0) & pl.col("location").is_not_null())
        yield from wanted.with_columns(source_no=pl.lit(no, pl.UInt32)).collect().iter_rows(named=True)


def contents_of(fetched: Fetched, sources: Sequence[Outcome]) -> list[str]:
    """Which content was had for which reference, whatever the sources' numbers are; sorted."""
    return sorted(
        f"{sources[cast('int', source_no)].source_id} {document} {reference_key} {ordinal}: {path.stem}"
        for (source_no, document, reference_key, ordinal), path in fetched.items()
    )


def as_reference_groups(fetched: Fetched) -> Iterator[pl.LazyFrame]:
    """Fetched provider groups as rows of REFERENCE_GROUPS."""
    columns = [*REFERENCE_GROUPS.names, "source_no"]
    for (source_no, document, reference_key, ordinal), path in fetched.items():
        yield (
            pl.scan_parquet(path)
            .with_columns(
                document=pl.lit(document, pl.Int32),
                ordinal=pl.lit(ordinal, pl.Int64),
                reference_key=pl.lit(reference_key),
                source_no=pl.lit(source_no, pl.UInt32),
            )
            .select(columns)
        )
