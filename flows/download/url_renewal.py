"""New addresses for files whose signatures expired, from the indexes that list them."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from threading import Lock

from flows.download.sources import Source
from flows.storage.redaction import redact_url
from transforms.errors import BadFileError

RenewUrl = Callable[[Source], str | None]  # the file's new address; None: the index lists no other
ReadIndex = Callable[[Source], Mapping[str, str]]  # the addresses that an index lists now, by the identities of files

KEPT_SECONDS = 300.0  # many files share one index: it is read once for all that expire together


class UrlRenewals:
    """A ``RenewUrl`` that reads an index once for all of its files that expire together.

    An index is read without renewal: one that expired itself fails at once. Memory: the addresses of each index.
    """

    def __init__(self, read_index: ReadIndex, clock: Callable[[], float] = time.monotonic) -> None:
        self._read_index = read_index
        self._clock = clock
        self._lock = Lock()
        self._indexes: dict[object, tuple[float, Mapping[str, str] | str]] = {}  # when read; addresses, or why not

    def __call__(self, source: Source) -> str | None:
        """The address now listed; None if the index lists no other.

        Raises:
            BadFileError: the index can't be read.
        """
        if source.contents is None:
            return None
        contents = replace(source, location=source.contents, contents=None)
        key = (contents.location, contents.headers, contents.origins)
        with self._lock:
            read_at, locations = self._indexes.get(key, (-math.inf, ""))
            if self._clock() - read_at > KEPT_SECONDS:
                locations = self._read(contents)
                self._indexes[key] = self._clock(), locations
        if isinstance(locations, str):
            name = redact_url(contents.location)
            raise BadFileError(f"expired, and its table of contents {name} can't be read again: {locations}")
        location = locations.get(source.identity)
        return None if location == source.location else location

    def _read(self, contents: Source) -> Mapping[str, str] | str:
        try:
            return self._read_index(contents)
        except BadFileError as error:
            return str(error)
