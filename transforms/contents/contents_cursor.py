"""The position of the fast reading in a table of contents: the bytes at hand, and the objects and arrays around it.

Memory: the unread rest of one block and the next block; one string of up to the limit ``string_bytes``.
"""

from decimal import InvalidOperation
from typing import NoReturn

import ijson
import msgspec
import numpy as np

from transforms.contents.open_elements import OpenElement
from transforms.errors import BadFileError
from transforms.limits import Limits, crossed
from transforms.read.guard import has_long_number
from transforms.read.read_ijson import first_line
from transforms.read.surrogates import mend
from transforms.read.walk import Event
from transforms.scan.blocks import Blocks
from transforms.scan.scan_kernel import children as c
from transforms.scan.scan_kernel import kernel as k

_BLANKS = b" \n\r\t"
_KEY = msgspec.json.Decoder(str)


class ContentsCursor:
    """The bytes at hand, the position in them, and the objects and arrays that are open there."""

    def __init__(self, blocks: Blocks, limits: Limits, enter_from_bytes: int) -> None:
        self.blocks = blocks
        self.enter_from_bytes = enter_from_bytes
        self.limits = limits
        self.stack: list[OpenElement] = []
        self.data = np.zeros(k.PADDING, np.uint8)
        self.size = 0
        self.base = 0  # of data[0] in the document
        self.pos = 0  # where the next child, comma or closing bracket of the innermost object or array is expected
        self.state = np.zeros(c.SLOTS, np.int64)
        self.utf8 = np.zeros(3, np.int64)

    def load_more(self) -> bool:
        """Whether there are more bytes: keeps those from ``pos`` on and appends the next block."""
        if self.size - self.pos > self.limits.string_bytes:
            self.drop_blanks()
        left = self.size - self.pos
        if left > self.limits.string_bytes:
            self.raise_hidden_error()
            place = f"(at or before JSON byte {self.base + self.pos:,})"
            raise crossed(self.limits, "string_bytes", f"the table of contents: a value of more bytes {place}")
        self.base += self.pos
        self.state[c.SCANNED] -= self.pos
        block = self.blocks.next(self.data[self.pos : self.size].data, k.PADDING)
        self.data, self.size, self.pos = np.frombuffer(block.bytes, np.uint8), block.size, 0
        wrong = k.check_utf8(block.address, left, self.size, self.utf8.ctypes.data)
        if wrong >= 0:
            self.fail("bytes that are not UTF-8", at=wrong)
        return self.size > left

    def drop_blanks(self) -> None:
        """Keep one byte of the white space at the end of the data, such as that between a key and its value."""
        if self.state[c.INSIDE]:
            return
        kept = len(self.data[self.pos : self.size].tobytes().rstrip(_BLANKS)) + 1
        dropped = max(self.size - self.pos - kept, 0)
        self.size -= dropped
        self.base += dropped
        self.state[c.SCANNED] -= dropped

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
        return int(self.data[self.pos])

    def skip_blanks(self) -> bool:
        """Whether there is a byte that is not white space; moves ``pos`` to it."""
        self.pos = self.next_nonblank(self.pos)
        return self.pos < self.size

    def next_nonblank(self, start: int) -> int:
        """The position of the first byte from ``start`` on that is not white space, or the end of the data."""
        return k.skip_blanks(self.data.ctypes.data, self.size, start)

    def fail(self, what: str, *, plain: bool = False, at: int | None = None) -> NoReturn:
        """Raise the error with its position in the document."""
        reason = what if plain else f"not well-formed JSON: {what}"
        place = self.base + (self.pos if at is None else at)
        raise BadFileError(f"the table of contents: {reason} (at or before JSON byte {place:,})")

    def raise_hidden_error(self) -> None:
        """Raise the syntax error, if there is one, in the bytes that are not decoded because their end is missing."""
        if not self.stack:
            return
        opening = b"{" if self.stack[-1].is_object else b"["
        parser = ijson.basic_parse_coro(_DiscardEvents())
        data = opening + self.data[self.pos : self.size].tobytes()
        if has_long_number(data, self.limits.number_digits):
            return
        try:
            parser.send(mend(data))
        except (ijson.JSONError, UnicodeDecodeError) as error:
            self.fail(first_line(error), at=self.size)
        except InvalidOperation:
            return

    def expect_end(self) -> None:
        """Read to the end; raises an error if anything but white space follows."""
        while True:
            if self.skip_blanks():
                self.fail("something follows the closed JSON root", plain=True)
            if not self.load_more():
                break
        if self.utf8[0]:
            self.fail("bytes that are not UTF-8")

    def key_and_value(self) -> tuple[str, int] | None:
        """The key at ``pos`` and the position of its value; None if either is beyond the data."""
        if int(self.data[self.pos]) != ord('"'):
            self.fail("an object key expected")
        end = k.string_end(self.data.ctypes.data, self.size, self.pos + 1)
        if end <= -2:
            self.fail(k.ERRORS[k.BAD_STRING], at=-2 - end)
        colon = self.next_nonblank(end + 1) if end >= 0 else self.size
        value = self.next_nonblank(colon + 1)
        if value >= self.size:
            return None
        if int(self.data[colon]) != ord(":"):
            self.fail("a colon expected", at=colon)
        return self.decode_key(self.data[self.pos : end + 1].tobytes()), value

    def decode_key(self, token: bytes) -> str:
        """An object key as text."""
        try:
            return _KEY.decode(mend(token))
        except msgspec.MsgspecError as error:
            self.fail(str(error))


class _DiscardEvents:
    """A target for events that discards them."""

    def send(self, event: Event) -> None:
        """Discard an event."""
