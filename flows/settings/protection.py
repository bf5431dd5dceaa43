"""Limits that environment variables set. They also override those of a configuration."""

import os
from collections.abc import Mapping
from dataclasses import replace

from flows.settings.fetching import Fetching
from transforms.errors import UsageError
from transforms.limits import LIMITS, Limits, environment_name, range_of

ALLOW_PRIVATE = environment_name("allow_private", "http")
_FLAGS = {"true": True, "1": True, "false": False, "0": False}


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
