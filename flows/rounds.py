"""A round of batches in the shared cache: who reads which, and what came of it.

Three folders of small files: ``batches`` holds what is offered, ``taken`` a mark for each batch that somebody has, and
``answers`` what batches came to. Whoever makes the mark first has the batch: nobody else can, on one file system or in
one object store. What is done with is deleted, so that looking stays cheap however many there are.
"""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from flows.cluster import Answer, Batch, wait_until_seen
from flows.layout import Layout, write_atomically
from flows.mirror import AT_ONCE, create, forget, forget_folder, keep, names_in, renew

Kind = TypeVar("Kind")


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
        for folder in (self._batches, self._taken, self._answers):
            folder.mkdir()
        with ThreadPoolExecutor(AT_ONCE) as threads:
            list(threads.map(self._write, map(self._batch, range(len(batches))), batches))

    def take(self, who: str) -> tuple[int, Batch] | None:
        """The first batch that nobody has; None when there is none, or the round is over."""
        taken = self.taken()  # looked up first: what is done with between the two is offered no more
        for number in map(_number, names_in(self.layout, self._batches)):
            if number is not None and number not in taken and create(self.layout, self._mark(number), who.encode()):
                batch = self._read(self._batch(number), Batch)
                if batch is not None:  # else it was done with in this moment
                    return number, batch
        return None

    def answer(self, number: int, answer: Answer) -> None:
        """Say what a batch came to, while somebody waits for it."""
        if renew(self.layout, self._batch(number)):
            self._write(self._answer(number), answer)

    def taken(self) -> set[int]:
        """What somebody took, and is not done with."""
        return _numbers(names_in(self.layout, self._taken))

    def taken_by(self, who: str) -> set[int]:
        """What this one took, and is not done with."""
        marks = {number: self._mark(number) for number in self.taken()}
        return {number for number, path in marks.items() if self._content(path) == who.encode()}

    def answered(self) -> set[int]:
        """What there is an answer to, and is not done with."""
        return _numbers(names_in(self.layout, self._answers))

    def answer_to(self, number: int) -> Answer | None:
        """What a batch came to; None where its answer does not come to be seen here."""
        path = self._answer(number)
        return self._read(path, Answer) if wait_until_seen(self.layout, path) else None

    def done_with(self, number: int) -> None:
        """Delete what there is of a batch; first itself, so that nobody takes it again."""
        forget(self.layout, self._batch(number))
        forget(self.layout, self._mark(number), self._answer(number))

    def close(self) -> None:
        """Nobody waits any more."""
        forget_folder(self.layout, self.folder)

    @property
    def _batches(self) -> Path:
        return self.folder / "batches"

    @property
    def _taken(self) -> Path:
        return self.folder / "taken"

    @property
    def _answers(self) -> Path:
        return self.folder / "answers"

    def _batch(self, number: int) -> Path:
        return self._batches / f"{number:07d}"

    def _mark(self, number: int) -> Path:
        return self._taken / f"{number:07d}"

    def _answer(self, number: int) -> Path:
        return self._answers / f"{number:07d}"

    def _write(self, path: Path, value: object) -> None:
        write_atomically(path, msgspec.json.encode(value, enc_hook=str))
        keep(self.layout, path)

    def _read(self, path: Path, kind: type[Kind]) -> Kind | None:
        content = self._content(path)
        if content is None:
            return None
        return msgspec.json.decode(content, type=kind, dec_hook=lambda wanted, text: wanted(text))

    def _content(self, path: Path) -> bytes | None:
        try:
            return path.read_bytes() if renew(self.layout, path) else None
        except FileNotFoundError:  # done with in this moment
            return None


def _number(name: str) -> int | None:
    return int(name) if name.isdigit() else None  # else one that is being written


def _numbers(names: Iterable[str]) -> set[int]:
    return {number for number in map(_number, names) if number is not None}
