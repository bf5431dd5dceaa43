"""A source as a value: its address and its name without secrets. And its bytes as a stream that hashes them.

Signed addresses of remote provider references: an extract stays in the cache for months, so it must not hold
signatures. It stores ``https://host/path`` and the hash of the whole address; the hash finds the fetched reference
again. The whole address exists in memory only, and is passed from the process that read the file to the one that
downloads.
"""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urljoin, urlsplit
from weakref import finalize

from flows.download.http_validators import Validators
from flows.settings.addresses import is_object_url
from flows.storage.redaction import has_scheme, is_plain_url, redact_unresolved, redact_url
from flows.storage.threads import Threads, wait_for_result
from transforms.contents.index_values import IndexFacts
from transforms.contents.signatures import own_query
from transforms.errors import BadFileError

_QUERY = re.compile(r"[?#]")
_SIGNED = "#signed-"
_REFUSED = "#refused"
_HASH_IN_THREAD_FROM_BYTES = 4 << 20


@dataclass(frozen=True, order=True, slots=True)
class Source:
    """A file to read. ``location`` may contain a signature or credentials: print ``name`` instead."""

    location: str
    payer: str | None = field(default=None, compare=False)  # the configuration's name; fills in a missing header name
    contents: str | None = field(default=None, compare=False, repr=False)  # the table of contents that lists it
    headers: tuple[tuple[str, str], ...] = field(default=(), compare=False, repr=False)  # sent with its requests
    origins: tuple[str, ...] = field(default=(), compare=False, repr=False)  # that receive them; empty: its own
    listed_bytes: int = field(default=0, compare=False, repr=False)  # of an object, as its folder lists it
    facts: IndexFacts | None = field(default=None, compare=False, repr=False)  # what the indexes that list it say

    def __repr__(self) -> str:
        return f"Source({self.name!r})"

    @property
    def is_url(self) -> bool:
        """Whether it is a URL rather than a path."""
        return has_scheme(self.location)

    @property
    def name(self) -> str:
        """Path or URL without query, fragment and credentials; of a path, bytes that are not UTF-8 are escaped."""
        return redact_url(self.location).encode("utf-8", "backslashreplace").decode()

    @property
    def identity(self) -> str:
        """An absolute path or a whole URL, which may be secret.

        Of a URL that a table of contents lists, without its signature, which changes while the file stays.
        """
        if not self.is_url:
            return str(Path(self.location).absolute())
        if self.contents is None or is_object_url(self.location):
            return self.location
        return redact_url(self.location) + own_query(self.location)

    @property
    def digest(self) -> str:
        """The sha256 of ``identity``: the source's key in the cache."""
        return hashlib.sha256(self.identity.encode("utf-8", "surrogatepass")).hexdigest()

    @property
    def size(self) -> int:
        """Bytes of a local file or a listed object; 0 when unknown."""
        try:
            return self.listed_bytes if self.is_url else Path(self.location).stat().st_size
        except OSError:
            return 0


def distinct_names(sources: Iterable[Source]) -> dict[Source, str]:
    """The sources' names; names that differ in their query alone get a part of their digests."""
    names = {source: source.name for source in sources}
    uses = Counter({source.digest: name for source, name in names.items()}.values())
    return {s: name if uses[name] == 1 else f"{name} (query {s.digest[:8]})" for s, name in names.items()}


def origin_of(location: str) -> str | None:
    """Scheme, host and port of a URL."""
    if not has_scheme(location):
        return None
    parts = urlsplit(redact_url(location))
    return f"{parts.scheme}://{parts.netloc}"


def resolve_location(location: str, base: Source) -> str | None:
    """A ``location`` as an absolute URL or path; a relative one belongs beside the file that states it.

    None: it leads nowhere, or where a payer's file must not lead: to another scheme, or out of the folder of a local
    file or object.
    """
    location = location.strip()
    if is_plain_url(location):
        return location
    try:
        if is_object_url(base.location):
            return _resolve_beside_object(location, base.location)
        if base.is_url:
            location = urljoin(base.location, location)
        if base.is_url or "://" in location:
            return location if _is_web_address(location) else None
        without_query = _QUERY.split(location)[0]  # the name of a file may contain ? or #
        return _file_beside(location, base) or _file_beside(without_query, base)
    except (ValueError, OSError):  # not an address, or a path that the file system refuses
        return None


def _file_beside(location: str, base: Source) -> str | None:
    folder = Path(base.location).absolute().parent
    if ".." not in location and not os.path.isfile(f"{folder}/{location}"):  # noqa: PTH113  # a tenth of the time
        return None
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
    """Passes bytes on, and counts and hashes them.

    A large file is hashed in a second thread, which takes a third of the time of inflating. Memory: one read's bytes.
    """

    def __init__(
        self, raw: BinaryIO, announced: int | None = None, validators: Callable[[], Validators] = Validators
    ) -> None:
        self._raw = raw
        self._digest = hashlib.sha256()
        self._threads: Threads | None = None
        self._hashed: Future[None] | None = None
        self._announced = announced
        self._validators = validators
        self.bytes = 0

    @property
    def validators(self) -> Validators:
        """The server's, or the store's, of the content; empty for a local file."""
        return self._validators()

    def read(self, size: int = -1) -> bytes:
        """As a file's ``read``."""
        try:
            data = self._raw.read(size)
        except OSError as error:
            raise BadFileError(f"can't be read beyond byte {self.bytes:,}: {error.strerror or error}") from error
        self.bytes += len(data)
        if self._threads is None and self.bytes > _HASH_IN_THREAD_FROM_BYTES:
            self._threads = Threads(1)
            finalize(self, self._threads.close)
        if self._threads is None:
            self._digest.update(data)
        else:
            self._wait_for_hash()
            self._hashed = self._threads.submit(self._digest.update, data)
        return data

    def _wait_for_hash(self) -> None:
        if self._hashed is not None:
            wait_for_result(self._hashed)

    def finish(self) -> str:
        """The sha256 of the whole; ``BadFileError`` if its length is not the announced one."""
        while self.read(1 << 20):
            pass
        self._wait_for_hash()
        if self._announced is not None and self.bytes != self._announced:
            raise BadFileError(f"{self.bytes:,} bytes came where {self._announced:,} were announced; fetch it again")
        return self._digest.hexdigest()


def sha256_of(path: Path) -> str | None:
    """The sha256 of a local file; None if it can't be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def strip_signature(location: str, source: Source) -> tuple[str, str | None]:
    """The storable form of a ``location`` in ``source``, and the address to fetch if that form lacks its signature."""
    location = location.strip()
    printable = redact_unresolved(location)
    if printable == location:
        return location, None
    resolved = resolve_location(location, source)
    if resolved is None:
        return f"{printable}{_REFUSED}", None
    if resolve_location(printable, source) == resolved:  # a file beside this one: its query has no meaning
        return printable, None
    return f"{printable}{_SIGNED}{Source(resolved).digest}", resolved


def parse_stored(stored: str) -> tuple[str, str | None, bool]:
    """What may be shown of a stored location, the digest of a signed address, and whether it must not be followed."""
    shown, marker, digest = stored.rpartition(_SIGNED)
    if marker:
        return shown, digest, False
    return stored.removesuffix(_REFUSED), None, stored.endswith(_REFUSED)
