"""`tic-rates.toml` read and checked.

pydantic is imported only to read a file. Each error names the file and the key path; none shows a secret.
"""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

from flows.settings.protection import fetching_of
from flows.settings.values import Config
from transforms.errors import UsageError


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
