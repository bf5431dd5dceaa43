"""The steps of a run as tasks of the Prefect flow run that is going on.

Imported only where Prefect is used: Prefect takes seconds to start. Names of tasks carry the month and the last part of
a source's name, never a URL.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from contextlib import contextmanager
from datetime import date
from typing import Any, ParamSpec, TypeVar, cast

from prefect import task
from prefect.assets import Asset
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.futures import PrefectConcurrentFuture
from prefect.tasks import MaterializingTask, Task
from prefect.transactions import Transaction, transaction

from flows.download.sources import Source
from flows.extract.outcome import Outcome
from flows.extract.workers import ExtractOne, batch_sources
from flows.orchestration import steps
from flows.orchestration.dask_cluster import read_on_dask
from flows.orchestration.steps import Publication, Steps
from flows.publish.delta import commit_months
from flows.publish.publish import TABLES
from flows.settings.values import Cluster, ReadSettings
from flows.storage.layout import Layout, month_name
from flows.storage.log_lines import logged_stage
from flows.storage.threads import POLL_SECONDS

LONGEST_NAME = 60
OnProgress = Callable[[int, int], None]  # files done, files in all
Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")
_PUBLICATION = "publication"  # under this name in the transaction


# What every task is declared with: its result is small and stays in memory; files hold the rest
_OPTIONS: dict[str, Any] = {"persist_result": False, "cache_policy": NO_CACHE}


@task(name="extract", task_run_name="{name}", **_OPTIONS)
def extract_batch(name: str, sources: list[Source], extract_one: ExtractOne) -> list[Outcome]:
    """Outcomes of a batch of files, read one after the other."""
    return [extract_one(source) for source in sources]


extract_on_dask = Task(read_on_dask, name="extract on Dask", **_OPTIONS)
publish_tables = MaterializingTask(steps.publish_tables, name="publish", assets=[], **_OPTIONS)
TASKS: dict[Callable[..., Any], Task[..., Any]] = {
    step: Task(step, name=steps.stage_of(step), **_OPTIONS)
    for step in (steps.list_files, steps.normalise, steps.summarise, commit_months, steps.build_pages)
}


@publish_tables.on_rollback
def undo_publication(transaction: Transaction) -> None:
    """Put the month's previous tables back: a later step of the transaction failed."""
    steps.undo_publication(transaction.get(_PUBLICATION))


class TaskSteps(Steps):
    """The steps of one month as tasks, each after the ones before it.

    The flow's task runner must not limit its threads: ``spread`` does.
    """

    def __init__(self, month: date, cluster: Cluster, on_progress: OnProgress = lambda _done, _total: None) -> None:
        super().__init__(cluster)
        if cluster.dask:
            self.elsewhere = self._read_on_dask
        self._month = month_name(month)
        self._cluster, self._on_progress = cluster, on_progress
        self._before: list[State[Any]] = []

    def spread(self, sources: Sequence[Source], extract_one: ExtractOne, workers: int) -> list[Outcome]:
        """Outcomes in the order of sources; a task for each batch."""
        batches = batch_sources(sources, workers)
        named = [
            (f"{self._month} {short_name(*batch) if len(batch) == 1 else f'batch {number}: {len(batch)} files'}", batch)
            for number, batch in enumerate(batches, start=1)
        ]
        count = self._counter(len(sources))
        if workers > 1:
            states = self._submit(named, extract_one, workers, count)
        else:
            states = []
            for name, batch in named:  # in this thread: signals stop it
                states.append(extract_batch(name, batch, extract_one, return_state=True, wait_for=self._before))
                count(_result(states[-1]))
        self._before = states or self._before
        return [outcome for state in states for outcome in _result(state)]

    def _submit(
        self,
        named: Sequence[tuple[str, list[Source]]],
        extract_one: ExtractOne,
        workers: int,
        count: Callable[[list[Outcome]], None],
    ) -> list[State[Any]]:
        """States of as many tasks at a time as there are workers, so that a task shown as running is.

        Waits in short pieces: a signal that the system hands to another thread does not end a wait.
        """
        done: dict[int, State[Any]] = {}
        waiting = list(enumerate(named))[::-1]
        running: dict[int, PrefectConcurrentFuture[Any]] = {}
        while waiting or running:
            while waiting and len(running) < workers:
                number, (name, batch) = waiting.pop()
                given = {"name": name, "sources": batch, "extract_one": extract_one}
                future = extract_batch.submit(**given, return_state=False, wait_for=self._before)
                running[number] = cast("PrefectConcurrentFuture[Any]", future)  # our flows run their tasks in threads
            wait([future.wrapped_future for future in running.values()], POLL_SECONDS, FIRST_COMPLETED)
            for number in [number for number, future in running.items() if future.wrapped_future.done()]:
                state: Any = running.pop(number).wrapped_future.result()
                done[number] = state
                count(_result(done[number]))
        return [done[number] for number in range(len(named))]

    def call(self, step: Callable[Parameters, Result], *args: Parameters.args, **named: Parameters.kwargs) -> Result:
        """What a step returns, run as a task of its name and month."""
        with logged_stage(steps.LOG, steps.stage_of(step)):
            result: Result = self._call(TASKS[step], *args, **named)
        return result

    def _call(self, declared: Task[..., Any], *args: Any, **named: Any) -> Any:
        each: Any = declared.with_options(task_run_name=f"{declared.name} {self._month}")
        state = each(*args, **named, return_state=True, wait_for=self._before)
        result = _result(state)
        self._before = [state]
        return result

    @contextmanager
    def published(self, publication: Publication) -> Iterator[None]:
        """A transaction that publishes, each table as an asset; where the body fails, it is rolled back."""
        with transaction() as whole:
            whole.set(_PUBLICATION, publication)
            self._call(publish_tables.with_options(assets=table_assets(publication.layout)), publication)
            yield

    def _read_on_dask(self, sources: Sequence[Source], layout: Layout, settings: ReadSettings) -> list[Outcome]:
        """Outcomes in the order of sources; one task, since Dask shows what its workers do."""
        count = self._counter(len(sources))
        found: list[Outcome] = self._call(
            extract_on_dask, sources, layout, settings, cluster=self._cluster, on_outcomes=count
        )
        return found

    def _counter(self, total: int) -> Callable[[list[Outcome]], None]:
        done = 0

        def count(outcomes: list[Outcome]) -> None:
            nonlocal done
            done += len(outcomes)
            self._on_progress(done, total)

        return count


def short_name(source: Source) -> str:
    """The last part of a source's name, cut to what a page can show."""
    name = source.name.rstrip("/").rpartition("/")[2]
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"


def table_assets(layout: Layout) -> list[Asset]:
    """The published tables as Prefect assets, keyed by their folder's address."""
    where = layout.name_of(layout.root) if layout.store else layout.root.resolve().as_uri()
    return [Asset(key=f"{where.rstrip('/')}/{table}") for table in TABLES]


def _result(state: State[Any]) -> Any:
    finished: Any = state
    return finished.result(_sync=True)
