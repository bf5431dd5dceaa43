"""The steps of a month: functions of paths and frozen values, which a run calls, or runs as Prefect tasks.

Each may be run again with the same arguments: what it builds stands in the cache, or replaces what it wrote before.
"""

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, ParamSpec, TypeVar

from flows.download.sources import Source, sha256_of
from flows.extract.outcome import Outcome
from flows.extract.payer_listing import PayerListing, list_payer
from flows.extract.worker_processes import separate_process
from flows.extract.workers import ExtractOne, ReadElsewhere
from flows.orchestration.dask_cluster import build_on_dask, read_on_dask
from flows.publish.delta import DELTA_TABLES
from flows.publish.gates import Earlier, apply_gates
from flows.publish.manifest import now
from flows.publish.publish import PublicationConflictError, publish_month
from flows.publish.published_month import Baseline
from flows.settings.values import Cluster, Gates, PayerSource, ReadSettings
from flows.storage.layout import Layout, month_name
from flows.storage.log_lines import logged_stage
from flows.storage.resource_errors import explain_resource_errors
from flows.storage.threads import map_in_threads
from flows.tables.month_inputs import MonthInputs
from flows.tables.month_tables import BuildElsewhere, MonthBuilder, build_payers
from flows.tables.payer_builds import PayerBuild

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")
LISTINGS_AT_ONCE = 4
HERE = Cluster()
REPLACED = "replaced.json"
_STAGES = {"list_files": "list files", "publish_tables": "publish", "commit_months": "delta", "build_pages": "report"}
LOG = logging.getLogger(__name__)


def stage_of(step: Callable[..., Any]) -> str:
    """The name of a step in log lines and in Prefect."""
    return _STAGES.get(step.__name__, step.__name__)


class Steps:
    """Runs the steps as plain calls. ``flows.orchestration.task_steps.TaskSteps`` runs them as Prefect tasks."""

    elsewhere: ReadElsewhere | None = None  # files are read, and payers' tables built, on other machines instead
    build_elsewhere: BuildElsewhere | None = None

    def __init__(self, cluster: Cluster = HERE) -> None:
        if cluster.dask:
            self.elsewhere = partial(read_on_dask, cluster=cluster)
            self.build_elsewhere = partial(build_on_dask, cluster=cluster)

    def spread(self, sources: Sequence[Source], extract_one: ExtractOne, workers: int) -> list[Outcome]:
        """Outcomes in the order of sources, so many of which are read at a time."""
        return map_in_threads(sources, extract_one, workers)

    def call(self, step: Callable[Parameters, Result], *args: Parameters.args, **named: Parameters.kwargs) -> Result:
        """What a step of this module returns."""
        with logged_stage(LOG, stage_of(step)):
            return step(*args, **named)

    @contextmanager
    def published(self, publication: "Publication") -> Iterator[None]:
        """Publish; where the body fails, undo it."""
        self.call(publish_tables, publication)
        try:
            yield
        except BaseException:
            undo_publication(publication)
            raise


def list_files(
    payers: Sequence[PayerSource], month: date, layout: Layout, settings: ReadSettings
) -> list[PayerListing]:
    """The month's files of each payer, in order of their names."""
    one = partial(list_payer, month=month, layout=layout, settings=settings)
    return sorted(map_in_threads(payers, one, LISTINGS_AT_ONCE), key=lambda listing: listing.payer)


def normalise(inputs: MonthInputs, elsewhere: BuildElsewhere | None = None) -> list[PayerBuild]:
    """Where each payer's rates and observations are in the cache, and its figures.

    Args: elsewhere: builds on other machines instead of this one.
    """

    with separate_process() as process:
        return build_payers(inputs, process, elsewhere)


def summarise(
    inputs: MonthInputs,
    builds: Sequence[PayerBuild],
    folder: Path,
    baseline: Baseline | None = None,
    gates: Gates | None = None,
    earlier: Earlier = ("", MappingProxyType({})),
) -> dict[str, Any]:
    """What the manifest says of the month's tables, which are written under ``folder``.

    Args:
        baseline: what is published of the month already, and stays where a payer fails a gate or was not read.
        gates: those of the configuration.
        earlier: the month published before, with which the gates compare.
    """

    with explain_resource_errors("summarising the month", inputs.layout.staging), separate_process() as process:
        builder = MonthBuilder(inputs, builds, folder, process, baseline)
        if gates is not None and baseline is not None:
            apply_gates(builder, gates, baseline, earlier)
        builder.summarise()
    groups, entities = builder.groups, builder.reporting_entities
    unresolved = {} if baseline is None else baseline.unresolved
    return {
        "nppes": inputs.nppes_identity,
        "medicare_year": inputs.medicare_year,
        "localities": inputs.localities_edition,
        "utilization": inputs.utilization_identity,
        "coverage": inputs.coverage_identity,
        "rows": builder.rows,
        "rows_eligible": builder.eligible,
        "unresolved_locations": inputs.unresolved_locations | unresolved,
        "references": inputs.unresolved_references.as_json(),
        "payers": {
            payer: build.as_json()
            | {"groups": sorted(groups.get(payer, ())), "reporting_entities": entities.get(payer, [])}
            for payer, build in builder.builds.items()
        },
        "withheld": builder.withheld,
        "sha256": {name: sha256_of(folder / name / f"{name}.parquet") for name in DELTA_TABLES},
    }


@dataclass(frozen=True)
class Publication:
    """A month's tables, built under ``folder``, and the manifest's entry of them.

    since: when the month that this one was compared with was published, None for never; "": it does not matter.
    """

    layout: Layout
    month: date
    folder: Path
    entry: Mapping[str, Any]
    since: str | None = ""

    def note(self, manifest: dict[str, Any]) -> None:
        """Put the entry into the manifest; the one that it replaces is kept beside the tables that it replaces.

        Raises:
            PublicationConflictError: the month was published once more since.
        """
        name = month_name(self.month)
        replaced = manifest["months"].get(name, {})
        if self.since not in ("", replaced.get("published_at")):
            raise PublicationConflictError(f"{name} was published by another run since this one began")
        (self.folder / REPLACED).write_text(json.dumps(replaced))
        manifest["months"][name] = self.entry
        manifest["failures"].pop(name, None)
        manifest["publishing"] = [other for other in manifest["publishing"] if other != name]

    def note_undone(self, manifest: dict[str, Any]) -> None:
        """Put the replaced entry back.

        Raises:
            PublicationConflictError: the month was published once more since; that publication stays.
        """
        name = month_name(self.month)
        if manifest["months"].get(name, {}).get("published_at") != self.entry["published_at"]:
            raise PublicationConflictError(f"{name} was published by another run since; it stays")
        replaced = json.loads((self.folder / REPLACED).read_text())
        del manifest["months"][name]
        if replaced:
            manifest["months"][name] = replaced | {"published_at": now()}  # readers notice that tables came and went
        manifest["publishing"] = [other for other in manifest["publishing"] if other != name]


def publish_tables(publication: Publication) -> None:
    """Nothing: readers see the month's tables, all of them at once; those replaced are in the publication's folder."""
    layout = publication.layout
    with explain_resource_errors("publishing the month", layout.root):
        publish_month(layout, publication.month, publication.folder, publication.note)


def undo_publication(publication: Publication) -> None:
    """Nothing: readers see the month's previous tables again, and no month where there were none."""
    layout, month = publication.layout, publication.month
    publish_month(layout, month, publication.folder, publication.note_undone)


def build_pages(layout: Layout) -> None:
    """Nothing: the report's pages show what is published now.

    Raises:
        OutOfResourcesError, UsageError: they can't be written; the old ones and the tables stand, the text says so.
    """
    from flows.report.report import build_report

    build_report(layout)
