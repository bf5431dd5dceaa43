"""What a newcomer gets wrong, and reads first: one clear line and exit 2; an example in every help text."""

import re
import shlex
from pathlib import Path

import pytest

from flows.cli.app import main
from flows.cli.arguments import build_parser

COMMANDS = (
    *("run", "nightly", "backfill", "demo", "inspect", "reference", "reference nppes", "reference medicare"),
    *("report", "rvu", "serve"),
)


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The last line on stderr of a command that must exit with 2."""
    try:
        code = main(arguments)
    except SystemExit as stopped:  # argparse's own way
        code = stopped.code if isinstance(stopped.code, int) else 1
    printed = capsys.readouterr()
    assert code == 2
    assert printed.out == ""
    assert "Traceback" not in printed.err
    return printed.err.splitlines()[-1]


def helped(command: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as stopped:
        main([*command.split(), "--help"])
    assert stopped.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("", "the following arguments are required: COMMAND"),
        ("bogus", "invalid choice: 'bogus' (choose from 'run', "),
        ("run", "the following arguments are required: SOURCE"),
        ("run FILE --month 2025-13", "'2025-13' is no month; write it as 2025-06"),
        ("run FILE --month june", "'june' is no month; write it as 2025-06"),
        ("run FILE --codes 97026;97028", "not a billing code: '97026;97028'; give codes like 97026,97028"),
        ("run FILE --workers 0", "'0' is no whole number above zero"),
        ("run FILE --bogus", "unrecognized arguments: --bogus"),
        ("run nowhere", "nowhere: no such file or folder; check the path"),
        ("run ''", "SOURCE is empty; give a file, a folder, a glob or a URL, or . for the current folder"),
        (f"run {'x' * 5_000}", f"{'x' * 200}...: File name too long; check the path"),
        ("inspect ''", "SOURCE is empty; give a file"),
        ("run 'nowhere/*.gz'", "nowhere/*.gz: no file matches it; check the path"),
        ("run EMPTY", "the folder holds no file"),
        ("run ftp://host/file", "ftp://host/file: ftp:// is not supported; give http(s)://, s3:// or a path"),
        ("run FILE --nppes nowhere", "--nppes nowhere: no such file; give the built lookup, or CMS's zip or csv"),
        ("run FILE --nppes EMPTY", "is a folder; give the built lookup, or CMS's zip or csv"),
        ("run FILE --nppes FILE", "this is no NPPES npidata csv"),
        ("run FILE --nppes ZIP", "cut or damaged"),
        ("run FILE --output FILE", "Not a directory; give another --output"),
        ("inspect nowhere", "nowhere: no such file or folder; check the path"),
        ("inspect FOLDER", "2 files; inspect reads one"),
        ("reference", "the following arguments are required: KIND"),
        ("reference nppes nowhere", "nowhere: no such file"),
        ("reference nppes FILE --output OUT", "this is no NPPES npidata csv"),
        ("reference medicare --rvu nowhere --gpci FILE --year 2026", "nowhere: no such file"),
        ("reference medicare --rvu FILE --gpci FILE --year 26", "'26' is no year; write it as 2025"),
        ("serve --config nowhere", "nowhere: No such file or directory; name one with --config"),
        ("serve --port 70000", "'70000' is no port; write it as 4200"),
        ("rvu 97026 --state AK --year soon", "'soon' is no year; write it as 2025"),
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
    assert "nppes.csv: this is no NPPES npidata csv" in refused(["run", "rates.json", "--nppes", "nppes.csv"], capsys)
    assert not list((tmp_path / "output" / ".cache" / "extracts").iterdir())


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example_that_parses(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    example = re.search(r"^example: tic-rates (.*)$", helped(command, capsys), re.MULTILINE)
    assert example is not None
    assert example[1].startswith(command)
    build_parser().parse_args(shlex.split(example[1]))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_explained(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = helped(command, capsys).split("options:")[1]
    for option in re.split(r"^  (?=-)", text, flags=re.MULTILINE)[1:]:
        assert re.search(r"(\s{2,}|\n\s+)\w", option), option
