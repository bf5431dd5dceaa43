"""Addresses: their schemes, and in object storage the bucket and the key."""

import re
from pathlib import Path

from transforms.errors import UsageError

SCHEMES = ("s3", "gs", "az", "file")
_URL = re.compile(rf"({'|'.join(SCHEMES)})://([^/]*)/?(.*)", re.IGNORECASE | re.DOTALL)
CREDENTIALS = {
    "s3": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or AWS_PROFILE, or run where the machine has a role "
    "(AWS_SKIP_SIGNATURE=true for a public bucket)",
    "gs": "set GOOGLE_APPLICATION_CREDENTIALS, or run where the machine has a service account",
    "az": "set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY, or run where the machine has an identity",
}
Location = Path | str  # a folder, or the URL of a place in object storage
REMOTE_SCHEMES = ("http", "https", *SCHEMES)


def is_object_url(location: object) -> bool:
    """Whether a location is in object storage."""
    return isinstance(location, str) and bool(_URL.match(location))


def location_of(text: str) -> Location:
    """A path, or the URL of a place in object storage.

    Raises:
        UsageError: a URL that is not one of object storage.
    """
    if "://" not in text:
        return Path(text)
    split_url(text)
    return text


def split_url(location: str) -> tuple[str, str]:
    """Bucket and key of a URL: ``("s3://bucket", "a/key")``; for file:// ``("file://", "a/path")``.

    Raises:
        UsageError: it is not one of object storage, or lacks a bucket, or contains credentials or an empty part.
    """
    match = _URL.match(location)
    if match is None:
        hint = ", ".join(f"{scheme}://" for scheme in SCHEMES[:-1])
        raise UsageError(f"{location.partition('://')[0]}:// is not object storage; give a path, or {hint}")
    scheme, bucket, key = match[1].lower(), match[2], match[3].rstrip("/")
    if "@" in bucket:
        raise UsageError(f"{scheme}://...: an address must not contain credentials; {CREDENTIALS.get(scheme, '')}")
    if scheme == "file" and bucket:
        raise UsageError(f"{location}: three slashes are needed: file:///folder")
    if not bucket and scheme != "file":
        raise UsageError(f"{location}: the bucket is missing; write for example {scheme}://bucket/folder")
    if any(part in ("", ".", "..") for part in key.split("/")) and key:
        raise UsageError(f"{location}: a key must not have a part that is empty, . or ..; rename the object")
    return f"{scheme}://{bucket}", key
