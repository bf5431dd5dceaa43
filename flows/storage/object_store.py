"""Object storage by URL: s3://, gs://, az://, and file:// for a mounted folder taken as one. obstore does the talking.

obstore is imported when the first request is made: who reads and writes local folders never pays for it. Credentials,
region and endpoint are the platform's: environment, shared profile, web identity, container or machine role.
"""

import os
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

from flows.settings.addresses import CREDENTIALS, split_url
from flows.storage.redaction import redact_queries
from flows.storage.threads import Threads, interruptible, wait_for_result
from transforms.errors import BadFileError, ContentChangedError, OutageError, TicRatesError, UsageError

PIECE_BYTES = 8 << 20  # of one ranged request: repeated as a whole when it breaks
PIECES_AHEAD = 2
PART_BYTES = 16 << 20  # of an upload in parts; S3 takes 10,000 of them
PARTS_AT_ONCE = 4
DELETED_AT_ONCE = 1_000

_NO_CREDENTIALS = ("169.254.169.254", "fd00:ec2::254", "metadata.google.internal", "token request", "credential")
_CLIENT_OPTIONS = (
    "allow_http allow_invalid_certificates connect_timeout proxy_url proxy_ca_certificate proxy_excludes timeout"
).split()
_CHAIN = (  # AWS's, but for shared profiles, which the library does not know, and the machine's role
    "ACCESS_KEY_ID WEB_IDENTITY_TOKEN_FILE CONTAINER_CREDENTIALS_RELATIVE_URI CONTAINER_CREDENTIALS_FULL_URI "
    "SKIP_SIGNATURE"
).split()
ROLE_SECONDS = 2.0
_TYPES = {".html": "text/html; charset=utf-8", ".csv": "text/csv; charset=utf-8", ".json": "application/json"}


class StoreError(OutageError, OSError):
    """The store did not answer, or not as it should: what waiting may cure."""


@dataclass(frozen=True)
class Found:
    """One object. ``key`` is relative to the ``Objects`` that found it."""

    key: str
    size: int
    etag: str | None
    modified: datetime


@dataclass(frozen=True)
class Objects:
    """The objects whose keys begin with a prefix; a plain value, that travels to other processes and machines.

    Every method's error names the place and the next step: a ``StoreError`` where waiting may help, else a
    ``UsageError``.
    """

    url: str  # s3://bucket or s3://bucket/prefix

    @classmethod
    def of(cls, location: str) -> "Objects":
        """The objects under a URL, however it ends."""
        root, prefix = split_url(location)
        return cls(f"{root}/{prefix}".rstrip("/"))

    def full(self, key: str) -> str:
        """The URL of an object."""
        return f"{self.url}/{key}" if key else self.url

    def head(self, key: str) -> Found | None:
        """What is known of an object; None where there is none."""
        store, full = self._place(key)
        with self._named(key):
            try:
                return _found(key, interruptible(store.head, full))
            except FileNotFoundError:
                return None

    def get(self, key: str) -> bytes | None:
        """An object's bytes; None where there is none."""
        store, full = self._place(key)
        with self._named(key):
            try:
                return interruptible(_get, store, full)
            except FileNotFoundError:
                return None

    def open(self, found: Found) -> "ObjectReader":
        """An object as a stream of the very bytes that were found."""
        store, full = self._place(found.key)
        return ObjectReader(store, full, found, self.full(found.key))

    def put(self, key: str, content: bytes | Path) -> None:
        """Write an object, whole or not at all; a large file in parts."""
        store, full = self._place(key)
        attributes = _attributes(self.url, key)
        with self._named(key):
            parts = {"chunk_size": PART_BYTES, "max_concurrency": PARTS_AT_ONCE}
            interruptible(store.put, full, content, attributes=attributes, **parts)

    def create(self, key: str, content: bytes) -> bool:
        """Write an object unless there is one; whether it is ours that stands."""
        from obstore.exceptions import AlreadyExistsError

        store, full = self._place(key)
        with self._named(key):
            try:
                interruptible(store.put, full, content, mode="create", attributes=_attributes(self.url, key))
            except AlreadyExistsError:  # perhaps by ourselves: the answer was lost, and the request repeated
                return self.get(key) == content
            return True

    def list(self, prefix: str = "") -> Iterator[Found]:
        """The objects in the folder ``prefix``, in order of key."""
        store, full = self._place(prefix)
        skip = len(self._place("")[1])
        with self._named(prefix):
            pages = store.list(full or None, chunk_size=1_000)
            if self.url.startswith("file:"):  # in no order there
                pages = [sorted((meta for page in pages for meta in page), key=lambda meta: meta["path"])]
            pages = iter(pages)
            while (page := interruptible(next, pages, None)) is not None:
                for meta in page:
                    yield _found(meta["path"][skip:].lstrip("/"), meta)

    def copy(self, source: str, target: str) -> None:
        """Copy an object, in the store where it can; beyond what the store copies in one go, through us."""
        store, full = self._place(source)
        with self._named(source):
            try:
                interruptible(store.copy, full, self._place(target)[1])
            except FileNotFoundError:
                raise UsageError(f"{self.full(source)}: gone while it was copied; run again") from None
            except _errors() as error:
                if "EntityTooLarge" not in str(error) and "InvalidRequest" not in str(error):
                    raise
                found = self.head(source)
                assert found is not None
                with self.open(found) as reader:
                    pieces = iter(lambda: reader.read(PIECE_BYTES), b"")
                    parts = {"chunk_size": PART_BYTES, "max_concurrency": PARTS_AT_ONCE}
                    interruptible(store.put, self._place(target)[1], pieces, **parts)

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects; one that is gone already is deleted."""
        waiting = deque(keys)
        while waiting:
            batch = [waiting.popleft() for _ in range(min(DELETED_AT_ONCE, len(waiting)))]
            store = self._place("")[0]
            with self._named(batch[0]):
                for each in [batch] if not self.url.startswith("file:") else [[key] for key in batch]:
                    try:
                        interruptible(store.delete, [self._place(key)[1] for key in each])
                    except FileNotFoundError:  # only a file system says so
                        continue

    def _place(self, key: str) -> tuple[Any, str]:
        root, prefix = split_url(self.url)
        return _store(root), "/".join(filter(None, (prefix, key)))

    def _named(self, key: str) -> AbstractContextManager[None]:
        return _explaining(self.full(key))


class ObjectReader:
    """An object's bytes in pieces, each a request of its own on condition that the object is still the same.

    The library repeats a request that breaks. Memory: ``PIECES_AHEAD`` + 1 pieces.
    """

    def __init__(self, store: Any, key: str, found: Found, name: str) -> None:
        self._store, self._key, self._found, self._name = store, key, found, name
        self._threads = Threads(PIECES_AHEAD)
        self._coming: deque[Future[bytes]] = deque()
        self._asked = 0
        self._piece = memoryview(b"")

    def __enter__(self) -> "ObjectReader":
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.close()

    def read(self, size: int = -1) -> bytes:
        """Up to ``size`` bytes, none at the end; everything when negative.

        Raises:
            BadFileError: the object is another one by now, or can't be had.
        """
        if size < 0:
            return b"".join(iter(lambda: self.read(PIECE_BYTES), b""))
        if not self._piece:
            self._piece = memoryview(self._next())
        data, self._piece = bytes(self._piece[:size]), self._piece[size:]
        return data

    def _next(self) -> bytes:
        while len(self._coming) <= PIECES_AHEAD and self._asked < self._found.size:
            end = min(self._asked + PIECE_BYTES, self._found.size)
            self._coming.append(self._threads.submit(self._fetch, self._asked, end))
            self._asked = end
        return wait_for_result(self._coming.popleft()) if self._coming else b""

    def _fetch(self, start: int, end: int) -> bytes:
        from obstore.exceptions import PreconditionError

        same = {"if_match": self._found.etag} if self._found.etag else {}
        try:
            return _get(self._store, self._key, {"range": (start, end), **same})
        except (PreconditionError, FileNotFoundError):
            raise ContentChangedError(f"the object changed before byte {end:,} was read; run again") from None
        except _errors() as error:
            raise BadFileError(str(_explain(self._name, error))) from None


def _get(store: Any, key: str, options: dict[str, Any] | None = None) -> bytes:
    data: bytes = store.get(key, options=options).bytes().to_bytes()
    return data


@cache
def _store(root: str) -> Any:
    """obstore's store for a bucket, one for each process."""
    try:
        from obstore.store import AzureStore, GCSStore, LocalStore, S3Store
    except ImportError:
        raise UsageError(f"{root}: object storage needs the package obstore; install requirements.lock") from None
    scheme, _, bucket = root.partition("://")
    if scheme == "file":
        return LocalStore("/")
    if scheme == "az" and not any(os.environ.get(f"AZURE_STORAGE_{name}") for name in ("ACCOUNT_NAME", "ACCOUNT")):
        raise UsageError(f"{root}: the storage account is not known; {CREDENTIALS['az']}")
    kinds: dict[str, Any] = {"s3": S3Store, "gs": GCSStore, "az": AzureStore}
    settings = _shared_profile(os.environ) if scheme == "s3" else {}
    if scheme == "s3" and not settings:
        _require_role(root, os.environ)
    with _explaining(root):
        return kinds[scheme](bucket, client_options=_client_options(scheme, os.environ), **settings)


def _require_role(root: str, environ: Mapping[str, str]) -> None:
    """Where nothing but the machine's role is left of AWS's chain, a machine without one is told so at once.

    The library would ask for minutes.
    """
    if any(environ.get(f"AWS_{name}") for name in _CHAIN):
        return
    import socket
    from urllib.parse import urlsplit

    address = urlsplit(environ.get("AWS_METADATA_ENDPOINT") or "http://169.254.169.254")
    try:
        socket.create_connection((address.hostname, address.port or 80), ROLE_SECONDS).close()
    except OSError:
        raise UsageError(f"{root}: no credentials were found; {CREDENTIALS['s3']}") from None


def _client_options(scheme: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Patience for a copy of gigabytes; what the environment says (AWS_TIMEOUT, AWS_ALLOW_HTTP) goes before.

    The library reads these variables itself, but forgets them all where one option is given.
    """
    prefix = {"s3": "AWS_", "gs": "GOOGLE_", "az": "AZURE_"}[scheme]
    named = {name: environ.get(prefix + name.upper()) for name in _CLIENT_OPTIONS}
    return {"timeout": "120s", "connect_timeout": "10s"} | {name: value for name, value in named.items() if value}


def _shared_profile(environ: Mapping[str, str]) -> dict[str, str]:
    """Keys, region and endpoint of a profile in ~/.aws, where the environment has no credentials of its own.

    obstore knows every other link of AWS's chain.
    """
    import configparser

    if any(environ.get(f"AWS_{name}") for name in _CHAIN):
        return {}
    home = Path(environ.get("HOME", "~")).expanduser() / ".aws"
    profiles = configparser.RawConfigParser()
    profiles.read(environ.get("AWS_CONFIG_FILE", home / "config"))
    profiles.read(environ.get("AWS_SHARED_CREDENTIALS_FILE", home / "credentials"))
    name = environ.get("AWS_PROFILE", "default")
    parts = [profiles[part] for part in (f"profile {name}", name) if part in profiles]
    stated = {key: value for part in parts for key, value in part.items()}
    if "aws_access_key_id" not in stated:
        if "AWS_PROFILE" in environ:
            export = f'eval "$(aws configure export-credentials --profile {name} --format env)"'
            raise UsageError(f"the profile {name} in {home} states no access key; run {export} first")
        return {}
    names = {
        "aws_access_key_id": "access_key_id",
        "aws_secret_access_key": "secret_access_key",
        "aws_session_token": "session_token",
        "region": "region",
        "endpoint_url": "endpoint",
    }
    set_already = {"region": ("AWS_REGION", "AWS_DEFAULT_REGION"), "endpoint_url": ("AWS_ENDPOINT_URL", "AWS_ENDPOINT")}
    return {
        ours: stated[theirs]
        for theirs, ours in names.items()
        if theirs in stated and not any(environ.get(name) for name in set_already.get(theirs, ()))
    }


def _errors() -> tuple[type[Exception], ...]:
    """All that the library raises, and all that a file at hand may."""
    from obstore.exceptions import BaseError

    return (BaseError, OSError, ValueError, NotImplementedError)


@contextmanager
def _explaining(place: str) -> Iterator[None]:
    try:
        yield
    except TicRatesError:
        raise
    except _errors() as error:
        raise _explain(place, error) from None


def _explain(place: str, error: Exception) -> UsageError | StoreError:
    """The library's error in our words: never a signature, always a next step."""
    text = redact_queries(next(iter(str(error).splitlines()), type(error).__name__))
    scheme, kind = place.partition(":")[0], type(error).__name__
    refused = kind in ("PermissionDeniedError", "UnauthenticatedError") or re.search(r"\b40[13] (Forb|Unauth)", text)
    if isinstance(error, FileNotFoundError) or any(each in text for each in ("NoSuchBucket", "ContainerNotFound")):
        return UsageError(f"{'/'.join(place.split('/')[:3])}: no such bucket; create it, or give another")
    if any(each in text for each in _NO_CREDENTIALS):
        return UsageError(f"{place}: no credentials were found; {CREDENTIALS.get(scheme, 'check the configuration')}")
    for meant, next_step in (
        (refused, "access denied; check what the credentials found here may read and write"),
        ("builder error" in text and "http://" in text, "the endpoint is plain http; AWS_ALLOW_HTTP=true allows it"),
        (re.search("301 |PermanentRedirect|AuthorizationHeaderMalformed", text), "in another region; set AWS_REGION"),
        (isinstance(error, ValueError), f"{text}; give another key"),
    ):
        if meant:
            return UsageError(f"{place}: {next_step}")
    return StoreError(f"{place}: {text[:300]}; run again when the store answers")


def _attributes(url: str, key: str) -> dict[str, str] | None:
    """What a browser is told an object is; a mounted folder has no place for it."""
    kind = _TYPES.get(Path(key).suffix)
    return {"Content-Type": kind} if kind and not url.startswith("file:") else None


def _found(key: str, meta: Mapping[str, Any]) -> Found:
    return Found(key, meta["size"], meta["e_tag"], meta["last_modified"])


def copy_to(objects: Objects, found: Found, file: BinaryIO) -> None:
    """An object's bytes into a file."""
    with objects.open(found) as reader:
        while data := reader.read(PIECE_BYTES):
            file.write(data)
