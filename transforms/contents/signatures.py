"""What of an address's query names the file, and what only signs the request for it.

A table of contents lists one file under many signatures (FIELD-NOTES: 4,124 references to 586 files). The parameters
of the usual signing schemes are told by their names; every other parameter may name the file.
"""

import re
from functools import lru_cache

_SIGNING = re.compile(
    r"x-amz-[a-z0-9-]+|awsaccesskeyid"  # Amazon S3, versions 4 and 2
    r"|expires|signature|policy|key-pair-id|hash-algorithm"  # CloudFront
    r"|x-goog-[a-z0-9-]+|googleaccessid"  # Google Cloud Storage
    r"|sig"  # Azure, with those of _AZURE
    r"|hdnts|hdnea|hdntl|__token__|__gda__"  # Akamai
    r"|(?:access_|auth_)?token|expiry"
)
# Of an Azure shared access signature: too short to mean that without a ``sig``
_AZURE = frozenset(
    "sv ss srt sr sp st se spr sip si ses sdd scid skoid sktid skt ske sks skv saoid suoid".split()
    + "rscc rscd rsce rscl rsct".split()
)
_VALUES = re.compile("=[^&]*")


def own_query(address: str) -> str:
    """The query of an http(s) address without what signs it and without fragment: from its ``?`` on, or nothing."""
    _, mark, query = address.partition("#")[0].partition("?")
    if not mark:
        return ""
    parts = query.split("&")
    naming = _that_name(tuple([each.partition("=")[0] for each in parts]))
    return f"?{'&'.join(parts[place] for place in naming)}" if naming else ""


def only_signs(query: str) -> bool:
    """Whether a query, without its ``?`` and without a fragment, holds nothing that names the file."""
    return not query or _only_sign(_VALUES.sub("", query))


@lru_cache(maxsize=256)
def _only_sign(parameters: str) -> bool:
    return not _that_name(tuple(parameters.split("&")))


@lru_cache(maxsize=256)  # the same few in all addresses of a host
def _that_name(parameters: tuple[str, ...]) -> tuple[int, ...]:
    """The places of the parameters that do not sign."""
    lower = [name.lower() for name in parameters]
    signs = _AZURE if "sig" in lower else frozenset[str]()
    return tuple(
        place for place, name in enumerate(lower) if name and not _SIGNING.fullmatch(name) and name not in signs
    )
