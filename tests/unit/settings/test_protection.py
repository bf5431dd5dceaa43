"""Limits as the environment sets them: checked, before the configuration, and reaching whatever reads."""

import json
from pathlib import Path

import pytest

from flows.cli.app import main
from flows.settings.config import fetching_of, limits_of, load_config
from flows.settings.values import Fetching
from transforms.errors import UsageError
from transforms.limits import LIMITS, Limits, environment_name, range_of

LONG = '{"reporting_entity_name": "Acme", "in_network": [], "x": "' + "x" * 1_100_000 + '"}'
GOOD = '{"reporting_entity_name": "Acme", "in_network": []}'
LOW = {"TIC_RATES_LIMITS_STRING_BYTES": "1_048_576"}


def test_every_limit_can_be_set_by_the_environment() -> None:
    lowest = {environment_name(name): str(range_of(name)[0]) for name in LIMITS}
    assert limits_of(lowest) == Limits(**{name: range_of(name)[0] for name in LIMITS})
    assert limits_of({"HOME": "/"}) == Limits()
    assert limits_of(LOW, Limits(nesting=9)) == Limits(nesting=9, string_bytes=1 << 20)


@pytest.mark.parametrize("text", ["", "abc", "-1", "0", "1.5", "1e9", "9" * 40, "_", "1048575", "²"])
def test_what_is_no_value_of_a_limit_is_refused_with_its_range(text: str) -> None:
    wanted = "TIC_RATES_LIMITS_STRING_BYTES: expected a whole number from 1,048,576 to 1,152,921,504,606,846,976, not "
    with pytest.raises(UsageError) as refused:
        limits_of({"TIC_RATES_LIMITS_STRING_BYTES": text})
    assert str(refused.value) == f"{wanted}{text[:40]!r}"


def test_a_variable_that_names_no_limit_is_refused() -> None:
    with pytest.raises(UsageError, match=r"TIC_RATES_LIMITS_STRING_BYTE: unknown limit; known are .*_STRING_BYTES"):
        limits_of({"TIC_RATES_LIMITS_STRING_BYTE": "1"})


def test_private_networks_are_allowed_by_the_environment_too() -> None:
    assert fetching_of({}).allow_private is False
    assert fetching_of({"TIC_RATES_HTTP_ALLOW_PRIVATE": "True"}).allow_private is True
    assert fetching_of({"TIC_RATES_HTTP_ALLOW_PRIVATE": "0"}, Fetching(allow_private=True)).allow_private is False
    with pytest.raises(UsageError, match="TIC_RATES_HTTP_ALLOW_PRIVATE: expected true or false, not 'yes'"):
        fetching_of({"TIC_RATES_HTTP_ALLOW_PRIVATE": "yes"})


def test_the_environment_goes_before_the_configuration_and_reaches_all_of_it(tmp_path: Path) -> None:
    path = tmp_path / "tic-rates.toml"
    path.write_text('[limits]\nstring_bytes = 2_000_000\nnesting = 2\n[[payer]]\nname = "A"\nfiles = ["x"]\n')
    config = load_config(path, LOW | {"TIC_RATES_HTTP_ALLOW_PRIVATE": "true"})
    assert config.fetching.bounds == Limits(nesting=2, string_bytes=1 << 20)
    assert config.fetching.allow_private
    with pytest.raises(UsageError, match="TIC_RATES_LIMITS_NESTING: expected a whole number from 1 to 20"):
        load_config(path, {"TIC_RATES_LIMITS_NESTING": "21"})


@pytest.mark.parametrize("engine", ["scan", "ijson"])
def test_inspect_is_held_to_them(
    engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "long.json"
    path.write_text(LONG)
    assert main(["inspect", str(path), "--reader", engine]) == 0
    for name, value in LOW.items():
        monkeypatch.setenv(name, value)
    capsys.readouterr()
    assert main(["inspect", str(path), "--reader", engine]) == 4
    assert "limit string_bytes is 1,048,576; to change it, set [limits] string_bytes" in capsys.readouterr().err


def test_a_run_quarantines_what_crosses_one_by_name_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, text in (("a.json", GOOD), ("b.json", LONG), ("c.json", GOOD + " ")):
        (tmp_path / name).write_text(text)
    for name, value in LOW.items():
        monkeypatch.setenv(name, value)
    words = [str(tmp_path / f"{name}.json") for name in "abc"]
    options = ["--month", "2025-06", "--output", str(tmp_path / "out"), "--no-report", "--json"]
    assert main(["run", *words, *options]) == 3
    told = json.loads(capsys.readouterr().out)
    assert told["sources"] == {"no_match": 2, "quarantined": 1}
    ((reason),) = [each["reason"] for each in told["quarantined"]]
    assert "limit string_bytes is 1,048,576; to change it, set [limits] string_bytes" in reason
