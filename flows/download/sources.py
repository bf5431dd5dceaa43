"""One thing to read as a value: its address, its name without secrets, and its bytes as a stream that is hashed."""

import hashlib
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Full, Queue
from threading import Thread
from typing import BinaryIO
from urllib.parse import urljoin, urlsplit
from weakref import finalize

from flows.download.http_validators import Validators
from flows.settings.addresses import is_object_url
from flows.storage.redaction import has_scheme, is_plain_url, redact_url
from transforms.contents.signatures import own_query
from transforms.errors import BadFileError

_QUERY = re.compile(r"[?#]")


@dataclass(frozen=True, order=True, slots=True)
class Source:
    """One thing to read. ``location`` may carry a signature or credentials: print ``name`` instead."""

    location: str
    payer: str | None = field(default=None, compare=False)  # the configuration's name; fills in a missing header name
    contents: str | None = field(default=None, compare=False, repr=False)  # the table of contents that lists it
    headers: tuple[tuple[str, str], ...] = field(default=(), compare=False, repr=False)  # sent when it is fetched
    origins: tuple[str, ...] = field(default=(), compare=False, repr=False)  # that get them; none: its own alone
    listed_bytes: int = field(default=0, compare=False, repr=False)  # of an object, as its folder lists it

    def __repr__(self) -> str:
        return f"Source({self.name!r})"

    @property
    def is_url(self) -> bool:
        """Whether it is fetched rather than opened."""
        return has_scheme(self.location)

    @property
    def name(self) -> str:
        """Path or URL without query, fragment and credentials; of a path, bytes that are not UTF-8 are escaped."""
        return redact_url(self.location).encode("utf-8", "backslashreplace").decode()

    @property
    def identity(self) -> str:
        """What tells it from other sources: an absolute path or a whole URL; may be secret.

        Of a URL that a table of contents lists, without what signs it: that changes while the file stays.
        """
        if not self.is_url:
            return str(Path(self.location).absolute())
        if self.contents is None or is_object_url(self.location):
            return self.location
        return redact_url(self.location) + own_query(self.location)

    @property
    def digest(self) -> str:
        """The sha256 of ``identity``, under which the cache keeps what is known of the source."""
        return hashlib.sha256(self.identity.encode("utf-8", "surrogatepass")).hexdigest()

    @property
    def size(self) -> int:
        """Bytes of a local file or a listed object; 0 when unknown."""
        try:
            return self.listed_bytes if self.is_url else Path(self.location).stat().st_size
        except OSError:
            return 0


def distinct_names(sources: Iterable[Source]) -> dict[Source, str]:
    """The sources' names; those that differ in their query alone are told apart by a piece of their digests."""
    named = {source: source.name for source in sources}
    digests: dict[str, set[str]] = {}
    for source, name in named.items():
        digests.setdefault(name, set()).add(source.digest)
    return {
        source: name if len(digests[name]) == 1 else f"{name} (query {source.digest[:8]})"
        for source, name in named.items()
    }


def origin_of(location: str) -> str | None:
    """Scheme, host and port of a URL."""
    if not has_scheme(location):
        return None
    parts = urlsplit(redact_url(location))
    return f"{parts.scheme}://{parts.netloc}"


def resolve_location(location: str, base: Source) -> str | None:
    """A ``location`` as an absolute URL or path; relative ones belong beside the file that states them.

    None: it points where a payer's file has no business (another scheme, or out of the folder of a file or object), or
    nowhere.
    """
    location = location.strip()
    if is_plain_url(location):
        return location
    try:
        return _resolved(location, base)
    except (ValueError, OSError):  # no address at all, or no path that a file system takes
        return None


def _resolved(location: str, base: Source) -> str | None:
    if is_object_url(base.location):
        return _resolve_beside_object(location, base.location)
    if base.is_url:
        absolute = urljoin(base.location, location)
        return absolute if _is_web_address(absolute) else None
    if "://" in location:
        return location if _is_web_address(location) else None
    without_query = _QUERY.split(location)[0]  # which a path has only where it is part of a file's name
    return _file_beside(location, base) or _file_beside(without_query, base)


def _file_beside(location: str, base: Source) -> str | None:
    folder = Path(base.location).absolute().parent
    target = (folder / location).resolve()
    return str(target) if location and target.is_relative_to(folder.resolve()) and target.is_file() else None


def _is_web_address(location: str) -> bool:
    parts = urlsplit(location)
    return parts.scheme in ("http", "https") and bool(parts.hostname)  # https:/rates.json would be a path


def _resolve_beside_object(location: str, base: str) -> str | None:
    if urlsplit(location).scheme in ("http", "https"):
        return location
    folder = base.rpartition("/")[0] + "/"
    inside = location.removeprefix(folder)
    parts = [part for part in inside.split("/") if part != "."]
    return None if "://" in inside or any(part in ("", "..") for part in parts) else folder + "/".join(parts)


class HashingStream:
    """Passes bytes on, taking their sha256 and count, and telling progress.

    The sha256 of a large file is taken in a thread of its own: it takes a third of the time that inflating takes.
    Memory: ``_AHEAD`` chunks as the reader takes them.
    """

    def __init__(self, raw: BinaryIO, announced: int | None = None) -> None:
        self._raw = raw
        self._digest = hashlib.sha256()
        self._queue: Queue[bytes | None] | None = None
        self._thread: Thread | None = None
        self.announced = announced
        self.bytes = 0

    @property
    def validators(self) -> Validators:
        """What a server says the content is known by; nothing for other sources."""
        return Validators()

    def read(self, size: int = -1) -> bytes:
        """As a file's ``read``."""
        try:
            data = self._raw.read(size)
        except OSError as error:
            raise BadFileError(f"can't be read beyond byte {self.bytes:,}: {error.strerror or error}") from error
        self.bytes += len(data)
        if self._queue is None and self.bytes > _HASH_ASIDE_FROM_BYTES:
            self._queue = Queue(_AHEAD)
            self._thread = Thread(target=_hash, args=(self._queue, self._digest), name="sha256", daemon=True)
            self._thread.start()
            finalize(self, _stop, self._queue)
        if self._queue is None:
            self._digest.update(data)
        else:
            self._queue.put(data)
        return data

    def finish(self) -> str:
        """The sha256 of the whole; ``BadFileError`` when fewer or more bytes came than were announced."""
        while self.read(1 << 20):
            pass
        if self._queue is not None and self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._queue = self._thread = None
        if self.announced is not None and self.bytes != self.announced:
            raise BadFileError(f"{self.bytes:,} bytes came where {self.announced:,} were announced; fetch it again")
        return self._digest.hexdigest()


_HASH_ASIDE_FROM_BYTES = 4 << 20
_AHEAD = 8


def _hash(queue: "Queue[bytes | None]", digest: "hashlib._Hash") -> None:
    while (data := queue.get()) is not None:
        digest.update(data)


def _stop(queue: "Queue[bytes | None]") -> None:
    """End the thread of a stream that was given up."""
    with suppress(Full):
        queue.put(None, timeout=5)


def sha256_of(path: Path) -> str | None:
    """The sha256 of a local file; None where it can't be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None
