"""The distinct files of an index by their keys: those wanted in memory, the others in a temporary database.

Memory: the files that are wanted, some 600 bytes each; ``MOST_RECENT`` others; the database's cache.
"""

import errno
import hashlib
import marshal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from heapq import merge

from transforms.contents.index_values import NO_PLANS, Plans, StructureEnd
from transforms.contents.names import NO_NAMES, Names

MOST_RECENT = 10_000
_OPEN = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA cache_size = -4096;  -- KiB
CREATE TABLE file (number INTEGER PRIMARY KEY, record BLOB);
CREATE TABLE number (digest BLOB PRIMARY KEY, number INTEGER) WITHOUT ROWID;
BEGIN;
"""


@dataclass(slots=True)
class FoundFile:
    """One distinct file. ``included`` and ``excluded``: by any of its mentions, so that their order says nothing."""

    name: str  # without query, which is what patterns see
    location: str  # as last mentioned: that signature may be the freshest
    contents: str | None = None  # the index that mentioned it last
    refused: bool = False  # a location that can't be followed
    description: str | None = None
    mentions: int = 0
    plans: Plans = NO_PLANS  # of the structures that mention it, summed
    networks: Names = NO_NAMES
    included: bool = False
    excluded: bool = False
    structure: int = 0  # the number of the structure that mentioned it last
    open: bool = False  # that structure's plans and networks are missing: they are in ``FoundFiles.ends``, or will be
    updated: str | None = None  # last_updated_on of its entry, as stated
    bytes: int | None = None  # as an index states them
    in_month: bool = False  # by the address or the date of an index that lists it
    number: int = 0  # by first mention

    def add_match(self, match: tuple[bool, bool]) -> None:
        """Add whether one of the texts that belong to this file is included or excluded."""
        self.included = self.included or match[0]
        self.excluded = self.excluded or match[1]

    def end_structure(self, end: StructureEnd) -> None:
        """Add the plans and networks of the structure that mentions it."""
        self.plans, self.networks, self.open = self.plans.plus(end.plans), self.networks.plus(end.networks), False


class FoundFiles:
    """Files by key, in order of first mention.

    wanted: whether a file stays in memory. ends: of structures, by number, that were open when files left memory.
    """

    def __init__(self, wanted: Callable[[FoundFile], bool], ends: dict[int, StructureEnd]) -> None:
        self._wanted = wanted
        self._ends = ends
        self._kept: dict[str, FoundFile] = {}
        self._recent: dict[str, FoundFile] = {}  # new ones, and those that came back from the database
        self._count = 0
        self._stored = 0  # in the database
        self._database: sqlite3.Connection | None = None

    def __len__(self) -> int:
        return self._count

    @property
    def is_full(self) -> bool:
        """Whether ``settle`` is due."""
        return len(self._recent) > MOST_RECENT

    def get(self, key: str) -> FoundFile | None:
        """The file of that key; it is in memory until ``settle``."""
        file = self._kept.get(key) or self._recent.get(key)
        if file is None and self._stored:
            file = self._fetch(key)
        return file

    def add(self, key: str, file: FoundFile) -> FoundFile:
        """Add a file whose key is new."""
        self._recent[key] = file
        self._count += 1
        file.number = self._count
        return file

    def complete(self, file: FoundFile) -> FoundFile:
        """The file with the plans and networks of its last structure, if that has ended."""
        if file.open and file.structure in self._ends:
            file.end_structure(self._ends[file.structure])
        return file

    def settle(self) -> None:
        """Move the recent files that are not wanted to the database. No reference to a file may be used after that."""
        others: dict[str, FoundFile] = {}
        for key, file in self._recent.items():
            (self._kept if self._wanted(self.complete(file)) else others)[key] = file
        self._recent = {}
        if others:
            with _explained() as connect:
                if self._database is None:
                    self._database = connect()
                numbers = sorted((_digest(key), file.number) for key, file in others.items())
                self._database.executemany("INSERT INTO number VALUES (?, ?)", numbers)
                records = ((file.number, _packed(key, file)) for key, file in others.items())
                self._database.executemany("INSERT INTO file VALUES (?, ?)", records)
            self._stored += len(others)

    def items(self) -> Iterator[tuple[str, FoundFile]]:
        """Keys and files; what is changed of a file may be lost."""
        held = sorted((file.number, key, file) for part in (self._kept, self._recent) for key, file in part.items())
        for _, key, file in merge(held, self._records(), key=lambda each: each[0]):
            yield key, self.complete(file)

    def values(self) -> Iterator[FoundFile]:
        """The files; what is changed of one may be lost."""
        return (file for _, file in self.items())

    def _records(self) -> Iterator[tuple[int, str, FoundFile]]:
        if self._database is not None:
            with _explained():
                for number, record in self._database.execute("SELECT number, record FROM file ORDER BY number"):
                    yield number, *_unpacked(record, number)

    def _fetch(self, key: str) -> FoundFile | None:
        assert self._database is not None
        with _explained():
            digest = (_digest(key),)
            number: tuple[int] | None
            number = self._database.execute("SELECT number FROM number WHERE digest = ?", digest).fetchone()
            if number is None:
                return None
            (record,) = self._database.execute("SELECT record FROM file WHERE number = ?", number).fetchone()
            self._database.execute("DELETE FROM number WHERE digest = ?", digest)
            self._database.execute("DELETE FROM file WHERE number = ?", number)
        self._stored -= 1
        file = self._recent[key] = _unpacked(record, number[0])[1]
        return file


@contextmanager
def _explained() -> Iterator[Callable[[], sqlite3.Connection]]:
    """A full disk as the system's error, which says what to do. Gives what opens a database without a name."""
    try:
        yield _connect
    except sqlite3.Error as error:
        code = {"SQLITE_FULL": errno.ENOSPC, "SQLITE_NOMEM": errno.ENOMEM}.get(error.sqlite_errorname, errno.EIO)
        raise OSError(code, f"the temporary database of an index: {error}") from error


def _connect() -> sqlite3.Connection:
    """A database in a file that SQLite deletes at once, under TMPDIR."""
    database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
    database.executescript(_OPEN)
    return database


def _digest(key: str) -> bytes:
    return hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _packed(key: str, file: FoundFile) -> bytes:
    plans = file.plans
    names = [(each.first, each.cut) for each in (plans.names, plans.market_types, plans.id_types, file.networks)]
    rest = (file.mentions, file.included, file.excluded, file.structure, file.open, file.updated, file.bytes)
    stated = (key, file.name, file.location, file.contents, file.refused, file.description, file.in_month)
    return marshal.dumps((*stated, plans.count, *names, *rest))


def _unpacked(record: bytes, number: int) -> tuple[str, FoundFile]:
    key, name, location, contents, refused, description, in_month, count, *rest = marshal.loads(record)
    plan_names, market_types, id_types, networks = (Names(*each) for each in rest[:4])
    mentions, included, excluded, structure, is_open, updated, size = rest[4:]
    return key, FoundFile(
        name, location, contents, refused, description, mentions, Plans(count, plan_names, market_types, id_types),
        networks, included, excluded, structure, is_open, updated, size, in_month, number,
    )  # fmt: skip
