"""Object storage by URL (obstore): s3://, gs://, az://, and file:// for a mounted folder used as a store.

obstore is imported for the first request, so that local folders never need it. Credentials, region and endpoint are the
platform's: environment, shared profile, web identity, container or machine role.
"""

import configparser
import os
import re
import socket
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from flows.settings.addresses import CREDENTIALS, split_url
from flows.storage.redaction import redact_text
from flows.storage.threads import Threads, interruptible, wait_for_result
from transforms.errors import BadFileError, ContentChangedError, OutageError, TicRatesError, UsageError

PIECE_BYTES = 8 << 20  # of one ranged request, which is repeated as a whole if it breaks
PIECES_AHEAD = 2
PART_BYTES = 16 << 20  # of an upload in parts; S3 takes 10,000 of them
PARTS_AT_ONCE = 4

_NO_CREDENTIALS = ("169.254.169.254", "fd00:ec2::254", "metadata.google.internal", "token request", "credential")
_CLIENT_OPTIONS = (
    "allow_http allow_invalid_certificates connect_timeout proxy_url proxy_ca_certificate proxy_excludes timeout"
).split()
_CHAIN = (  # AWS's, except the machine's role and shared profiles, which the library does not read
    "ACCESS_KEY_ID WEB_IDENTITY_TOKEN_FILE CONTAINER_CREDENTIALS_RELATIVE_URI CONTAINER_CREDENTIALS_FULL_URI "
    "SKIP_SIGNATURE"
).split()
_PROFILE_KEYS = {  # of a shared profile: the library's option, and the variables that override it
    "aws_access_key_id": ("access_key_id",),
    "aws_secret_access_key": ("secret_access_key",),
    "aws_session_token": ("session_token",),
    "region": ("region", "AWS_REGION", "AWS_DEFAULT_REGION"),
    "endpoint_url": ("endpoint", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"),
}
ROLE_SECONDS = 2.0
_TYPES = {".html": "text/html; charset=utf-8", ".csv": "text/csv; charset=utf-8", ".json": "application/json"}


class StoreError(OutageError, OSError):
    """The store did not answer as it should; a later run may succeed."""


@dataclass(frozen=True)
class ObjectMeta:
    """One object. ``key`` is relative to the ``Objects`` that found it."""

    key: str
    size: int
    etag: str | None
    modified: datetime


@dataclass(frozen=True)
class Objects:
    """The objects whose keys start with a prefix; a plain value, which can be sent to other processes and machines.

    Every method's error names the place and the next step: a ``StoreError`` if a later run may succeed, else a
    ``UsageError``.
    """

    url: str  # s3://bucket or s3://bucket/prefix

    @classmethod
    def of(cls, location: str) -> "Objects":
        """The objects under a URL, with or without / at its end."""
        root, prefix = split_url(location)
        return cls(f"{root}/{prefix}".rstrip("/"))

    def full(self, key: str) -> str:
        """The URL of an object."""
        return f"{self.url}/{key}" if key else self.url

    @property
    def library_options(self) -> dict[str, str]:
        """What a library that reads the platform's variables, too, needs besides them (deltalake)."""
        scheme = self.url.partition(":")[0]
        if scheme == "file":
            return {}
        profile = _shared_profile(os.environ) if scheme == "s3" else {}
        return _client_options(scheme, os.environ) | {f"AWS_{name.upper()}": value for name, value in profile.items()}

    def head(self, key: str) -> ObjectMeta | None:
        """An object's size, ETag and time; None if there is none."""
        with _readable_errors(self.full(key)), suppress(FileNotFoundError):
            return _meta(key, interruptible(self._store.head, self._path(key)))
        return None

    def get(self, key: str) -> bytes | None:
        """An object's bytes; None if there is none."""
        with _readable_errors(self.full(key)), suppress(FileNotFoundError):
            return interruptible(_get, self._store, self._path(key))
        return None

    def open(self, meta: ObjectMeta) -> "ObjectReader":
        """An object as a stream of the bytes that ``meta`` identifies."""
        return ObjectReader(self._store, self._path(meta.key), meta, self.full(meta.key))

    def put(self, key: str, content: bytes | Path | Iterator[bytes]) -> None:
        """Write an object, whole or not at all; a large one in parts."""
        parts = {"chunk_size": PART_BYTES, "max_concurrency": PARTS_AT_ONCE}
        with _readable_errors(self.full(key)):
            interruptible(self._store.put, self._path(key), content, attributes=self._attributes(key), **parts)

    def create(self, key: str, content: bytes) -> bool:
        """Write an object unless there is one; whether the object then has this content."""
        from obstore.exceptions import AlreadyExistsError

        with _readable_errors(self.full(key)):
            try:
                put = self._store.put
                interruptible(put, self._path(key), content, mode="create", attributes=self._attributes(key))
            except AlreadyExistsError:  # perhaps ours: the answer was lost, and the library repeated the request
                return self.get(key) == content
            return True

    def list(self, prefix: str = "") -> Iterator[ObjectMeta]:
        """The objects in the folder ``prefix``, in order of key."""
        skip = len(self._path(""))
        with _readable_errors(self.full(prefix)):
            pages = self._store.list(self._path(prefix) or None, chunk_size=1_000)
            if self.url.startswith("file:"):  # in no order there
                pages = [sorted((meta for page in pages for meta in page), key=lambda meta: meta["path"])]
            pages = iter(pages)
            while (page := interruptible(next, pages, None)) is not None:
                for meta in page:
                    yield _meta(meta["path"][skip:].lstrip("/"), meta)

    def copy(self, source: str, target: str) -> None:
        """Copy an object within the store; one that is too large for that is read and written."""
        with _readable_errors(self.full(source)):
            try:
                interruptible(self._store.copy, self._path(source), self._path(target))
            except FileNotFoundError:
                raise UsageError(f"{self.full(source)}: deleted while it was copied; run again") from None
            except _library_errors() as error:
                if "EntityTooLarge" not in str(error) and "InvalidRequest" not in str(error):
                    raise
                meta = self.head(source)
                assert meta is not None
                with self.open(meta) as reader:
                    self.put(target, iter(lambda: reader.read(PIECE_BYTES), b""))

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects. Missing objects are ignored."""
        paths = [self._path(key) for key in keys]
        with _readable_errors(self.url):
            for some in [[path] for path in paths] if self.url.startswith("file:") else [paths]:
                with suppress(FileNotFoundError):  # only a file system raises it
                    interruptible(self._store.delete, some)

    @property
    def _store(self) -> Any:
        return _store(split_url(self.url)[0])

    def _path(self, key: str) -> str:
        return "/".join(filter(None, (split_url(self.url)[1], key)))

    def _attributes(self, key: str) -> dict[str, str] | None:
        """The content type for browsers; a mounted folder has no place for it."""
        kind = _TYPES.get(Path(key).suffix)
        return {"Content-Type": kind} if kind and not self.url.startswith("file:") else None


class ObjectReader:
    """An object's bytes in pieces, each one request on condition that the object is unchanged.

    The library repeats a request that breaks. Memory: ``PIECES_AHEAD`` + 1 pieces.
    """

    def __init__(self, store: Any, path: str, meta: ObjectMeta, name: str) -> None:
        self._store, self._path, self._meta, self._name = store, path, meta, name
        self._threads = Threads(PIECES_AHEAD)
        self._requested: deque[Future[bytes]] = deque()
        self._end = 0  # of the last piece requested
        self._piece = memoryview(b"")

    def __enter__(self) -> "ObjectReader":
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.close()

    def read(self, size: int = -1) -> bytes:
        """Up to ``size`` bytes, none at the end; everything if negative.

        Raises:
            BadFileError: the object changed, or can't be read.
        """
        if size < 0:
            return b"".join(iter(lambda: self.read(PIECE_BYTES), b""))
        if not self._piece:
            self._piece = memoryview(self._next_piece())
        data, self._piece = bytes(self._piece[:size]), self._piece[size:]
        return data

    def _next_piece(self) -> bytes:
        while len(self._requested) <= PIECES_AHEAD and self._end < self._meta.size:
            start, self._end = self._end, min(self._end + PIECE_BYTES, self._meta.size)
            self._requested.append(self._threads.submit(self._fetch, start, self._end))
        return wait_for_result(self._requested.popleft()) if self._requested else b""

    def _fetch(self, start: int, end: int) -> bytes:
        from obstore.exceptions import PreconditionError

        same = {"if_match": self._meta.etag} if self._meta.etag else {}
        try:
            return _get(self._store, self._path, {"range": (start, end), **same})
        except (PreconditionError, FileNotFoundError):
            raise ContentChangedError(f"the object changed before byte {end:,} was read; run again") from None
        except _library_errors() as error:
            raise BadFileError(str(_explain(self._name, error))) from None


def _get(store: Any, path: str, options: dict[str, Any] | None = None) -> bytes:
    data: bytes = store.get(path, options=options).bytes().to_bytes()
    return data


def _meta(key: str, meta: Mapping[str, Any]) -> ObjectMeta:
    return ObjectMeta(key, meta["size"], meta["e_tag"], meta["last_modified"])


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
    with _readable_errors(root):
        return kinds[scheme](bucket, client_options=_client_options(scheme, os.environ), **settings)


def _require_role(root: str, environ: Mapping[str, str]) -> None:
    """Fail at once on a machine without a role if only that is left of AWS's chain; the library tries for minutes."""
    if any(environ.get(f"AWS_{name}") for name in _CHAIN):
        return
    address = urlsplit(environ.get("AWS_METADATA_ENDPOINT") or "http://169.254.169.254")
    try:
        socket.create_connection((address.hostname, address.port or 80), ROLE_SECONDS).close()
    except OSError:
        raise UsageError(f"{root}: no credentials were found; {CREDENTIALS['s3']}") from None


def _client_options(scheme: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Time-outs that allow a copy of gigabytes, unless the environment states others (AWS_TIMEOUT).

    The library reads these variables itself, but ignores all of them if one option is given.
    """
    prefix = {"s3": "AWS_", "gs": "GOOGLE_", "az": "AZURE_"}[scheme]
    stated = {name: environ.get(prefix + name.upper()) for name in _CLIENT_OPTIONS}
    return {"timeout": "120s", "connect_timeout": "10s"} | {name: value for name, value in stated.items() if value}


def _shared_profile(environ: Mapping[str, str]) -> dict[str, str]:
    """Keys, region and endpoint of a profile in ~/.aws, unless the environment has credentials.

    obstore reads every other link of AWS's chain itself.
    """
    if any(environ.get(f"AWS_{name}") for name in _CHAIN):
        return {}
    home = Path(environ.get("HOME", "~")).expanduser() / ".aws"
    profiles = configparser.RawConfigParser()
    profiles.read(environ.get("AWS_CONFIG_FILE", home / "config"))
    profiles.read(environ.get("AWS_SHARED_CREDENTIALS_FILE", home / "credentials"))
    name = environ.get("AWS_PROFILE", "default")
    sections = [profiles[section] for section in (f"profile {name}", name) if section in profiles]
    stated = {key: value for section in sections for key, value in section.items()}
    if "aws_access_key_id" in stated:
        return {
            option: stated[key]
            for key, (option, *variables) in _PROFILE_KEYS.items()
            if key in stated and not any(environ.get(variable) for variable in variables)
        }
    if "AWS_PROFILE" in environ:
        export = f'eval "$(aws configure export-credentials --profile {name} --format env)"'
        raise UsageError(f"the profile {name} in {home} states no access key; run {export} first")
    return {}


def _library_errors() -> tuple[type[Exception], ...]:
    """The errors of the library, and of local files that are read or written."""
    from obstore.exceptions import BaseError

    return (BaseError, OSError, ValueError, NotImplementedError)


@contextmanager
def _readable_errors(place: str) -> Iterator[None]:
    try:
        yield
    except TicRatesError:
        raise
    except _library_errors() as error:
        raise _explain(place, error) from None


def _explain(place: str, error: Exception) -> UsageError | StoreError:
    """The library's error, without signatures and with a next step."""
    text = redact_text(next(iter(str(error).splitlines()), type(error).__name__))
    scheme, kind = place.partition(":")[0], type(error).__name__
    refused = kind in ("PermissionDeniedError", "UnauthenticatedError") or re.search(r"\b40[13] (Forb|Unauth)", text)
    if isinstance(error, FileNotFoundError) or any(each in text for each in ("NoSuchBucket", "ContainerNotFound")):
        return UsageError(f"{'/'.join(place.split('/')[:3])}: no such bucket; create it, or give another")
    if any(each in text for each in _NO_CREDENTIALS):
        return UsageError(f"{place}: no credentials were found; {CREDENTIALS.get(scheme, 'check the configuration')}")
    for found, next_step in (
        (refused, "access denied; check what the credentials found here may read and write"),
        ("builder error" in text and "http://" in text, "the endpoint is plain http; AWS_ALLOW_HTTP=true allows it"),
        (re.search("301 |PermanentRedirect|AuthorizationHeaderMalformed", text), "in another region; set AWS_REGION"),
        (isinstance(error, ValueError), f"{text}; give another key"),
    ):
        if found:
            return UsageError(f"{place}: {next_step}")
    return StoreError(f"{place}: {text[:300]}; run again when the store answers")
