"""Signed addresses of remote provider references: an extract stores the address without its query, and a hash.

An extract stays in the cache for months, so it must not hold signatures. It stores ``https://host/path`` and the hash
of the whole address; the hash finds the fetched reference again. The whole address exists in memory only, and is passed
from the process that read the file to the one that downloads.
"""

from flows.download.sources import Source, resolve_location
from flows.storage.redaction import redact_unresolved

_SIGNED = "#signed-"
_REFUSED = "#refused"


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


def signed_digest(stored: str) -> str | None:
    """The digest (``Source.digest``) of a signed address; None for an address stored unchanged."""
    _, marker, digest = stored.rpartition(_SIGNED)
    return digest if marker else None


def without_marker(stored: str) -> str:
    """The stored location without its marker."""
    return stored.rpartition(_SIGNED)[0] or stored.removesuffix(_REFUSED)


def is_refused(stored: str) -> bool:
    """Whether the location can't be followed: another scheme, or outside the folder of the file that states it."""
    return stored.endswith(_REFUSED)
