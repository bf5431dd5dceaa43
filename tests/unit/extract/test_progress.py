"""The progress line: what it shows, and that it is not shown without a terminal."""

import io

import pytest

from flows.extract.progress import add, make_counters, make_line, shown


class Terminal(io.StringIO):
    """Text written to a terminal."""

    def isatty(self) -> bool:
        return True


def test_the_line_shows_bytes_files_and_matches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "160")
    terminal, counters = Terminal(), make_counters()
    with make_line(counters, 40, 4_000_000, terminal):
        add(counters, 1_000_000, 3_000_000, 1_234)
        add(counters, 0, 0, 0, 3)
    assert "1.0/4.0 MB" in terminal.getvalue()
    assert "MB/s of JSON, 3/40 files, 1,234 matches" in terminal.getvalue()


def test_nothing_is_shown_where_stderr_is_not_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with shown(make_counters(), 1, 1):
        pass
    assert capsys.readouterr().err == ""
