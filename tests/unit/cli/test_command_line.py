"""What a newcomer gets wrong, and reads first: one clear line and exit 2; an example in every help text."""

import json
import os
import re
import shlex
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import click
import pytest

from flows.cli.app import LIBRARIES, PROGRAM, main
from tests.documents import document, group, item, rate
from tests.json_text import json_bytes

REPOSITORY = Path(__file__).resolve().parents[3]
COMMANDS = (
    *("run", "nightly", "backfill", "demo", "inspect", "reference", "reference nppes", "reference medicare"),
    *("report", "rvu", "serve"),
)


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The last line on stderr of a command that must exit with 2."""
    code = main(arguments)
    printed = capsys.readouterr()
    assert code == 2
    assert printed.out == ""
    assert "Traceback" not in printed.err
    return printed.err.splitlines()[-1]


def helped(command: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert main([*command.split(), "--help"]) == 0
    return capsys.readouterr().out


def parse(words: list[str]) -> None:
    """Parse a command line without running it; a mistake is an error."""
    command: click.Command | None = PROGRAM
    while isinstance(command, click.Group):
        _, command, words = command.resolve_command(click.Context(command), words)
    assert command is not None
    command.make_context("tic-rates", words)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("", "tic-rates: Missing command; see tic-rates --help"),
        ("bogus", "tic-rates: No such command 'bogus'; see tic-rates --help"),
        ("run", "Missing argument 'SOURCE...'; see tic-rates run --help"),
        (
            "run FILE --month 2025-13",
            "'--month': expected YYYY-MM, for example 2025-06, not '2025-13'",
        ),
        ("run FILE --month june", "expected YYYY-MM, for example 2025-06, not 'june'; see tic-rates run --help"),
        ("run FILE --codes 97026;97028", "not a billing code: '97026;97028'; give codes like 97026,97028"),
        ("run FILE --workers 0", "Invalid value for '--workers': 0 is not in the range x>=1"),
        ("run FILE --bogus", "No such option '--bogus'"),
        ("run nowhere", "nowhere: no such file or folder; check the path"),
        ("run ''", "SOURCE is empty; give a file, a folder, a glob or a URL, or . for the current folder"),
        (f"run {'x' * 5_000}", f"{'x' * 200}...: File name too long; check the path"),
        ("inspect ''", "SOURCE is empty; give a file"),
        ("run 'nowhere/*.gz'", "nowhere/*.gz: no file matches it; check the path"),
        ("run EMPTY", "the folder holds no file"),
        ("run ftp://host/file", "ftp://host/file: ftp:// is not supported; give http(s)://, s3:// or a path"),
        ("run FILE --nppes nowhere", "--nppes nowhere: no such file; give the built lookup, or CMS's zip or csv"),
        ("run FILE --nppes EMPTY", "is a folder; give the built lookup, or CMS's zip or csv"),
        ("run FILE --nppes FILE", "not an NPPES npidata csv"),
        ("run FILE --nppes ZIP", "cut or damaged"),
        ("run FILE --output FILE", "Not a directory; give another --output"),
        ("inspect nowhere", "nowhere: no such file or folder; check the path"),
        ("inspect FOLDER", "2 files; inspect reads one"),
        ("reference", "Missing command; see tic-rates reference --help"),
        ("reference nppes nowhere", "nowhere: no such file"),
        ("reference nppes FILE --output OUT", "not an NPPES npidata csv"),
        ("reference medicare --rvu nowhere --gpci FILE --year 2026", "nowhere: no such file"),
        (
            "reference medicare --rvu FILE --gpci FILE --year 26",
            "expected YYYY, for example 2025, not '26'",
        ),
        ("serve --config nowhere", "nowhere: No such file or directory; name one with --config"),
        ("serve --port 70000", "Invalid value for '--port': 70000 is not in the range 0<=x<=65535"),
        ("rvu 97026 --state AK --year soon", "expected YYYY, for example 2025, not 'soon'"),
        ("rvu 97026 --state ZZ --year 2025", "no Medicare locality of 'ZZ' in 2025; there are: AK"),
        ("rvu 97026 --state AK --year 1999", "no fee schedule of 1999; loaded: 2020, "),
        ("rvu 99999 --state AK --year 2025", "code '99999' has no Medicare amount in 2025; priced: 97026, 97028"),
    ],
)
def test_wrong_usage_is_one_clear_line_and_exit_2(
    line: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("empty", "folder"):
        (tmp_path / folder).mkdir()
    for name in ("file", "folder/one", "folder/two"):
        (tmp_path / name).write_text('{"in_network": []}')
    (tmp_path / "zip").write_bytes(b"PK\3\4 and no more")
    places = {"FILE": "file", "FOLDER": "folder", "EMPTY": "empty", "ZIP": "zip", "OUT": "out"}
    assert says in refused([places.get(word, word) for word in shlex.split(line)], capsys)


def test_a_reference_that_cannot_be_read_is_told_before_any_source_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rates.json").write_text('{"in_network": []}')
    (tmp_path / "nppes.csv").write_text("a,b")
    assert "nppes.csv: not an NPPES npidata csv" in refused(["run", "rates.json", "--nppes", "nppes.csv"], capsys)
    assert not list((tmp_path / "output" / ".cache" / "extracts").iterdir())


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example_that_parses(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    example = re.search(r"^example: tic-rates (.*)$", helped(command, capsys), re.MULTILINE)
    assert example is not None
    assert example[1].startswith(command)
    parse(shlex.split(example[1]))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_explained(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = helped(command, capsys).split("Options:")[1]
    for option in re.split(r"^  (?=-)", text, flags=re.MULTILINE)[1:]:
        assert re.search(r"(\s{2,}|\n\s+)\w", option), option


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == f"tic-rates {version('tic-rates')}"


def test_a_usage_error_with_json_is_one_json_line_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--json"]) == 2
    line = json.loads(capsys.readouterr().out)
    assert line == {"error": "Missing argument 'SOURCE...'; see tic-rates run --help", "exit_code": 2}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_installed_for_the_users_shell(
    shell: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SHELL", f"/usr/bin/{shell}")
    assert main(["--install-completion"]) == 0
    place, _, step = capsys.readouterr().out.partition(": ")
    assert "start a new shell" in step
    assert "_TIC_RATES_COMPLETE" in Path(place).read_text(encoding="utf-8")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [Path(place)]


def test_completion_for_another_shell_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SHELL", "/bin/tcsh")
    assert "set it to one of bash, zsh, fish" in refused(["--install-completion"], capsys)


def test_the_shell_is_given_commands_and_options(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for typed, word in (("tic-rates ni", "nightly"), ("tic-rates run --no-r", "--no-report")):
        monkeypatch.setenv("_TIC_RATES_COMPLETE", "bash_complete")
        monkeypatch.setenv("COMP_WORDS", typed)
        monkeypatch.setenv("COMP_CWORD", str(len(typed.split()) - 1))
        main([])
        assert f"plain,{word}" in capsys.readouterr().out


def test_help_and_wrong_usage_import_none_of_the_heavy_libraries() -> None:
    code = "import sys; from flows.cli.app import main; main(['--help']); print(*sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=REPOSITORY)
    heavy = {"polars", "prefect", "pyarrow", "numpy", "pydantic", "rich", "httpx"}
    assert not heavy & set(ended.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(("name", "value"), LIBRARIES.items())
@pytest.mark.parametrize("given", [None, "2"])
def test_a_command_sets_up_its_libraries_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, given: str | None
) -> None:
    monkeypatch.setenv(name, given or "")
    if given is None:
        monkeypatch.delenv(name)
    assert main(["--version"]) == 0
    assert os.environ[name] == (given or value)


def test_a_run_imports_none_of_the_libraries_that_it_does_not_need(tmp_path: Path) -> None:
    source = tmp_path / "small.json"
    source.write_bytes(json_bytes(document(item(rate(group(1003000126))))))
    words = ["run", str(source), "--month", "2026-06", "--no-report", "--json", "--output", str(tmp_path / "output")]
    code = f"import sys; from flows.cli.app import main; main({words!r}); print(*sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=REPOSITORY)
    heavy = {"pandas", "prefect", "pydantic", "httpx", "obstore", "distributed", "fastexcel", "jinja2"}
    heavy |= {"multiprocessing.resource_tracker"}  # a process of its own
    assert not heavy & set(ended.stdout.splitlines()[-1].split())
