"""The steps as tasks, without a server: batches of files, their order and names, assets."""

from concurrent.futures import Future
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from prefect.futures import PrefectConcurrentFuture

from flows.download.sources import Source
from flows.extract.outcome import Outcome
from flows.orchestration import task_steps
from flows.orchestration.task_steps import TaskSteps, short_name, table_assets
from flows.settings.values import Cluster
from flows.storage.layout import Layout

MONTH = date(2025, 6, 1)


class Extract:
    """In the place of the task: does its work at once, and keeps the names."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def __call__(self, name: str, sources: list[Source], extract_one: Any, **_: Any) -> Any:
        self.names.append(name)
        outcomes = [extract_one(source) for source in sources]
        return SimpleNamespace(result=lambda **_: outcomes)

    def submit(self, name: str, sources: list[Source], extract_one: Any, **_: Any) -> PrefectConcurrentFuture[Any]:
        done: Future[Any] = Future()
        done.set_result(self(name, sources, extract_one))
        return PrefectConcurrentFuture(uuid4(), done)


@pytest.mark.parametrize("workers", [1, 2])
def test_twenty_thousand_small_files_are_some_hundred_tasks_with_outcomes_in_order(
    workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    extract = Extract()
    heard: list[tuple[int, int]] = []
    monkeypatch.setattr(task_steps, "extract_batch", extract)
    sources = [Source(f"https://mrf.example.com/{number}.json") for number in range(20_000)]
    steps = TaskSteps(MONTH, Cluster(), lambda done, total: heard.append((done, total)))
    outcomes = steps.spread(sources, lambda source: Outcome(source, "no_match"), workers)
    assert [outcome.source for outcome in outcomes] == sources
    assert 100 <= len(extract.names) < 200
    assert heard[0] == (200, 20_000)
    assert heard[-1] == (20_000, 20_000)
    assert extract.names[0] == "2025-06 batch 1: 200 files"


def test_a_task_is_named_by_month_and_the_last_part_of_its_source() -> None:
    assert short_name(Source("https://mrf.example.com/2025/06/rates.json.gz")) == "rates.json.gz"
    assert len(short_name(Source(f"https://mrf.example.com/{'x' * 300}.json"))) == task_steps.LONGEST_NAME


def test_the_published_tables_are_assets_keyed_by_their_folder(tmp_path: Path) -> None:
    assert {asset.key for asset in table_assets(Layout(tmp_path))} >= {f"{tmp_path.resolve().as_uri()}/summaries"}
