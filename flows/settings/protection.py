"""Limits that the environment sets: for commands without a configuration, and before what a configuration says."""

import os
import re
from collections.abc import Mapping
from dataclasses import replace

from flows.settings.fetching import Fetching
from transforms.errors import UsageError
from transforms.limits import LIMITS, Limits, environment_name, range_of

ALLOW_PRIVATE = environment_name("allow_private", "http")
_WHOLE = re.compile(r"[0-9_]{1,30}")
_FLAGS = {"true": True, "1": True, "false": False, "0": False}


def limits_of(environ: Mapping[str, str] = os.environ, limits: Limits | None = None) -> Limits:
    """These limits, or the defaults, but for what ``TIC_RATES_LIMITS_...`` says.

    Raises:
        UsageError: a value that is none, or a variable that names no limit.
    """
    known = {environment_name(name): name for name in LIMITS}
    given = [variable for variable in sorted(environ) if variable.startswith(environment_name(""))]
    unknown = [variable for variable in given if variable not in known]
    if unknown:
        raise UsageError(f"{unknown[0]} names no limit; known are {', '.join(sorted(known))}")
    return replace(limits or Limits(), **{known[variable]: _whole(environ, variable, known) for variable in given})


def _whole(environ: Mapping[str, str], variable: str, known: Mapping[str, str]) -> int:
    low, high = range_of(known[variable])
    text = environ[variable].strip()
    value = int(text.replace("_", "") or -1) if _WHOLE.fullmatch(text) else -1
    if not low <= value <= high:
        raise UsageError(f"{variable}: a whole number from {low:,} to {high:,} is wanted, not {text[:40]!r}")
    return value


def fetching_of(environ: Mapping[str, str] = os.environ, fetching: Fetching | None = None) -> Fetching:
    """How to fetch, with the environment's limits."""
    fetching = fetching or Fetching()
    fetching = replace(fetching, bounds=limits_of(environ, fetching.bounds))
    if ALLOW_PRIVATE not in environ:
        return fetching
    text = environ[ALLOW_PRIVATE].strip().lower()
    if text not in _FLAGS:
        raise UsageError(f"{ALLOW_PRIVATE}: true or false is wanted, not {text[:40]!r}")
    return replace(fetching, allow_private=_FLAGS[text])
