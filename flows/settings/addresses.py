"""What an address is: schemes, and of object storage the bucket and the key."""

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


def split_url(location: str) -> tuple[str, str]:
    """Bucket and key of a URL: ``("s3://bucket", "a/key")``; for file:// ``("file://", "a/path")``.

    Raises:
        UsageError: it names no bucket, or holds what must not stand in it.
    """
    match = _URL.match(location)
    if match is None:
        raise UsageError(f"{location.partition('://')[0]}:// is no object storage; give {', '.join(SCHEMES[:-1])}://")
    scheme, bucket, key = match[1].lower(), match[2], match[3].rstrip("/")
    if "@" in bucket:
        raise UsageError(f"{scheme}://...: credentials don't belong in an address; {CREDENTIALS.get(scheme, '')}")
    if scheme == "file" and bucket:
        raise UsageError(f"{location}: write it with three slashes: file:///folder")
    if not bucket and scheme != "file":
        raise UsageError(f"{location}: names no bucket; write it such as {scheme}://bucket/folder")
    if any(part in ("", ".", "..") for part in key.split("/")) and key:
        raise UsageError(f"{location}: a key with an empty part, . or .. can't be addressed; rename the object")
    return f"{scheme}://{bucket}", key
