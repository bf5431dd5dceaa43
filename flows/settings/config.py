"""`tic-rates.toml` read and checked, and the limits that environment variables set, which override it.

pydantic is imported only to read a file. Each error names the file and the key path; none shows a secret.
"""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

from flows.settings.values import Config, Fetching
from transforms.errors import UsageError
from transforms.limits import LIMITS, Limits, environment_name, range_of

ALLOW_PRIVATE = environment_name("allow_private", "http")
_FLAGS = {"true": True, "1": True, "false": False, "0": False}


def load_config(path: Path, environ: Mapping[str, str] = os.environ) -> Config:
    """Read and check a configuration; environment variables override its limits.

    Raises:
        UsageError: one line ``tic-rates.toml: payer[0].name: what is wrong; what to write`` for each thing wrong.
    """
    try:
        written = tomllib.loads(_read(path))
    except RecursionError:
        raise UsageError(f"{path}: nested too deeply") from None
    except ValueError as error:  # TOMLDecodeError, and Python's own for numbers of thousands of digits
        raise UsageError(f"{path}: not TOML: {error}") from None
    from flows.settings.validation import read_settings

    config = read_settings(written, path, environ)
    return replace(config, fetching=fetching_of(environ, config.fetching))


def example_text() -> str:
    """The whole configuration with every key explained: what `tic-rates nightly --example` prints."""
    return files("flows.settings").joinpath("example.toml").read_text(encoding="utf-8")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{path}: line {line} is not UTF-8 text; save the file as UTF-8") from None
    except OSError as error:
        hint = "name one with --config, or write one from `tic-rates nightly --example`"
        raise UsageError(f"{path}: {error.strerror}; {hint}") from None


def limits_of(environ: Mapping[str, str] = os.environ, limits: Limits | None = None) -> Limits:
    """These limits, or the defaults, except those that ``TIC_RATES_LIMITS_...`` sets.

    Raises:
        UsageError: an invalid value, or a variable of an unknown limit.
    """
    known = {environment_name(name): name for name in LIMITS}
    chosen = {}
    for variable in sorted(name for name in environ if name.startswith(environment_name(""))):
        if variable not in known:
            raise UsageError(f"{variable}: unknown limit; known are {', '.join(sorted(known))}")
        chosen[known[variable]] = _whole_number(variable, environ[variable], *range_of(known[variable]))
    return replace(limits or Limits(), **chosen)


def _whole_number(variable: str, text: str, low: int, high: int) -> int:
    try:
        value = int(text)
    except ValueError:
        value = -1
    if not low <= value <= high:
        raise UsageError(f"{variable}: expected a whole number from {low:,} to {high:,}, not {text[:40]!r}")
    return value


def fetching_of(environ: Mapping[str, str] = os.environ, fetching: Fetching | None = None) -> Fetching:
    """How to fetch, with the environment's limits."""
    fetching = fetching or Fetching()
    fetching = replace(fetching, bounds=limits_of(environ, fetching.bounds))
    if ALLOW_PRIVATE not in environ:
        return fetching
    text = environ[ALLOW_PRIVATE].strip().lower()
    if text not in _FLAGS:
        raise UsageError(f"{ALLOW_PRIVATE}: expected true or false, not {text[:40]!r}")
    return replace(fetching, allow_private=_FLAGS[text])
