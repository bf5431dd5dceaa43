"""A round of batches in the shared cache: who reads which, and what came of it.

A folder of small files: ``00001.json`` is a batch, ``00001.taken`` says who took it, ``00001.answer.json`` is what it
came to. Whoever makes ``.taken`` first has the batch: nobody else can, on one file system or in one object store.
The folder goes with the round; what a worker says after that is not kept.
"""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec

from flows.cluster import Answer, Batch, wait_until_seen
from flows.layout import Layout, write_atomically
from flows.mirror import AT_ONCE, create, forget, keep, names_in, renew

Kind = TypeVar("Kind")
_BATCH, _TAKEN, _ANSWER = ".json", ".taken", ".answer.json"


class Seen(NamedTuple):
    """Numbers of the batches that somebody took, and of those that there is an answer to."""

    taken: set[int]
    answered: set[int]


@dataclass(frozen=True)
class Round:
    """Batches by number, from 0."""

    layout: Layout
    name: str

    @property
    def folder(self) -> Path:
        """For us alone: addresses may be signed."""
        return self.layout.batches / self.name

    def offer(self, batches: Sequence[Batch]) -> None:
        """Write the batches."""
        self.folder.mkdir(mode=0o700, parents=True)
        with ThreadPoolExecutor(AT_ONCE) as threads:
            list(threads.map(self._write, (self._path(number, _BATCH) for number in range(len(batches))), batches))

    def take(self, who: str) -> tuple[int, Batch] | None:
        """The first batch that nobody has; None when there is none, or the round is over."""
        names = names_in(self.layout, self.folder)
        for number in sorted(_numbers(names, _BATCH) - _numbers(names, _TAKEN)):
            if create(self.layout, self._path(number, _TAKEN), who.encode()):
                batch = self._read(self._path(number, _BATCH), Batch)
                return None if batch is None else (number, batch)
        return None

    def answer(self, number: int, answer: Answer) -> None:
        """Say what a batch came to, while somebody waits for it."""
        if renew(self.layout, self._path(number, _BATCH)):
            self._write(self._path(number, _ANSWER), answer)

    def look(self) -> Seen:
        """How far it has come."""
        names = names_in(self.layout, self.folder)
        return Seen(_numbers(names, _TAKEN), _numbers(names, _ANSWER))

    def taken_by(self, who: str, numbers: Iterable[int]) -> set[int]:
        """Those among the numbers that this one took."""
        paths = {number: self._path(number, _TAKEN) for number in numbers}
        return {
            number for number, path in paths.items() if renew(self.layout, path) and path.read_bytes() == who.encode()
        }

    def answer_to(self, number: int) -> Answer | None:
        """What a batch came to; None where its answer does not come to be seen here."""
        path = self._path(number, _ANSWER)
        return self._read(path, Answer) if wait_until_seen(self.layout, path) else None

    def close(self) -> None:
        """Nobody waits any more."""
        forget(self.layout, self.folder)

    def _path(self, number: int, suffix: str) -> Path:
        return self.folder / f"{number:05d}{suffix}"

    def _write(self, path: Path, value: object) -> None:
        write_atomically(path, msgspec.json.encode(value, enc_hook=str))
        keep(self.layout, path)

    def _read(self, path: Path, kind: type[Kind]) -> Kind | None:
        if not renew(self.layout, path):
            return None
        return msgspec.json.decode(path.read_bytes(), type=kind, dec_hook=lambda wanted, text: wanted(text))


def _numbers(names: Iterable[str], suffix: str) -> set[int]:
    return {int(stem) for name in names if (stem := name.removesuffix(suffix)) != name and stem.isdigit()}
