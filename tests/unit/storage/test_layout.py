"""The place of the cache, and the current month."""

import pickle
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from flows.storage.layout import Layout, this_month
from tests.command_line import call
from tests.documents import ANN, document, group, item, rate
from tests.json_text import json_bytes


def test_the_cache_is_where_the_environment_stated_when_the_layout_was_created(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIC_RATES_CACHE", str(tmp_path / "cache"))
    layout = Layout.at(tmp_path / "out")
    monkeypatch.setenv("TIC_RATES_CACHE", str(tmp_path / "another"))
    assert layout.cache == pickle.loads(pickle.dumps(layout)).cache == tmp_path / "cache"
    monkeypatch.delenv("TIC_RATES_CACHE")
    without = Layout.at(tmp_path / "out")
    monkeypatch.setenv("TIC_RATES_CACHE", str(tmp_path / "another"))
    assert without.cache == pickle.loads(pickle.dumps(without)).cache == tmp_path / "out" / ".cache"


@pytest.mark.parametrize(
    ("timezone", "month"),
    [("UTC", date(2026, 12, 1)), ("America/New_York", date(2026, 11, 1)), ("Pacific/Kiritimati", date(2026, 12, 1))],
)
def test_this_month_is_that_of_the_time_zone(timezone: str, month: date) -> None:
    assert this_month(timezone, datetime(2026, 12, 1, 2, 0, tzinfo=UTC)) == month


def test_nightly_uses_the_month_of_the_configured_time_zone_and_run_that_of_utc(
    tmp_path: Path, today: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "mrf.json"
    source.write_bytes(json_bytes(document(item(rate(group(ANN))))))
    config = tmp_path / "tic-rates.toml"
    schedule = '[schedule]\ntimezone = "Asia/Tokyo"'
    config.write_text(f'output = "{tmp_path}/out"\n{schedule}\n[[payer]]\nname = "Aetna"\nfiles = ["{source}"]\n')
    today("2026-11-30T20:00")
    assert call(capsys, "nightly", "--config", config, "--json").json_line["month"] == "2026-12"
    assert call(capsys, "run", source, "--output", tmp_path / "run", "--json").json_line["month"] == "2026-11"
