"""New addresses for files whose signatures expired, from the indexes that list them."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from threading import Lock

from flows.download.sources import Source
from flows.storage.redaction import redact_url
from transforms.errors import BadFileError

RenewUrl = Callable[[Source], str | None]  # the file's new address; None: there is none
ReadIndex = Callable[[Source], Mapping[str, str]]  # the addresses that an index lists now, by the identities of files

KEPT_SECONDS = 300.0  # many files share one index: it is read once for all that expire together


@dataclass
class _Index:
    """What one index said when it was last read: its files, or why it could not be read."""

    lock: Lock = field(default_factory=Lock)
    read: float = 0.0
    locations: Mapping[str, str] | None = None
    failure: str | None = None


class UrlRenewals:
    """A ``RenewUrl``: the location that a file's index lists now. Files of one index wait for one reading of it.

    An index is read without renewal: one that expired itself fails at once.
    Memory: the locations of each index.
    """

    def __init__(self, read_index: ReadIndex, clock: Callable[[], float] = time.monotonic) -> None:
        self._read_index = read_index
        self._clock = clock
        self._lock = Lock()
        self._indexes: dict[object, _Index] = {}

    def __call__(self, source: Source) -> str | None:
        """The location now listed; None where the index lists no other.

        Raises:
            BadFileError: the index can't be read.
        """
        if source.contents is None:
            return None
        contents = replace(source, location=source.contents, contents=None)
        with self._lock:
            index = self._indexes.setdefault((contents.location, contents.headers, contents.origins), _Index())
        with index.lock:
            if index.locations is None or self._clock() - index.read > KEPT_SECONDS:
                self._read(index, contents)
            if index.failure is not None:
                name = redact_url(contents.location)
                raise BadFileError(f"expired, and its table of contents {name} can't be read again: {index.failure}")
            assert index.locations is not None
            location = index.locations.get(source.identity)
        return None if location == source.location else location

    def _read(self, index: _Index, contents: Source) -> None:
        index.locations, index.failure = {}, None
        try:
            index.locations = self._read_index(contents)
        except BadFileError as error:
            index.failure = str(error)
        index.read = self._clock()
