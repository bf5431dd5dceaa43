"""New addresses for files whose signatures expired, from the indexes that list them."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from threading import Lock

from flows.download.sources import Source
from flows.storage.redaction import redact_url
from transforms.errors import BadFileError

RenewUrl = Callable[[Source], str | None]  # the file's new address; None: the index lists no other
ReadIndex = Callable[[Source], Mapping[str, str]]  # the addresses that an index lists now, by the identities of files

KEPT_SECONDS = 300.0  # many files share one index: it is read once for all that expire together


@dataclass
class _Index:
    """One index as it was last read: its addresses, or why it could not be read."""

    lock: Lock = field(default_factory=Lock)
    read_at: float = -math.inf
    locations: Mapping[str, str] | str = ""


class UrlRenewals:
    """A ``RenewUrl`` that reads an index once for all of its files that expire together.

    An index is read without renewal: one that expired itself fails at once. Memory: the addresses of each index.
    """

    def __init__(self, read_index: ReadIndex, clock: Callable[[], float] = time.monotonic) -> None:
        self._read_index = read_index
        self._clock = clock
        self._lock = Lock()
        self._indexes: dict[object, _Index] = {}

    def __call__(self, source: Source) -> str | None:
        """The address now listed; None if the index lists no other.

        Raises:
            BadFileError: the index can't be read.
        """
        if source.contents is None:
            return None
        contents = replace(source, location=source.contents, contents=None)
        with self._lock:
            index = self._indexes.setdefault((contents.location, contents.headers, contents.origins), _Index())
        with index.lock:
            if self._clock() - index.read_at > KEPT_SECONDS:
                index.locations = self._read(contents)
                index.read_at = self._clock()
            locations = index.locations
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
