"""Redaction: addresses and texts without query, fragment and credentials, which may be secret.

It applies to all that is printed, logged, published or cached. Addresses in object storage keep their keys.
"""

import re
from dataclasses import replace
from urllib.parse import urlsplit, urlunsplit

from flows.settings.addresses import is_object_url
from transforms.read.account import DocumentAccount, SourceAccount

_URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://")
# Most addresses match this; matching takes a tenth of the time of parsing
_PLAIN = re.compile(r"https?://[a-z0-9.-]+(?::[1-9][0-9]{0,3})?/[A-Za-z0-9_.~%/+,=@!$&'()*:-]*")
_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:")
_ADDRESS = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://[^\s'\"<>)\]]+")
_QUERY = re.compile(r"[?#]")


def has_scheme(location: str) -> bool:
    """Whether a location is a URL rather than a path."""
    return bool(_URL.match(location))


def is_plain_url(location: str) -> bool:
    """Whether a location is an absolute http(s) URL with nothing to redact or to resolve."""
    return _PLAIN.fullmatch(location) is not None


def redact_url(location: str) -> str:
    """The URL without query, fragment and credentials; a path and an object's key unchanged."""
    if not _URL.match(location) or is_plain_url(location):
        return location
    if is_object_url(location):
        return re.sub(r"(?<=://)[^/]*@", "", location)
    try:
        parts = urlsplit(location)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:  # its text quotes the address
        return f"{location.partition('://')[0]}://(an address that can't be parsed)"
    host = parts.hostname or ""
    return urlunsplit((parts.scheme, f"{host}{port}", parts.path, "", ""))


def redact_text(text: str) -> str:
    """The text with every address in it redacted, those in object storage of their queries, too."""
    return _ADDRESS.sub(lambda found: redact_url(found[0]).partition("?")[0], text)


def redact_unresolved(location: str) -> str:
    """The printable part of a ``location`` that can't be resolved: it may be a mistyped address with a signature."""
    if location.startswith("//"):
        return redact_url(f"http:{location}").removeprefix("http:")
    scheme = _SCHEME.match(location)
    if scheme is not None and not _URL.match(location):
        return f"{scheme[0]}(an address that can't be followed)"
    return _QUERY.split(redact_url(location))[0]


def redact_headers(account: SourceAccount) -> SourceAccount:
    """The account with the addresses in its documents' header fields redacted; these fields may contain any text."""

    def redacted(document: DocumentAccount) -> DocumentAccount:
        return replace(document, header={name: redact_text(text) for name, text in document.header.items()})

    return replace(account, documents=tuple(map(redacted, account.documents)))


def redact_to_host(url: str) -> str:
    """The host alone, for addresses whose path may be a secret: those of webhooks."""
    try:
        return urlsplit(url).hostname or "(no host)"
    except ValueError:
        return "(no address)"
