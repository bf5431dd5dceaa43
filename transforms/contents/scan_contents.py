"""The fast reading of tables of contents: finds where children end by structure alone, and decodes them by the batch.

The same files, plans, networks and refusals as ``contents.read_contents`` (but for a number whose exponent has 19
digits where nobody asks for it, which passes). Whatever is complete in the block at hand is decoded at once by msgspec,
which checks all of its syntax; what is laid out in a way that its types do not foresee is handed to the plain reading,
those bytes alone. An object or array that is not complete in a whole block (one
structure may be the whole file) is entered, and its own children are treated likewise.

Memory: four blocks of a MiB and what one of them decodes to; one string of up to the limit ``string_bytes``.
"""

import io
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import InvalidOperation
from typing import BinaryIO, NoReturn

import ijson
import msgspec
import numpy as np

from schemas.mrf import LISTED_KEY, NETWORK_KEYS, PLAN_NAME_KEY, PLANS_KEY
from transforms.contents.contents import (
    ContentsDate,
    ContentsEvents,
    Found,
    Level,
    OpenFile,
    too_deep,
)
from transforms.contents.contents_decoding import (
    RepeatedLists,
    Structure,
    check,
    decode_members,
    decode_names,
    decode_plans,
    decode_structures,
    expect_json,
    files_of,
    give,
    give_inside,
    may_name_networks,
    note,
)
from transforms.contents.names import NO_NAMES, Names, name_of, names_of
from transforms.errors import BadFileError, OddElementError
from transforms.limits import Limits, crossed
from transforms.read.clean import text_of
from transforms.read.guard import has_long_number, has_long_string
from transforms.read.read_ijson import HUGE_EXPONENT, first_line, parse
from transforms.read.spool import OpenTemporary
from transforms.read.surrogates import mend
from transforms.read.walk import Event
from transforms.scan.blocks import BLOCK_BYTES, Blocks, OverlappedBlocks, PlainBlocks
from transforms.scan.scan_kernel import children as c
from transforms.scan.scan_kernel import kernel as k

ENGINE = "scan"

_CLOSING = {True: ord("}"), False: ord("]")}

# What an open object or array is to the reading
(
    STRUCTURE,  # an object that may list files
    STRUCTURES,  # an array that may hold such objects
    FILES,
    FILE,
    PLANS,
    PLAN,
    NETWORKS,
    NOTHING,
) = range(8)


_KEY = msgspec.json.Decoder(str)


@dataclass(slots=True)
class _Open:
    """An object or array that was entered. What it says goes to ``level`` or ``file``: its own, or of one around it."""

    kind: int
    is_object: bool
    level: Level = field(default_factory=Level)
    file: OpenFile | None = None
    plan_name: str | None = None
    elements: int = 0  # of NETWORKS


def read_contents(
    stream: BinaryIO,
    open_temporary: OpenTemporary,
    *,
    strict: bool = False,
    limits: Limits | None = None,
    overlap: bool = True,
    block_bytes: int = BLOCK_BYTES,
) -> Generator[Found, None, None]:
    """As ``contents.read_contents``, faster. Close what it returns before the stream is closed.

    Args:
        stream: the document's JSON, inflated; read to its end.
        strict: refuse what is no table of contents, an in-network file at once.
        overlap: read the stream in a second thread.

    Raises:
        BadFileError: not well-formed JSON, or refused; says the place.
    """
    limits = limits or Limits()
    if not overlap:
        for batch in _Reading(PlainBlocks(stream, block_bytes), open_temporary, limits, strict, block_bytes).read():
            yield from batch
        return
    with OverlappedBlocks(stream, k.PADDING, block_bytes) as blocks:
        for batch in _Reading(blocks, open_temporary, limits, strict, block_bytes).read():
            yield from batch


class _Reading:
    """One document on its way through."""

    def __init__(
        self, blocks: Blocks, open_temporary: OpenTemporary, limits: Limits, strict: bool, enter_from_bytes: int
    ) -> None:
        self.blocks = blocks
        self.enter_from_bytes = enter_from_bytes
        self.limits = limits
        self.events = ContentsEvents(open_temporary, limits, strict=strict)
        self.stack: list[_Open] = []
        self.data = np.zeros(k.PADDING, np.uint8)
        self.size = 0
        self.base = 0  # of data[0] in the document
        self.pos = 0  # where the next child, comma or closing bracket of the innermost object or array is looked for
        self.after_comma = False  # a child must stand there
        self.state = np.zeros(c.SLOTS, np.int64)
        self.repeated = RepeatedLists()
        self.utf8 = np.zeros(3, np.int64)

    # ---- bytes ---------------------------------------------------------------------------------------------

    def more(self) -> bool:
        """Put the bytes from ``pos`` on in front of the next block's; False when the document has ended."""
        left = self.size - self.pos
        if left > self.limits.string_bytes:
            self.look_closer()
            place = f"(at or before JSON byte {self.base + self.pos:,})"
            raise crossed(self.limits, "string_bytes", f"the table of contents: a value of more bytes {place}")
        self.base += self.pos
        self.state[c.SCANNED] -= self.pos
        block = self.blocks.next(self.data[self.pos : self.size].data, k.PADDING)
        self.data, self.size, self.pos = np.frombuffer(block.bytes, np.uint8), block.size, 0
        wrong = k.check_utf8(block.address, left, self.size, self.utf8.ctypes.data)
        if wrong >= 0:
            self.bad("bytes that are not UTF-8", at=wrong)
        return self.size > left

    def need_more(self) -> None:
        """As ``more``, where the document can't end; if it does, what is open is entered: a mistake may lie there."""
        if self.more():
            return
        if self.enter_from_bytes:
            self.enter_from_bytes = 0
        else:
            self.look_closer()
            self.bad("the JSON ends before its root closed: the file is truncated, fetch it again", plain=True)

    def peek(self) -> int:
        """The next byte that is not white space."""
        while not self.skip_blanks():
            self.need_more()
        return int(self.data[self.pos])

    def skip_blanks(self) -> bool:
        """Move ``pos`` up to the first byte that is not white space; False where the data end before."""
        self.pos = self.place_from(self.pos)
        return self.pos < self.size

    def place_from(self, start: int) -> int:
        """Where the first byte from ``start`` on stands that is not white space, or the end of the data."""
        return k.skip_blanks(self.data.ctypes.data, self.size, start)

    def bad(self, what: str, *, plain: bool = False, at: int | None = None) -> NoReturn:
        """Raise the error, with its place."""
        reason = what if plain else f"not well-formed JSON: {what}"
        place = self.base + (self.pos if at is None else at)
        raise BadFileError(f"the table of contents: {reason} (at or before JSON byte {place:,})")

    def look_closer(self) -> None:
        """Raise the mistake, if there is one, in what is not decoded for want of its end: it may have hidden it."""
        if not self.stack:
            return
        opening = b"{" if self.stack[-1].is_object else b"["
        parser = ijson.basic_parse_coro(_Forgetful())
        data = opening + self.data[self.pos : self.size].tobytes()
        if has_long_number(data, self.limits.number_digits):
            return
        try:
            parser.send(mend(data))
        except (ijson.JSONError, UnicodeDecodeError) as error:
            self.bad(first_line(error), at=self.size)
        except InvalidOperation:
            return

    # ---- objects and arrays --------------------------------------------------------------------------------

    def read(self) -> Iterator[Sequence[Found]]:
        """The whole document, as much at a time as is decoded at once."""
        first = self.peek()
        if first not in b"{[":
            self.bad("the root is no object")
        is_object = first == ord("{")
        self.enter(_Open(STRUCTURE if is_object else STRUCTURES, is_object), self.pos + 1)
        while self.stack:
            yield from self.go_on()
        self.expect_end()
        self.events.expect_contents()

    def expect_end(self) -> None:
        """Nothing but white space up to the end."""
        while True:
            if self.skip_blanks():
                self.bad("something follows the closed JSON root", plain=True)
            if not self.more():
                break
        if self.utf8[0]:
            self.bad("bytes that are not UTF-8")

    def enter(self, opened: _Open, pos: int) -> None:
        """Go into an object or array whose first child may stand at ``pos``."""
        if len(self.stack) == self.limits.json_depth:
            raise too_deep(self.limits)
        self.stack.append(opened)
        self.begin(pos, after_comma=False)

    def begin(self, pos: int, *, after_comma: bool) -> None:
        """Look for children from ``pos`` on."""
        self.pos = pos
        self.after_comma = after_comma
        self.state[:] = 0
        self.state[c.SCANNED] = pos
        self.state[c.DEEPEST] = self.limits.json_depth - len(self.stack)

    def go_on(self) -> Iterator[Sequence[Found]]:
        """The next children of what was entered last: those complete in this block, or into one that is not."""
        state = self.state
        state[c.CUT] = c.NOWHERE
        event = c.complete_children(self.data.ctypes.data, self.size, state.ctypes.data)
        if event == c.TOO_DEEP:
            raise too_deep(self.limits)
        if event == c.CLOSED:
            yield from self.take(int(state[c.SCANNED]))
            yield from self.leave()
        elif state[c.CUT] != c.NOWHERE:
            cut = int(state[c.CUT])
            yield from self.take(cut)
            self.pos, self.after_comma = cut + 1, True
        elif not (self.size - self.pos >= self.enter_from_bytes and self.enter_child()):
            self.need_more()

    def take(self, end: int) -> Iterator[Sequence[Found]]:
        """The children that stand between ``pos`` and ``end``: a comma, or the closing bracket."""
        opened = self.stack[-1]
        self.skip_blanks()
        if self.pos == end:
            if self.after_comma or int(self.data[end]) == ord(","):
                self.bad("a value expected")
            return
        shell = b"{%b}" if opened.is_object else b"[%b]"
        data = shell % self.data.data[self.pos : end]
        yield self.decode(opened, data, end)
        self.pos = end

    def leave(self) -> Iterator[Sequence[Found]]:
        """Past the closing bracket, and up to what follows it in the object or array around."""
        opened = self.stack.pop()
        if int(self.data[self.pos]) != _CLOSING[opened.is_object]:
            self.bad("brackets that do not match")
        self.pos += 1
        yield from self.end(opened)
        if not self.stack:
            return
        after_comma = self.peek() == ord(",")
        if after_comma:
            self.pos += 1
        elif int(self.data[self.pos]) not in b"]}":
            self.bad("a comma or the closing bracket expected")
        self.begin(self.pos, after_comma=after_comma)

    def end(self, opened: _Open) -> Iterator[Sequence[Found]]:
        """What is known now that this one has ended."""
        if opened.kind == PLAN:
            opened.level.plans += 1
            opened.level.plan_names = opened.level.plan_names.plus(name_of(opened.plan_name))
        elif opened.kind == FILE:
            assert opened.file is not None
            listed = opened.file.end()
            if listed is not None:
                yield (listed,)
        elif opened.kind == STRUCTURE and opened.level.lists_files:
            yield (opened.level.end(),)

    def enter_child(self) -> bool:
        """Go into the child at ``pos``; False where it is a string, number or literal, or its key is not complete."""
        if not self.skip_blanks():
            return False
        outer = self.stack[-1]
        key: str | None = None
        place = self.pos
        if outer.is_object:
            found = self.key_and_value()
            if found is None:
                return False
            key, place = found
            if outer.kind == STRUCTURE:
                self.events.note_key(key, sum(each.kind == STRUCTURE for each in self.stack))
        first = int(self.data[place])
        if first not in b"{[":
            return False
        self.enter(self.child(outer, key, is_object=first == ord("{")), place + 1)
        return True

    def key_and_value(self) -> tuple[str, int] | None:
        """The key at ``pos`` and where its value begins; None while one of them is beyond the data."""
        if int(self.data[self.pos]) != ord('"'):
            self.bad("an object key expected")
        end = k.string_end(self.data.ctypes.data, self.size, self.pos + 1)
        if end <= -2:
            self.bad(k.ERRORS[k.BAD_STRING], at=-2 - end)
        colon = self.place_from(end + 1) if end >= 0 else self.size
        value = self.place_from(colon + 1)
        if value >= self.size:
            return None
        if int(self.data[colon]) != ord(":"):
            self.bad("a colon expected", at=colon)
        return self.decode_key(self.data[self.pos : end + 1].tobytes()), value

    def decode_key(self, token: bytes) -> str:
        """An object key as text."""
        try:
            return _KEY.decode(mend(token))
        except msgspec.MsgspecError as error:
            self.bad(str(error))

    def child(self, outer: _Open, key: str | None, *, is_object: bool) -> _Open:
        """What a child that is entered is to the reading. What it replaces is forgotten."""
        if outer.kind == STRUCTURES or (outer.kind == STRUCTURE and not self.is_known(key)):
            return _Open(STRUCTURE, True) if is_object else _Open(STRUCTURES, False)
        if outer.kind == STRUCTURE:
            return self.child_of_structure(outer.level, key, is_object=is_object)
        if outer.kind == FILES and is_object:
            return _Open(FILE, True, file=OpenFile())
        if outer.kind == PLANS and is_object:
            return _Open(PLAN, True, outer.level)
        if outer.kind == FILE and key in NETWORK_KEYS:
            assert outer.file is not None
            outer.file.networks = NO_NAMES
            return _Open(NOTHING if is_object else NETWORKS, is_object, file=outer.file)
        if outer.kind == FILE and key in ("location", "description"):
            setattr(outer.file, key, None)
        elif outer.kind == PLAN and key == PLAN_NAME_KEY:
            outer.plan_name = None
        elif outer.kind == NETWORKS:
            self.count_names(outer, 1)
        return _Open(NOTHING, is_object)

    @staticmethod
    def child_of_structure(level: Level, key: str | None, *, is_object: bool) -> _Open:
        """The value of a key that means something by itself."""
        if key == LISTED_KEY:
            level.lists_files = True
            return _Open(FILE, True, file=OpenFile()) if is_object else _Open(FILES, False)
        if key == PLANS_KEY:
            level.plans, level.plan_names = 0, NO_NAMES
            return _Open(PLAN if is_object else PLANS, is_object, level)
        level.networks = NO_NAMES
        return _Open(NOTHING if is_object else NETWORKS, is_object, level)

    @staticmethod
    def is_known(key: str | None) -> bool:
        """Whether this key of a structure means something by itself."""
        return key in (LISTED_KEY, PLANS_KEY) or key in NETWORK_KEYS

    # ---- decoding ------------------------------------------------------------------------------------------

    def decode(self, opened: _Open, data: bytes, end: int) -> Sequence[Found]:
        """Complete children, in the brackets of their kind, up to ``end``."""
        try:
            if self.state[c.LONG_NUMBER] or has_long_string(data, self.limits.string_bytes):
                raise OddElementError
            if opened.kind == STRUCTURES:
                return self.structures(data)
            if opened.kind == STRUCTURE:
                return self.members(opened.level, data)
            if opened.kind == FILES:
                return (files_of(data),)
            self.decode_rest(opened, data)
        except (OddElementError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return self.plainly(opened, data, end)
        return ()

    def decode_rest(self, opened: _Open, data: bytes) -> None:
        """Children that list nothing themselves."""
        if opened.kind == PLANS:
            plans = decode_plans(data)
            opened.level.plans += len(plans)
            opened.level.plan_names = opened.level.plan_names.plus(names_of(plan.plan_name for plan in plans))
        elif opened.kind == NETWORKS:
            names = decode_names(data)
            self.count_names(opened, len(names))
            self.add_networks(opened, names_of(names))
        elif opened.kind == NOTHING:
            expect_json(data)
        else:
            raise OddElementError

    def count_names(self, opened: _Open, more: int) -> None:
        """As ``Walker.scalars``."""
        opened.elements += more
        if opened.elements > self.limits.list_entries:
            raise crossed(self.limits, "list_entries", "a longer list of names (in the table of contents)")

    def add_networks(self, opened: _Open, names: Names) -> None:
        """Names of a structure's networks, or of a file's."""
        owner = opened.level if opened.file is None else opened.file
        owner.networks = owner.networks.plus(names)

    def structures(self, data: bytes) -> Sequence[Found]:
        """What elements of an array list that may be structures."""
        networks = may_name_networks(data)
        decoded = decode_structures(data, unread=self.repeated.begin(unless=networks))
        depth = sum(each.kind == STRUCTURE for each in self.stack) + 1
        self.check(decoded, data, depth)
        found = self.dates(decoded, depth)
        give(decoded, found, self.repeated, networks=networks)
        return found

    def members(self, level: Level, data: bytes) -> Sequence[Found]:
        """What members of a structure list."""
        part = decode_members(data)
        depth = sum(each.kind == STRUCTURE for each in self.stack)
        self.check((part,), data, depth)
        found = self.dates((part,), depth)
        give_inside(part, found, self.repeated, networks=may_name_networks(data))
        note(part, level)
        return found

    @staticmethod
    def dates(decoded: Sequence[Structure], depth: int) -> list[Found]:
        """The dates that tables of contents state of themselves: outermost objects only."""
        stated = (each.last_updated_on for each in decoded if depth == 1)
        return [ContentsDate(text) for text in stated if isinstance(text, str)]

    def check(self, decoded: Sequence[Structure], data: bytes, depth: int) -> None:
        """That all that is listed was decoded; at the root's depth prices are no table of contents'."""
        events = self.events
        events.is_contents = check(
            decoded, data, is_contents=events.is_contents, prices_refused=events.strict and depth == 1
        )

    # ---- the plain reading ---------------------------------------------------------------------------------

    def plainly(self, opened: _Open, data: bytes, end: int) -> Sequence[Found]:
        """The same by ijson's events, which tell what is wrong where it is no JSON."""
        events = parse(io.BytesIO(data), self.limits, lambda _: f"(at or before JSON byte {self.base + end:,})")
        try:
            return list(self.walk(opened, events))
        except InvalidOperation:
            self.bad(HUGE_EXPONENT, at=end)
        except (ijson.JSONError, UnicodeDecodeError) as error:
            self.bad(first_line(error), at=end)

    def walk(self, opened: _Open, events: Iterator[Event]) -> Iterator[Found]:
        """Children by events."""
        reading = self.events
        walker = reading.walker
        first = next(events)
        walker.next = events.__next__
        kind = opened.kind
        if kind in (STRUCTURES, STRUCTURE):
            levels = [each.level for each in self.stack if each.kind == STRUCTURE]
            yield from reading.walk(events, levels)
        elif kind == FILES:
            yield from reading.files(*first)
        elif kind == PLANS:
            count, names = reading.plans(*first)
            opened.level.plans += count
            opened.level.plan_names = opened.level.plan_names.plus(names)
        elif kind == FILE:
            assert opened.file is not None
            reading.file_members(opened.file)
        elif kind == PLAN:
            opened.plan_name = reading.plan_name(opened.plan_name)
        elif kind == NETWORKS:
            scalars = walker.scalars(*first)
            self.count_names(opened, len(scalars))
            self.add_networks(opened, names_of(text_of(scalar) for scalar in scalars))
        for _ in events:  # to the end: it must be JSON
            pass


class _Forgetful:
    """Takes events, and keeps none."""

    def send(self, event: Event) -> None:
        """Nothing."""
