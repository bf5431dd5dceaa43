"""A new address for a file whose signature expired, from the table of contents that lists it."""

import time
from collections.abc import Callable
from dataclasses import replace
from threading import Lock

from flows.fetching import Fetching
from flows.layout import Layout
from flows.sources import Source, redact
from transforms.errors import BadFileError

Renew = Callable[[Source], str | None]

KEPT_SECONDS = 300.0  # many files share one table of contents: it is read once for all that expire together

_lock = Lock()
_listed: dict[str, tuple[float, dict[str, str]]] = {}  # per table of contents: when it was read, location by identity


def renew_address(source: Source, fetching: Fetching | None = None, layout: Layout | None = None) -> str | None:
    """The location now listed for this file in ``source.contents``; None where it is missing or the same.

    Raises:
        BadFileError: the table of contents can't be read.
    """
    if source.contents is None:
        return None
    with _lock:
        read, locations = _listed.get(source.contents, (0.0, {}))
        if not locations or time.monotonic() - read > KEPT_SECONDS:
            locations = _read_contents(source, fetching, layout)
            _listed[source.contents] = (time.monotonic(), locations)
    location = locations.get(source.identity)
    return None if location == source.location else location


def _read_contents(source: Source, fetching: Fetching | None, layout: Layout | None) -> dict[str, str]:
    from flows.contents import Reach, sources_of

    assert source.contents is not None
    try:
        listed = sources_of(replace(source, location=source.contents), Reach(fetching, layout))
    except BadFileError as error:
        name = redact(source.contents)
        raise BadFileError(f"expired, and its table of contents {name} can't be read again: {error}") from None
    return {file.identity: file.location for file in listed.sources}
