"""The run as a Prefect flow: the same steps as tasks, on the embedded server unless PREFECT_API_URL says otherwise.

Imported only when asked for: Prefect takes seconds to start. Flow parameters and run names carry no signed URL.
"""

import os
from collections.abc import Callable, Sequence

os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("PREFECT_LOGGING_EXTRA_LOGGERS", "flows,transforms")
# Prefect's own 20 seconds are not enough for the first run on a busy machine: it creates its database then
os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "180")

from prefect import flow, task
from prefect.task_runners import ThreadPoolTaskRunner

from flows.extracts import Outcome
from flows.layout import month_name
from flows.run import RunRequest, RunResult, Steps, run
from flows.sources import Source
from flows.workers import ExtractOne


def run_flow(request: RunRequest) -> RunResult:
    """``flows.run.run`` as a Prefect flow run."""

    @flow(
        name="tic-rates-month",
        flow_run_name="{month}",
        task_runner=ThreadPoolTaskRunner(max_workers=request.workers or os.cpu_count() or 1),  # type: ignore[arg-type]
        validate_parameters=False,
    )
    def month_flow(month: str, sources: list[str], codes: list[str]) -> RunResult:
        return run(request, Steps(_spread, _step))

    return month_flow(month_name(request.month), [source.name for source in request.sources], list(request.codes))


@task(name="extract", task_run_name="{name}", persist_result=False)
def _extract(name: str, source: Source, extract_one: ExtractOne) -> Outcome:
    return extract_one(source)


def _spread(sources: Sequence[Source], extract_one: ExtractOne, workers: int) -> list[Outcome]:
    if workers == 1:
        return [_extract(source.name, source, extract_one) for source in sources]  # in this thread: signals stop it
    futures = [_extract.submit(source.name, source, extract_one) for source in sources]
    return [future.result() for future in futures]


def _step(name: str, step: Callable[[], object]) -> None:
    task(name=name, persist_result=False)(step)()
