"""The fast reading of tables of contents: the kernel finds where children end, msgspec decodes them in batches.

The same files, plans, networks and errors as ``contents.read_contents``, except that a number whose exponent has 19
digits is accepted in values that are not read. msgspec decodes the complete children in a block at once and checks
their syntax. Bytes in a layout that its types do not describe go to the plain reading. An object or array that is
longer than a block (one structure may be the whole file) is entered, and its children are treated in the same way.

Memory: four blocks of a MiB and what one of them decodes to; one string of up to the limit ``string_bytes``.
"""

import io
from collections.abc import Generator, Iterator, Sequence
from decimal import InvalidOperation
from typing import BinaryIO

import ijson
import msgspec

from transforms.contents.contents import (
    ContentsDate,
    ContentsEvents,
    Found,
    Level,
    too_deep,
)
from transforms.contents.contents_cursor import ContentsCursor
from transforms.contents.contents_decoding import (
    RepeatedLists,
    Structure,
    add_members,
    append_listed,
    append_nested,
    check,
    decode_members,
    decode_names,
    decode_plans,
    decode_structures,
    expect_json,
    files_of,
    may_name_networks,
)
from transforms.contents.names import Names, name_of, names_of
from transforms.contents.open_elements import (
    FILE,
    FILES,
    NETWORKS,
    NOTHING,
    PLAN,
    PLANS,
    STRUCTURE,
    STRUCTURES,
    OpenElement,
    count_names,
    open_child,
)
from transforms.errors import OddElementError
from transforms.limits import Limits
from transforms.read.clean import text_of
from transforms.read.guard import has_long_string
from transforms.read.read_ijson import HUGE_EXPONENT, first_line, parse
from transforms.read.spool import OpenTemporary
from transforms.read.walk import Event
from transforms.scan.blocks import BLOCK_BYTES, Blocks, OverlappedBlocks, PlainBlocks
from transforms.scan.scan_kernel import children as c
from transforms.scan.scan_kernel import kernel as k

ENGINE = "scan"

_CLOSING = {True: ord("}"), False: ord("]")}


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
        strict: raise an error for other files than tables of contents, for an in-network file at once.
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


class _Reading(ContentsCursor):
    """The reading of one document."""

    def __init__(
        self, blocks: Blocks, open_temporary: OpenTemporary, limits: Limits, strict: bool, enter_from_bytes: int
    ) -> None:
        super().__init__(blocks, limits, enter_from_bytes)
        self.events = ContentsEvents(open_temporary, limits, strict=strict)
        self.after_comma = False  # a child must follow
        self.repeated = RepeatedLists()

    # ---- objects and arrays --------------------------------------------------------------------------------

    def read(self) -> Iterator[Sequence[Found]]:
        """What the whole document lists, in the batches that are decoded at once."""
        first = self.peek()
        if first not in b"{[":
            self.fail("the root is no object")
        is_object = first == ord("{")
        self.enter(OpenElement(STRUCTURE if is_object else STRUCTURES, is_object), self.pos + 1)
        while self.stack:
            yield from self.decode_children()
        self.expect_end()
        self.events.expect_contents()

    def enter(self, opened: OpenElement, pos: int) -> None:
        """Enter an object or array whose first child may be at ``pos``."""
        if len(self.stack) == self.limits.json_depth:
            raise too_deep(self.limits)
        self.stack.append(opened)
        self.begin(pos, after_comma=False)

    def begin(self, pos: int, *, after_comma: bool) -> None:
        """Set the position from which children are read."""
        self.pos = pos
        self.after_comma = after_comma
        self.state[:] = 0
        self.state[c.SCANNED] = pos
        self.state[c.DEEPEST] = self.limits.json_depth - len(self.stack)

    def decode_children(self) -> Iterator[Sequence[Found]]:
        """What the next children list: those complete in this block; an incomplete one is entered."""
        state = self.state
        state[c.CUT] = c.NOWHERE
        event = c.complete_children(self.data.ctypes.data, self.size, state.ctypes.data)
        if event == c.TOO_DEEP:
            raise too_deep(self.limits)
        if event == c.CLOSED:
            yield from self.decode_between(int(state[c.SCANNED]))
            yield from self.leave()
        elif state[c.CUT] != c.NOWHERE:
            cut = int(state[c.CUT])
            yield from self.decode_between(cut)
            self.pos, self.after_comma = cut + 1, True
        elif not (self.size - self.pos >= self.enter_from_bytes and self.enter_child()):
            self.require_more()

    def decode_between(self, end: int) -> Iterator[Sequence[Found]]:
        """What the children between ``pos`` and ``end`` list; at ``end`` is a comma or the closing bracket."""
        opened = self.stack[-1]
        self.skip_blanks()
        if self.pos == end:
            if self.after_comma or int(self.data[end]) == ord(","):
                self.fail("a value expected")
            return
        shell = b"{%b}" if opened.is_object else b"[%b]"
        data = shell % self.data.data[self.pos : end]
        yield self.decode(opened, data, end)
        self.pos = end

    def leave(self) -> Iterator[Sequence[Found]]:
        """What is known at the closing bracket; moves to the next child of the outer object or array."""
        opened = self.stack.pop()
        if int(self.data[self.pos]) != _CLOSING[opened.is_object]:
            self.fail("brackets that do not match")
        self.pos += 1
        yield from self.end(opened)
        if not self.stack:
            return
        after_comma = self.peek() == ord(",")
        if after_comma:
            self.pos += 1
        elif int(self.data[self.pos]) not in b"]}":
            self.fail("a comma or the closing bracket expected")
        self.begin(self.pos, after_comma=after_comma)

    def end(self, opened: OpenElement) -> Iterator[Sequence[Found]]:
        """What is known at the end of an object or array."""
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
        """Whether the child at ``pos`` was entered: an object or array with a complete key."""
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
        self.enter(open_child(outer, key, self.limits, is_object=first == ord("{")), place + 1)
        return True

    # ---- decoding ------------------------------------------------------------------------------------------

    def decode(self, opened: OpenElement, data: bytes, end: int) -> Sequence[Found]:
        """What complete children, enclosed in brackets, list."""
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
            return self.parse_plainly(opened, data, end)
        return ()

    def decode_rest(self, opened: OpenElement, data: bytes) -> None:
        """Decode children that list no files."""
        if opened.kind == PLANS:
            plans = decode_plans(data)
            opened.level.plans += len(plans)
            opened.level.plan_names = opened.level.plan_names.plus(names_of(plan.plan_name for plan in plans))
        elif opened.kind == NETWORKS:
            names = decode_names(data)
            count_names(opened, len(names), self.limits)
            self.add_networks(opened, names_of(names))
        elif opened.kind == NOTHING:
            expect_json(data)
        else:
            raise OddElementError

    def add_networks(self, opened: OpenElement, names: Names) -> None:
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
        append_listed(decoded, found, self.repeated, networks=networks)
        return found

    def members(self, level: Level, data: bytes) -> Sequence[Found]:
        """What members of a structure list."""
        part = decode_members(data)
        depth = sum(each.kind == STRUCTURE for each in self.stack)
        self.check((part,), data, depth)
        found = self.dates((part,), depth)
        append_nested(part, found, self.repeated, networks=may_name_networks(data))
        add_members(part, level)
        return found

    @staticmethod
    def dates(decoded: Sequence[Structure], depth: int) -> list[Found]:
        """``last_updated_on`` of the outermost object."""
        stated = (each.last_updated_on for each in decoded if depth == 1)
        return [ContentsDate(text) for text in stated if isinstance(text, str)]

    def check(self, decoded: Sequence[Structure], data: bytes, depth: int) -> None:
        """Raise ``OddElementError`` unless all listed files were decoded; at the root, also for in-network prices."""
        events = self.events
        events.is_contents = check(
            decoded, data, is_contents=events.is_contents, prices_refused=events.strict and depth == 1
        )

    # ---- the plain reading ---------------------------------------------------------------------------------

    def parse_plainly(self, opened: OpenElement, data: bytes, end: int) -> Sequence[Found]:
        """What the children list, read by ijson, whose errors describe invalid JSON."""
        events = parse(io.BytesIO(data), self.limits, lambda _: f"(at or before JSON byte {self.base + end:,})")
        try:
            return list(self.walk(opened, events))
        except InvalidOperation:
            self.fail(HUGE_EXPONENT, at=end)
        except (ijson.JSONError, UnicodeDecodeError) as error:
            self.fail(first_line(error), at=end)

    def walk(self, opened: OpenElement, events: Iterator[Event]) -> Iterator[Found]:
        """What the children list, from events."""
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
            count_names(opened, len(scalars), self.limits)
            self.add_networks(opened, names_of(text_of(scalar) for scalar in scalars))
        for _ in events:  # to the end: it must be JSON
            pass
