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


def parse_stored(stored: str) -> tuple[str, str | None, bool]:
    """What may be shown of a stored location, the digest of a signed address, and whether it must not be followed."""
    shown, marker, digest = stored.rpartition(_SIGNED)
    if marker:
        return shown, digest, False
    return stored.removesuffix(_REFUSED), None, stored.endswith(_REFUSED)
