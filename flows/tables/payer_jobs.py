"""One payer's tables as a job for another machine: all that they are built from, as a value that can be sent.

The extracts travel where that machine does not see the cache. Of the NPPES and utilization lookups only the rows of
the payer's own NPIs travel, always. Measured with 9 million generated records of NPPES: 9 kB for each thousand NPIs,
after 0.7 CPU seconds of a payer with 20,000 NPIs and 1.6 of one with a million, where the whole lookup has 69 MB.
"""

from dataclasses import dataclass, field, replace
from importlib.metadata import version
from io import BytesIO
from pathlib import Path

import polars as pl

from flows.extract.stored_tables import StoredTables
from flows.storage.code_versions import digest_of
from flows.storage.layout import Layout
from flows.storage.object_sync import require_files
from flows.tables.month_inputs import (
    MonthInputs,
    as_reference_groups,
    name_extracts,
    resolvable_extracts,
    rows_of,
)
from flows.tables.payer_builds import PayerBuild, PayerInputs, build_payer, payer_rules
from schemas.extracted import INLINE_GROUPS, REFERENCE_GROUPS
from schemas.reference import NPPES, UTILIZATION
from schemas.table import Table


@dataclass(frozen=True)
class PayerJob:
    """What one payer's tables are built from.

    extracts: names of the extracts, by source_no. nppes, utilization: Parquet, the lookups' rows of the payer's NPIs.
    files: by their paths in the cache; None: the cache has them. version: ``building_version``.
    """

    inputs: PayerInputs
    extracts: dict[int, str]
    nppes: bytes | None = field(repr=False)
    utilization: bytes | None = field(repr=False)
    files: dict[str, bytes] | None = field(repr=False)
    version: str


def building_version() -> str:
    """The version of what a job comes to, byte for byte: of our code, and of the libraries that write tables."""
    return digest_of(payer_rules(), version("polars"), version("pyarrow"))


def make_job(inputs: MonthInputs, own: PayerInputs, *, with_files: bool) -> PayerJob:
    """The job of one payer. Args: with_files: for a machine that does not see the cache."""
    layout, numbers = inputs.layout, own.documents["source_no"]
    files, folders = None, name_extracts(inputs.sources, numbers, layout)
    if with_files:
        paths = {*StoredTables(layout, folders).files(), *own.fetched.values()}
        files = {path.relative_to(layout.cache).as_posix(): path.read_bytes() for path in sorted(paths)}
    ours = set(folders)
    known = [source_id if number in ours else "" for number, source_id in enumerate(own.source_ids)]
    lookups = ((own.nppes, NPPES), (None if own.evidence is None else own.evidence.path, UTILIZATION))
    nppes, utilization = (
        None if lookup is None else _own_providers(own, lookup, table, folders, layout) for lookup, table in lookups
    )
    names = {number: folder.name for number, folder in folders.items()}
    job = PayerJob(own, names, nppes, utilization, files, building_version())
    return replace(job, inputs=replace(own, source_ids=known, nppes=None))


def _own_providers(own: PayerInputs, lookup: Path, table: Table, folders: dict[int, Path], layout: Layout) -> bytes:
    stored = StoredTables(layout, folders)
    tables = (rows_of(own.documents, stored.scan(each)) for each in (INLINE_GROUPS, REFERENCE_GROUPS))
    groups = (*tables, *as_reference_groups(own.fetched))
    npis = pl.concat([each.select("npi").explode("npi") for each in groups]).drop_nulls().unique()
    found = pl.scan_parquet(lookup).select(table.names).join(npis, on="npi", how="semi").collect()
    written = BytesIO()
    found.write_parquet(written)
    return written.getvalue()


def build_job(job: PayerJob, layout: Layout, scratch: Path) -> PayerBuild:
    """Build a payer's tables into the cache of ``layout``, from what the job holds and what that cache has.

    Args: scratch: a folder for the lookups, removed by the caller.
    """
    for name, data in (job.files or {}).items():
        path = layout.cache / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    nppes, evidence = None, job.inputs.evidence
    if job.nppes is not None:
        nppes = scratch / "nppes.parquet"
        nppes.write_bytes(job.nppes)
    if job.utilization is not None and evidence is not None:
        evidence = replace(evidence, path=scratch / "utilization.parquet")
        evidence.path.write_bytes(job.utilization)
    fetched = {grain: layout.remote / path.name for grain, path in job.inputs.fetched.items()}
    own = replace(job.inputs, nppes=nppes, evidence=evidence, fetched=fetched)
    folders = {number: layout.extracts / name for number, name in job.extracts.items()}
    require_files(layout, list(fetched.values()))
    return build_payer(own, resolvable_extracts(own, StoredTables(layout, folders)), layout)
