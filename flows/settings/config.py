"""`tic-rates.toml`, read and checked: which payers are read, from where and how, and what must hold for publication.

Each error names the file and the key; none shows a secret.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

from flows.settings.protection import fetching_of
from flows.settings.values import Config, Gates, PayerSource, asks_for_month, fill_month
from transforms.errors import UsageError

__all__ = ["Config", "Gates", "PayerSource", "asks_for_month", "example_text", "fill_month", "load_config"]


def load_config(path: Path, environ: Mapping[str, str] = os.environ) -> Config:
    """Read and check a configuration; limits that the environment sets go before.

    Raises:
        UsageError: one line ``tic-rates.toml: payer[0].name: what is wrong; what to write`` for each thing wrong.
    """
    text = _read(path)
    try:
        written = tomllib.loads(text)
    except RecursionError:
        raise UsageError(f"{path}:1: nested too deeply") from None
    except ValueError as error:  # TOMLDecodeError, and Python's own for numbers of thousands of digits
        raise UsageError(_placed(path, str(error), text)) from None
    from flows.settings.validation import read_settings  # imports pydantic, which workers do without

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
        raise UsageError(f"{path}:{line}: not UTF-8 text; save it as UTF-8") from None
    except OSError as error:
        hint = "name one with --config, or write one from `tic-rates nightly --example`"
        raise UsageError(f"{path}: {error.strerror}; {hint}") from None


def _placed(path: Path, message: str, text: str) -> str:
    """tomllib's message with its line where our messages have theirs."""
    match = re.fullmatch(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", message, re.DOTALL)
    if match is None:
        return f"{path}:1: not TOML: {message}"
    line, column = match[2] or text.count("\n") + 1, f" (column {match[3]})" if match[3] else ""
    return f"{path}:{line}: not TOML: {match[1]}{column}"
