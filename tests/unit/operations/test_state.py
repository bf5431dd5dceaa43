"""The state of an output, from manifests and records made by hand: what counts, what runs, the metrics."""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from subprocess import run
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics

from flows.extract.outcome import UnresolvedReferences
from flows.operations.events import STEPS, next_step
from flows.operations.metrics import METRICS, metrics_written, render_metrics, write_metrics
from flows.operations.run_records import RunRecord, read_records, recorded_run
from flows.operations.state import OutputState, cache_size, read_state
from flows.orchestration.month_report import MonthReport
from flows.publish.delta import DeltaCommits
from flows.settings.values import EVENTS, Nightly
from flows.storage.layout import Layout
from flows.storage.locks import locked
from tests.shared_files import REPOSITORY
from transforms.errors import NothingUsableError

TODAY = date(2026, 6, 25)
GOOD = {
    "published_at": "2026-06-02T03:00:00+00:00",
    "rows": {"rates": 4},
    "rows_eligible": 3,
    "sources": {"matched": 2},
}
Write = Callable[..., Layout]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a manifest; the rest of the output is empty."""

    def write(**parts: Any) -> Layout:
        (tmp_path / "manifest.json").write_text(json.dumps(parts))
        return Layout.at(tmp_path, "")

    return write


def found(state: OutputState) -> list[tuple[str, str, str | None, bool]]:
    return [(each.month, each.what, each.subject, each.counts) for each in state.findings]


def test_old_troubles_are_shown_and_count_only_where_someone_can_end_them(write: Write) -> None:
    months = dict.fromkeys(("2026-01", "2026-05", "2026-06"), GOOD)
    months["2026-01"] = GOOD | {"withheld": {"Cigna": "few"}}
    stale = {key: {"Acme": "2025-11-30"} for key in months}
    state = read_state(write(months=months, stale=stale), TODAY)
    assert found(state) == [
        ("2026-06", "stale", "Acme", True),
        ("2026-05", "stale", "Acme", True),
        ("2026-01", "withheld", "Cigna", True),
        ("2026-01", "stale", "Acme", False),
    ]
    recent = read_state(write(months=months, stale={"2026-01": {"Acme": "2025-11-30"}}), TODAY)
    assert recent.exit_code == 3, "a withheld payer waits for a decision"
    del months["2026-01"]["withheld"]
    assert read_state(write(months=months, stale={"2026-01": {"Acme": "2025-11-30"}}), TODAY).exit_code == 0


@pytest.mark.parametrize(("day", "expect", "code"), [(20, 20, 0), (21, 20, 3), (21, 25, 0)])
def test_a_payer_is_late_after_the_day_of_the_configuration(write: Write, day: int, expect: int, code: int) -> None:
    layout = write(months={"2026-06": GOOD}, awaited={"2026-06": {"Acme": {"since": "2026-06-01", "reason": "404"}}})
    assert read_state(layout, date(2026, 6, day), Nightly(expect_by_day=expect)).exit_code == code


def test_a_run_that_is_at_work_and_one_that_was_killed(write: Write) -> None:
    layout, month = write(months={"2026-06": GOOD}), date(2026, 6, 1)
    with pytest.raises(KeyboardInterrupt), recorded_run(layout, month) as recorded:
        recorded.start()
        with locked(layout.month_lock(month)):
            (at_work,) = read_state(layout, TODAY).months
            assert (at_work.running, at_work.interrupted) == (True, False)
        state = read_state(layout, TODAY)
        assert (state.months[0].running, state.months[0].interrupted) == (False, True), "it holds no lock any more"
        assert (state.exit_code, found(state)) == (3, [("2026-06", "interrupted", None, True)])
        raise KeyboardInterrupt
    assert read_records(layout)["2026-06"].status == "stopped"
    assert read_state(layout, TODAY).months[0].interrupted


def test_a_record_says_why_a_run_failed_without_secrets_and_when_one_last_succeeded(write: Write) -> None:
    layout, month = write(months={"2026-06": GOOD}), date(2026, 6, 1)
    line = MonthReport(month, "unchanged").as_json()
    with recorded_run(layout, month) as recorded:
        recorded.start()
        recorded.finish(line)
    succeeded = read_records(layout)["2026-06"].finished_at
    with pytest.raises(NothingUsableError), recorded_run(layout, month) as recorded:
        recorded.start()
        raise NothingUsableError("403 for https://mrf.example.com/a.json?sig=5ecre7")
    record = read_records(layout)["2026-06"]
    assert (record.status, record.exit_code, record.succeeded_at) == ("failed", 4, succeeded)
    assert record.reason == "403 for https://mrf.example.com/a.json"
    assert read_state(layout, TODAY).months[0].failed == record.reason


def test_what_a_run_left_out_besides_payers_and_files_is_found(write: Write) -> None:
    layout, month = write(months={"2026-06": GOOD}), date(2026, 6, 1)
    report = MonthReport(month, "published", references=UnresolvedReferences(2, {"mrf.example.com": 2}))
    report.delta = DeltaCommits(failed="delta/summaries: disk full")
    report.references_failed = [("https://example.com/lcd.zip?sig=5ecre7", "404")]
    with recorded_run(layout, month) as recorded:
        recorded.start()
        recorded.finish(report.as_json())
    state = read_state(layout, TODAY)
    assert (state.exit_code, report.exit_code) == (3, 3)
    assert [(each.what, each.reason) for each in state.findings] == [
        ("coverage", "https://example.com/lcd.zip 404"),
        ("delta", "delta/summaries: disk full"),
        ("references", "2 because mrf.example.com failed"),
    ]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"month": "2026-06"}'])
def test_a_record_that_can_not_be_read_is_none(content: bytes) -> None:
    assert RunRecord.parse(content) is None


def test_a_record_of_a_later_version_is_read() -> None:
    stated = {"month": "2026-06", "status": "published", "started_at": "x", "host": "h", "pages": 7}
    assert RunRecord.parse(json.dumps(stated).encode()) == RunRecord("2026-06", "published", "x", "h")


def test_names_with_quotes_and_backslashes_are_escaped_in_metrics(write: Write) -> None:
    name = 'The "Blue" \\ Cross\nPlan'
    layout = write(months={"2026-06": GOOD | {"withheld": {name: "few"}}})
    text = render_metrics(read_state(layout, TODAY))
    families = {family.name: family for family in read_openmetrics(text)}  # type: ignore[no-untyped-call]
    assert families.keys() == {metric.full_name for metric in METRICS}
    (sample,) = families["tic_rates_attention"].samples
    assert sample.labels == {"output": str(layout.root), "month": "2026-06", "payer": name, "what": "withheld"}
    assert {family.type for family in families.values()} == {"gauge"}
    assert all(family.unit in ("", "seconds") for family in families.values())


def test_metrics_that_can_not_be_written_are_logged_and_fail_nothing(
    write: Write, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    layout = write(months={"2026-06": GOOD})
    with metrics_written(tmp_path / "manifest.json" / "x.prom", layout):
        pass
    assert "the metrics can't be written" in caplog.text
    write_metrics(tmp_path / "x.prom", read_state(layout, TODAY))
    assert (tmp_path / "x.prom").stat().st_mode & 0o044 == 0o044, "node_exporter runs as another user"


def test_the_cache_is_counted_with_all_its_folders(tmp_path: Path) -> None:
    for name, size in (("a/b/c", 5), ("a/d", 7), ("e", 11)):
        path = tmp_path / ".cache" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * size)
    (tmp_path / ".cache" / "loop").symlink_to(tmp_path)
    found = cache_size(Layout.at(tmp_path, ""))
    assert (found["files"], found["bytes"]) == (3, 23), "and a link to a folder is no file"


def test_every_event_and_finding_has_a_next_step_with_its_command() -> None:
    assert set(EVENTS) - set(STEPS) == {"partial"}, "which has that of what is missing"
    for what in STEPS:
        assert "{" not in next_step(what, "2026-06") + next_step(what, "2026-06", Path("tic-rates.toml"))
    assert "tic-rates.toml" in next_step("late", "2026-06", Path("tic-rates.toml"))


def test_status_needs_no_large_library(write: Write) -> None:
    layout = write(months={"2026-06": GOOD})
    large = ("polars", "pyarrow", "numpy", "prefect", "httpx", "rich", "pydantic", "obstore")
    program = (
        "import sys; from flows.cli.app import main; "
        f"assert main(['status', '--output', {str(layout.root)!r}]) == 0; "
        f"print([name for name in {large} if name in sys.modules])"
    )
    ended = run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines()[-1] == "[]"


def test_a_state_without_a_configuration_names_no_file(write: Write) -> None:
    state = read_state(write(months={"2026-06": GOOD | {"withheld": {"Cigna": "few"}}}), TODAY)
    assert "the same command again" in state.findings[0].next
    assert "--config a.toml" in replace(state, config=Path("a.toml")).findings[0].next


def test_editions_of_rules_that_stand_elsewhere_are_those_of_the_newest_publication(write: Write) -> None:
    editions = [
        {"kind": "article", "edition": "2026-06-07"},
        {"kind": "article", "edition": "2026-06-14"},
        {"kind": "mue", "edition": "2026-04-01"},
    ]
    references = read_state(write(months={"2026-06": GOOD | {"coverage": editions}}), TODAY).references
    assert references["coverage"] == {"article": "2026-06-14"}
    assert references["ncci"] == {"mue": "2026-04-01"}
