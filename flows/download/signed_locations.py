"""Signed addresses of remote provider references: known while a run lasts, kept only as what they point at and a hash.

An extract stays for months, and whoever reads the cache could use what it holds. So it says ``https://host/path`` and
the hash of the whole address, by which the fetched reference is found again; the address itself travels in memory from
the process that read the file to the one that fetches.
"""

from dataclasses import replace

from flows.download.sources import Source, resolve_location, unfollowed, without_secrets
from transforms.read.account import DocumentAccount, SourceAccount

_SIGNED = "#signed-"
_REFUSED = "#refused"


def conceal(location: str, source: Source) -> tuple[str, str | None]:
    """What may be kept of a ``location`` in ``source``, and the address to fetch where that says too little."""
    location = location.strip()
    shown = unfollowed(location)
    if shown == location:
        return location, None
    resolved = resolve_location(location, source)
    if resolved is None:
        return f"{shown}{_REFUSED}", None
    if resolve_location(shown, source) == resolved:  # a file beside this one: what was taken away says nothing
        return shown, None
    return f"{shown}{_SIGNED}{Source(resolved).digest}", resolved


def conceal_headers(account: SourceAccount) -> SourceAccount:
    """An account whose header fields, which may be anything, hold no secret addresses."""
    return replace(account, documents=tuple(_conceal_header(document) for document in account.documents))


def _conceal_header(document: DocumentAccount) -> DocumentAccount:
    return replace(document, header={name: without_secrets(text) for name, text in document.header.items()})


def digest_kept(concealed: str) -> str | None:
    """The digest (``Source.digest``) of an address that was signed; None for one kept as it was."""
    _, marker, digest = concealed.rpartition(_SIGNED)
    return digest if marker else None


def shown(concealed: str) -> str:
    """Without the marks."""
    return concealed.rpartition(_SIGNED)[0] or concealed.removesuffix(_REFUSED)


def is_refused(concealed: str) -> bool:
    """Whether it leads nowhere that a payer's file may lead to."""
    return concealed.endswith(_REFUSED)
