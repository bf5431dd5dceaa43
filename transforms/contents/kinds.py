"""What a listed file is, by the word that an index has for it or by its name."""

import re

from schemas.mrf import FILE_SCHEMAS
from schemas.mrf import IN_NETWORK as IN_NETWORK_KEY

IN_NETWORK = "in-network rates"  # is read
INDEX = "index"  # is read for what it lists
UNKNOWN = "of a name that says no kind"

_KINDS_BY_NAME = (  # the first that matches
    ("allowed amounts", re.compile(r"allowed[-_. ]?amount|out[-_. ]?of[-_. ]?network", re.I)),
    (INDEX, re.compile(r"[-_.]index\.json|latest_metadata\.json|table[-_. ]?of[-_. ]?contents", re.I)),
    (IN_NETWORK, re.compile(r"in[-_. ]?network", re.I)),
    (INDEX, re.compile(r"(?:^|[-_. ])(?:index|toc)[-_. ](?:.*\.)?(?:json|zip|gz)$|/blobs/?$", re.I)),
)


def kind_of_schema(word: str | None) -> str:
    """The kind of an entry by its ``fileSchema``; a word that names no kind that is read comes back as published."""
    known = FILE_SCHEMAS.get((word or "").strip().upper())
    if known is None:
        return (word or "").strip() or "without a fileSchema"
    return IN_NETWORK if known == IN_NETWORK_KEY else INDEX


def kind_of_name(name: str) -> str:
    """The kind of a file by its name or address, as UnitedHealthcare and others name them."""
    path = name.partition("?")[0].partition("#")[0].rstrip()
    last = path if path.rstrip("/").endswith("/blobs") else path.rpartition("/")[2]
    return next((kind for kind, pattern in _KINDS_BY_NAME if pattern.search(last)), UNKNOWN)
