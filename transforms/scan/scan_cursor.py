"""The position of a reading in its document: the current block, and the tokens that Python decodes.

The kernel passes over everything else. Python decodes keys and scalars of the root, and of an item too long to be
decoded at once.
Memory: that of ``blocks``, and one token of up to its limit.
"""

import io
from array import array
from decimal import InvalidOperation

import ijson
import msgspec

from transforms.errors import BadFileError
from transforms.limits import crossed
from transforms.read.collect import Collected
from transforms.read.guard import first_quote, last_quote
from transforms.read.read_ijson import HUGE_EXPONENT, first_line, parse
from transforms.read.surrogates import mend
from transforms.scan.blocks import Blocks, Store, memory_of
from transforms.scan.scan_kernel import kernel as k

_TEXT = msgspec.json.Decoder(str)
_LITERALS = {b"true": True, b"false": False, b"null": None}
_BLANKS = b" \n\r\t"
_NOTHING_READ = memory_of(k.PADDING)
_CLEARED = array("q", bytes(8 * k.SLOTS))


class Cursor:
    """A position in one document that only moves forward."""

    def __init__(self, blocks: Blocks, collected: Collected) -> None:
        self.blocks = blocks
        self.collected = collected
        self.limits = collected.limits
        self.open_string = -1  # start, in the document, of the string that was open at the last block's end
        self.cut_escape = 0  # whether the next block's first byte is escaped there
        self.data, self.address = _NOTHING_READ
        self.size = 0
        self.stored_by: Store | None = None  # the function by which another thread has spooled this block
        self.base = 0  # of data[0] in the document
        self.pos = 0
        self.state = array("q", bytes(8 * k.SLOTS))
        self.state_address, _ = self.state.buffer_info()
        self.utf8 = array("q", bytes(8 * 3))
        self.utf8_address, _ = self.utf8.buffer_info()

    # ---- bytes ---------------------------------------------------------------------------------------------

    def more(self) -> bool:
        """Put the bytes from ``pos`` on in front of the next block's; False when the document has ended."""
        left = self.size - self.pos
        if left - 1 > self.limits.string_bytes:
            raise self.too_long_string()
        self.base += self.pos
        self.data, self.address, self.size, self.stored_by = self.blocks.next(self.data[self.pos : self.size])
        self.pos = 0
        wrong = k.check_utf8(self.address, left, self.size, self.utf8_address)
        if wrong >= 0:
            self.pos = wrong
            raise self.bad("bytes that are not UTF-8")
        return self.size > left

    def need_more(self) -> None:
        """As ``more``, where the document can't end."""
        if not self.more():
            raise self.bad("the JSON ends before its root closed: the file is truncated, fetch it again", plain=True)

    def peek(self) -> int:
        """The next byte that is not white space."""
        while True:
            if self.pos < self.size and (byte := self.data[self.pos]) not in _BLANKS:
                return byte
            self.pos = k.skip_blanks(self.address, self.size, self.pos)
            if self.pos == self.size:
                self.need_more()

    def expect_end(self) -> None:
        """Nothing but white space up to the end."""
        while True:
            self.pos = k.skip_blanks(self.address, self.size, self.pos)
            if self.pos < self.size:
                raise self.bad("something follows the closed JSON root", plain=True)
            if not self.more():
                break
        if self.utf8[0]:
            raise self.bad("bytes that are not UTF-8")

    def bad(self, what: str, *, plain: bool = False) -> BadFileError:
        """The error, with its place."""
        reason = what if plain else f"not well-formed JSON: {what}"
        return BadFileError(f"{reason} {self.place(self.pos)}")

    def place(self, pos: int) -> str:
        """Where a byte of the block stands, for reasons."""
        return f"(in or after {self.collected.where}, at JSON byte {self.base + pos:,})"

    def too_long_string(self) -> BadFileError:
        """The error for a string beyond its limit."""
        return crossed(self.limits, "string_bytes", f"a string of more bytes {self.place(self.pos)}")

    # ---- strings that are passed over ----------------------------------------------------------------------

    def measure_strings(self, *, inside: bool, escaped: int = 0) -> None:
        """Refuse a string that is longer than its limit, at a block's end; note where one that is open there starts.

        Only strings that are passed over are measured here. It reads the two ends of a block, unless a string fills it.
        """
        data, start = self.data, 0
        if self.open_string >= 0:
            first = first_quote(data, self.cut_escape, self.size)
            end = self.size if first < 0 else first
            if self.base + end - self.open_string > self.limits.string_bytes:
                raise self.too_long_string()
            if first < 0 and inside:
                self.cut_escape = escaped
                return
            start = end + 1
        self.cut_escape = escaped
        self.open_string = self.base + last_quote(data, start, self.size) + 1 if inside else -1

    # ---- tokens --------------------------------------------------------------------------------------------

    def key(self) -> str:
        """An object key, decoded."""
        if self.peek() != ord('"'):
            raise self.bad("an object key expected")
        return self.text(self.token(ord('"')))

    def scalar(self, first: int) -> object:
        """A string, number or literal, decoded."""
        token = self.token(first)
        if first == ord('"'):
            return self.text(token)
        if token in _LITERALS:
            return _LITERALS[token]
        if token.isdigit() and (token[:1] != b"0" or token == b"0"):
            return int(token)
        return self.decode(token)

    def text(self, token: bytes) -> str:
        """The text of a string."""
        if b"\\" not in token:
            return str(token[1:-1], "utf-8")
        try:
            return _TEXT.decode(mend(token))
        except msgspec.MsgspecError:
            return str(self.decode(token))  # which says what is wrong

    def token(self, first: int) -> bytes:
        """The bytes of the string, number or literal at ``pos``."""
        while True:
            if first == ord('"'):
                end = k.string_end(self.address, self.size, self.pos + 1)
                if end <= -2:
                    self.pos = -2 - end
                    raise self.bad(k.ERRORS[k.BAD_STRING])
                if end >= 0:
                    end += 1
                    break
            else:
                end = k.scalar_end(self.address, self.size, self.pos)
                if end - self.pos > self.limits.number_digits:
                    raise crossed(self.limits, "number_digits", f"a number of more digits {self.place(self.pos)}")
                if end == self.pos:
                    raise self.bad("a value expected")
                if end < self.size:
                    break
            self.need_more()
        token = self.data[self.pos : end].tobytes()
        if len(token) - 2 > self.limits.string_bytes:
            raise self.too_long_string()
        self.pos = end
        return token

    def decode(self, token: bytes) -> object:
        """A token's value, as ijson reads it."""
        try:
            ((_, value),) = parse(io.BytesIO(token), self.limits, lambda _: self.place(self.pos))
            return value
        except InvalidOperation as error:
            raise self.bad(HUGE_EXPONENT) from error
        except (ijson.JSONError, UnicodeDecodeError) as error:
            raise self.bad(first_line(error)) from error

    # ---- what the kernel passes over ------------------------------------------------------------------------

    def skip_root_value(self, first: int) -> None:
        """Pass over a value of any kind."""
        if first not in b'{["':
            self.scalar(first)
            return
        state = self.cleared_state()
        state[k.STATE] = k.STRING if first == ord('"') else k.NESTED
        state[k.DEPTH] = 1
        state[k.BRACES] = int(first == ord("{"))
        self.pos += 1
        while (event := self.step(k.skip_value(self.address, self.size, self.at()))) == k.NEED_MORE:
            self.measure_strings(inside=self.in_string(), escaped=int(state[k.ESCAPED]))
            self.need_more()
        assert event == k.ELEMENT
        self.measure_strings(inside=False)

    def in_string(self) -> bool:
        """Whether the kernel stopped within a string that it passes over."""
        state = self.state
        return bool(state[k.STATE] == k.STRING or (state[k.STATE] in (k.OWN, k.NESTED) and state[k.INSIDE]))

    def cleared_state(self) -> "array[int]":
        """The kernel's state, as before a section or value."""
        self.state[:] = _CLEARED
        self.state[k.DEEPEST] = self.limits.json_depth
        return self.state

    def at(self) -> int:
        """The address of the kernel's state, with our place in it."""
        self.state[k.POS] = self.pos
        return self.state_address

    def step(self, event: int) -> int:
        """Set the position to the kernel's; raise an error for what it refused."""
        self.pos = self.state[k.POS]
        if event == k.BAD:
            if self.state[k.ERROR] == k.TOO_DEEP:
                raise crossed(self.limits, "json_depth", f"nested deeper {self.place(self.pos)}")
            raise self.bad(k.ERRORS[self.state[k.ERROR]])
        return event
