"""The files that an index lists, in one pass over its bytes.

The objects and arrays whose end has not been read yet are open. Their complete children are decoded together, a block
at a time; a child that is longer than a block is opened in turn.
Memory: four blocks of a MiB and what one of them decodes to; one value of up to the limit ``string_bytes``.
"""

import io
import json
import re
from collections.abc import Generator, Iterator
from contextlib import nullcontext
from decimal import InvalidOperation
from typing import Any, BinaryIO, NoReturn

import ijson
import msgspec

from schemas.mrf import ENTRIES_KEYS, LISTED_KEY
from transforms.contents.complete_children import finder
from transforms.contents.index_grammar import NOTHING_KNOWN, IndexGrammar, Kind, OpenElement
from transforms.contents.index_values import Found, read_usual
from transforms.errors import BadFileError
from transforms.limits import Limits, crossed
from transforms.read.guard import GuardedStream, has_long_number, has_long_string
from transforms.read.read_ijson import first_line
from transforms.read.surrogates import mend
from transforms.scan.blocks import BLOCK_BYTES, Block, Blocks, OverlappedBlocks

_BLANKS = b" \n\r\t"
_NEXT = re.compile(rb"[^ \n\r\t]")
_KEY = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.S)
_LISTS = (f'"{LISTED_KEY}"'.encode(),)
_ROOT_LISTS = (*_LISTS, *(f'"{key}"'.encode() for key in sorted(ENTRIES_KEYS)))
_ESCAPED = b"\\u00"
_ESCAPED_LETTER = re.compile(rb"\\u00(?:4[1-9a-f]|5[0-9af]|6[1-9a-f]|7[0-9a])", re.I)  # may be one of a key
_SLACK_BYTES = 64 * 1024  # of keys and brackets around one long string


class _Members(dict[str, Any]):
    """An object whose ``items`` are those written, repeated keys included."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self._pairs = pairs

    def items(self) -> Any:
        """The members as written."""
        return self._pairs


def read_index(
    stream: BinaryIO,
    *,
    strict: bool = False,
    limits: Limits | None = None,
    overlap: bool = True,
    block_bytes: int = BLOCK_BYTES,
) -> Generator[Found, None, None]:
    """Every file listed, in order, repeats included; after those of each structure, its end.

    Plans may come before or after the files of their structure, so they are known at its end only.
    Close what this returns before the stream is closed.

    Args:
        stream: the document's JSON, inflated; read to its end.
        strict: raise an error for other files than indexes, for an in-network file at once.
        overlap: read the stream in a second thread.

    Raises:
        BadFileError: not well-formed JSON, or refused; says the place.
    """
    limits = limits or Limits()
    opened = OverlappedBlocks(stream, block_bytes) if overlap else nullcontext(Blocks(stream, block_bytes))
    with opened as blocks:
        for batch in _Reading(blocks, limits, strict, block_bytes).read():
            yield from batch


class _Reading:
    """The reading of one document: the bytes at hand, the position in them, the open objects and arrays."""

    def __init__(self, blocks: Blocks, limits: Limits, strict: bool, enter_from_bytes: int) -> None:
        self.blocks = blocks
        self.limits = limits
        self.grammar = IndexGrammar(limits, strict=strict)
        self.enter_from_bytes = enter_from_bytes
        self.find_children = finder()
        self.open: list[OpenElement] = []
        self.is_object: list[bool] = []  # of each of them
        self.block = Block(memoryview(b""), 0, 0)
        self.base = 0  # of the block in the document
        self.pos = 0  # where the next child, comma or closing bracket of the innermost one is expected
        self.after_comma = False  # a child must follow
        self.in_string = False  # the block ends inside a string

    def read(self) -> Iterator[list[Found]]:
        """What the whole document lists, in the batches that are decoded at once."""
        first = self.peek()
        if first not in b"{[":
            self.fail("the root is not an object")
        is_object = first == ord("{")
        self.enter(OpenElement(Kind.MEMBERS if is_object else Kind.STRUCTURES), is_object, self.pos + 1)
        while self.open:
            yield from self.read_children()
        self.expect_end()
        if self.grammar.strict and not self.grammar.is_index:
            raise BadFileError(NOTHING_KNOWN)

    # ---- objects and arrays --------------------------------------------------------------------------------

    def enter(self, opened: OpenElement, is_object: bool, pos: int) -> None:
        """Open an object or array whose first child may be at ``pos``."""
        if len(self.open) == self.limits.json_depth:
            raise self.too_deep()
        self.open.append(opened)
        self.is_object.append(is_object)
        self.pos, self.after_comma = pos, False

    def read_children(self) -> Iterator[list[Found]]:
        """What the next children list: those complete in this block; an incomplete one is entered."""
        children = self.find_children(self.block, self.pos, self.limits.json_depth - len(self.open))
        self.in_string = children.in_string
        if children.too_deep:
            raise self.too_deep()
        if children.closed is not None:
            yield self.decode_up_to(children.closed)
            yield self.grammar.end(self.open[-1])
            self.leave()
        elif children.cut is not None:
            yield self.decode_up_to(children.cut)
            self.pos, self.after_comma = children.cut + 1, True
        elif not (self.block.size - self.pos >= self.enter_from_bytes and self.enter_child()):
            self.require_more()

    def leave(self) -> None:
        """Close the innermost object or array, and move to the next child of the outer one."""
        if self.block.bytes[self.pos] != ord("}" if self.is_object.pop() else "]"):
            self.fail("brackets that do not match")
        self.open.pop()
        self.pos += 1
        if not self.open:
            return
        self.after_comma = self.peek() == ord(",")
        if self.after_comma:
            self.pos += 1
        elif self.block.bytes[self.pos] not in b"]}":
            self.fail("a comma or the closing bracket expected")

    def enter_child(self) -> bool:
        """Whether the child at ``pos`` was entered: an object or array with a complete key."""
        if not self.skip_blanks():
            return False
        key, place = self.key_and_value() if self.is_object[-1] else (None, self.pos)
        if place is None or self.block.bytes[place] not in b"{[":
            return False
        is_object = self.block.bytes[place] == ord("{")
        child = self.grammar.open(self.open[-1], key, is_object=is_object, depth=self.depth)
        if child is not None:
            self.enter(child, is_object, place + 1)
        return child is not None

    @property
    def depth(self) -> int:
        """The number of open objects that may be structures."""
        return sum(each.kind is Kind.MEMBERS for each in self.open)

    def key_and_value(self) -> tuple[str | None, int | None]:
        """The key at ``pos`` and the position of its value; None if either is beyond the data."""
        if self.block.bytes[self.pos] != ord('"'):
            self.fail("an object key expected")
        token = _KEY.match(self.block.bytes, self.pos, self.block.size)
        colon = self.next_nonblank(token.end()) if token else None
        value = self.next_nonblank(colon + 1) if colon is not None else None
        if token is None or colon is None or value is None:
            return None, None
        if self.block.bytes[colon] != ord(":"):
            self.fail("a colon expected", at=colon)
        return str(self.decode(token.group(), colon)), value

    # ---- decoding ------------------------------------------------------------------------------------------

    def decode_up_to(self, end: int) -> list[Found]:
        """What the children between ``pos`` and ``end`` list; at ``end`` is a comma or the closing bracket."""
        self.skip_blanks()
        if self.pos == end:
            if self.after_comma or self.block.bytes[end] == ord(","):
                self.fail("a value expected")
            return []
        shell = b"{%b}" if self.is_object[-1] else b"[%b]"
        data = shell % self.block.bytes[self.pos : end]
        self.pos = end
        opened, depth = self.open[-1], self.depth
        escaped = _ESCAPED in data and _ESCAPED_LETTER.search(data) is not None
        if (
            opened.kind is Kind.STRUCTURES
            and depth
            and self.grammar.is_index
            and not escaped
            and not self.has_long(data)
        ):
            usual = read_usual(data, of_entries=opened.of_entries)
            if usual is not None and usual[1] == data.count(_LISTS[0]):
                return usual[0]
        found, lists = self.grammar.read(opened, self.decode(data, end), depth)
        keys = {Kind.MEMBERS: _ROOT_LISTS if depth == 1 else _LISTS, Kind.STRUCTURES: _LISTS}.get(opened.kind, ())
        if lists != sum(map(data.count, keys)) or (keys and escaped):  # a key may be repeated
            found, _ = self.grammar.read(opened, self.decode_exactly(data, end), depth)
        return found

    def has_long(self, data: bytes) -> bool:
        """Whether a string in it may exceed the limit."""
        return has_long_string(data, self.limits.string_bytes)

    def decode(self, data: bytes, end: int) -> Any:
        """The value of JSON text that ends at ``end``."""
        if not self.has_long(data):
            try:
                return msgspec.json.decode(data)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                pass
        return self.decode_exactly(data, end)

    def decode_exactly(self, data: bytes, end: int) -> Any:
        """As ``decode``, with repeated keys; its errors describe invalid JSON."""

        def refuse(text: str) -> NoReturn:
            self.fail(f"{text} is not a JSON value", at=end)

        place = f"(at or before JSON byte {self.base + end:,})"
        guarded = GuardedStream(io.BytesIO(data), self.limits, lambda _: place)
        while guarded.read(BLOCK_BYTES):
            pass
        try:
            return json.loads(mend(data).decode(), object_pairs_hook=_Members, parse_constant=refuse)
        except UnicodeDecodeError:
            self.fail("bytes that are not UTF-8", at=end)
        except json.JSONDecodeError as error:
            self.fail(error.msg, at=end)
        except RecursionError:
            self.fail("nested deeper than can be decoded; lower the limit json_depth", plain=True, at=end)

    # ---- bytes ---------------------------------------------------------------------------------------------

    def load_more(self) -> bool:
        """Whether there are more bytes: retains those from ``pos`` on and appends the next block."""
        most = self.limits.string_bytes + _SLACK_BYTES
        if self.block.size - self.pos > most:
            self.drop_blanks()
        left = self.block.bytes[self.pos : self.block.size]
        if len(left) > most:
            self.raise_hidden_error()
            place = f"(at or before JSON byte {self.base + self.pos:,})"
            raise crossed(self.limits, "string_bytes", f"the index: a value of more bytes {place}")
        self.base += self.pos
        self.pos = 0
        size = len(left)
        self.block = self.blocks.next(left)
        return self.block.size > size

    def drop_blanks(self) -> None:
        """Retain one byte of the white space at the end of the block, such as that between a key and its value."""
        if not self.in_string:
            retained = len(bytes(self.block.bytes[self.pos : self.block.size]).rstrip(_BLANKS)) + 1
            dropped = max(self.block.size - self.pos - retained, 0)
            self.block = self.block._replace(size=self.block.size - dropped)
            self.base += dropped

    def require_more(self) -> None:
        """Load more where the document must not end; if it ends, open children are entered first, to find errors."""
        if self.load_more():
            return
        if self.enter_from_bytes:
            self.enter_from_bytes = 0
        else:
            self.raise_hidden_error()
            self.fail("the JSON ends before its root closed: the file is truncated, fetch it again", plain=True)

    def peek(self) -> int:
        """The next byte that is not white space."""
        while not self.skip_blanks():
            self.require_more()
        return self.block.bytes[self.pos]

    def skip_blanks(self) -> bool:
        """Whether there is a byte that is not white space; moves ``pos`` to it."""
        found = self.next_nonblank(self.pos)
        self.pos = self.block.size if found is None else found
        return found is not None

    def next_nonblank(self, start: int) -> int | None:
        """The position of the first byte from ``start`` on that is not white space."""
        found = _NEXT.search(self.block.bytes, start, self.block.size)
        return found.start() if found else None

    def expect_end(self) -> None:
        """Read to the end; raises an error if anything but white space follows."""
        while True:
            if self.skip_blanks():
                self.fail("something follows the closed JSON root", plain=True)
            if not self.load_more():
                return

    # ---- errors --------------------------------------------------------------------------------------------

    def too_deep(self) -> BadFileError:
        """The error for brackets beyond the limit."""
        return crossed(self.limits, "json_depth", "nested deeper (in the index)")

    def fail(self, what: str, *, plain: bool = False, at: int | None = None) -> NoReturn:
        """Raise the error with its position in the document."""
        reason = what if plain else f"not well-formed JSON: {what}"
        place = self.base + (self.pos if at is None else at)
        raise BadFileError(f"the index: {reason} (at or before JSON byte {place:,})")

    def raise_hidden_error(self) -> None:
        """Raise the syntax error, if there is one, in the bytes that are not decoded because their end is missing."""
        if not self.open:
            return
        data = (b"{" if self.is_object[-1] else b"[") + bytes(self.block.bytes[self.pos : self.block.size])
        if has_long_number(data, self.limits.number_digits):
            return
        try:
            ijson.basic_parse_coro(_DiscardEvents()).send(mend(data))
        except (ijson.JSONError, UnicodeDecodeError) as error:
            self.fail(first_line(error), at=self.block.size)
        except InvalidOperation:
            return


class _DiscardEvents:
    """A target for events that discards them."""

    def send(self, event: object) -> None:
        """Discard an event."""
