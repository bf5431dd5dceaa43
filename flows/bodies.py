"""Remote files fetched whole into the cache before they are read; what a killed process had fetched is gone on with.

Beside each lies what its content is known by, without address, signature or headers.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from flows.fetching import Fetching
from flows.layout import Layout, write_atomically
from flows.ledger import name_on_disk
from flows.resuming import READ_BYTES, ContentChangedError, Held, RemoteFile
from flows.sources import Source
from flows.validators import Validators
from flows.web import Web, opened
from transforms.errors import BadFileError


@dataclass(frozen=True)
class Body:
    """A whole body on disk, and what its content is known by."""

    path: Path
    validators: Validators


@contextmanager
def kept_body(source: Source, fetching: Fetching, layout: Layout, *, known: Validators | None = None) -> Iterator[Body]:
    """Fetch a body, or the rest of it, and keep others from it meanwhile.

    It is deleted when the context ends well, and when its content was no good. A reading that was stopped, or that is
    to be done in another way, finds it again.

    Raises:
        UnchangedError: the content is the one known.
    """
    layout.bodies.mkdir(parents=True, exist_ok=True)
    path = layout.bodies / f"{name_on_disk(source)}.part"
    with _locked(path) as file:
        validators = _fetch(source, file, path, Web(fetching, layout), known)
        try:
            yield Body(path, validators)
        except BadFileError:
            _delete(path)
            raise
        else:
            _delete(path)


@contextmanager
def _locked(path: Path) -> Iterator[BinaryIO]:
    """The file at ``path``, ours alone; whoever had it before us may have deleted it while we waited."""
    while True:
        with path.open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if path.exists() and path.stat().st_ino == os.fstat(file.fileno()).st_ino:
                yield file
                return


def _fetch(source: Source, file: BinaryIO, path: Path, web: Web, known: Validators | None) -> Validators:
    held = _held(file, path)
    try:
        with opened(web, source, known=None if held.size else known, held=held) as remote:
            write_atomically(_note(path), json.dumps(remote.validators.as_json()).encode())
            _copy(remote, file)
            return remote.validators
    except ContentChangedError:
        _note(path).unlink(missing_ok=True)
        file.truncate(0)
        raise


def _copy(remote: RemoteFile, file: BinaryIO) -> None:
    while data := remote.read(READ_BYTES):
        file.write(data)
    file.flush()


def _held(file: BinaryIO, path: Path) -> Held:
    """What an earlier process had fetched, if that can be gone on with; else the file is emptied."""
    held = Held()
    with suppress(OSError, ValueError):
        held.validators = Validators.from_json(json.loads(_note(path).read_bytes()))
        file.seek(0)
        while data := file.read(READ_BYTES):
            held.add(data)
    if held.size and held.validators.if_range is not None:
        return held
    file.truncate(0)
    return Held()


def _note(path: Path) -> Path:
    return path.with_suffix(".json")


def _delete(path: Path) -> None:
    path.unlink(missing_ok=True)
    _note(path).unlink(missing_ok=True)
