"""Places in object storage for the tests: a folder taken as a store, or a bucket of a real S3 server on loopback."""

import hashlib
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.publish.publish import TABLES
from flows.storage.object_store import Objects, _store
from tests import ceph

BOTH = [pytest.param("folder"), pytest.param("s3", marks=pytest.mark.slow)]
REAL = [pytest.param("s3", marks=pytest.mark.slow)]


def make_place(kind: str, tmp_path: Path, server: "ceph.Server | None", patch: pytest.MonkeyPatch) -> str:
    """The URL of an empty place; for s3 with what the platform's chain wants, in the environment."""
    patch.setenv("XDG_CACHE_HOME", str(tmp_path / "machine-0"))
    if kind == "folder":
        return f"file://{tmp_path}/store"
    assert server is not None
    for name, value in server.environment.items():
        patch.setenv(name, value)
    _store.cache_clear()
    bucket = f"b{uuid.uuid4().hex[:12]}"
    create_bucket(bucket)
    return f"s3://{bucket}/store"


def create_bucket(name: str) -> None:
    """A PUT on the server itself: for that the server is taken for a bucket, and the bucket for its object."""
    from obstore.exceptions import GenericError
    from obstore.store import S3Store

    try:
        S3Store("none", virtual_hosted_style_request=True, client_options={"allow_http": True}).put(name, b"")
    except GenericError as error:
        assert "ETag Header missing" in str(error), error  # which is how a bucket answers


def digests_at(url: str, *tables: str, but: str = "files.parquet") -> dict[str, str]:
    """sha256 of the Parquet files that stand under the names of the contract, by path."""
    objects = Objects.of(url)
    return {
        found.key: hashlib.sha256(objects.get(found.key) or b"").hexdigest()
        for table in tables or TABLES
        for found in objects.list(table)
        if not found.key.endswith(but)
    }


def ceph_server(folder: Path) -> Iterator["ceph.Server"]:
    """A running server; the test is skipped where there can be none."""
    reason = ceph.missing()
    if reason is not None:
        pytest.skip(f"no S3 server: {reason}")
    with ceph.running(folder) as server:
        yield server
