"""The compiled half of the scanning reader: where tokens and elements of a JSON text begin and end, 64 bytes at a time.

``scan_elements`` walks a root array's elements, reads their own keys (``billing_code``, ``billing_code_type``,
``provider_group_id``) and passes over everything else by its structure alone. It stops where Python has to act
(``NEED_MORE`` and the events below) and goes on from there: all its state is in one int64 array, so a block may end
at any byte. Buffers have ``PADDING`` bytes behind their data, which may be read but never count.
Compiled once and cached beside the module or in ``NUMBA_CACHE_DIR``; in memory where neither can be written.
"""

from collections.abc import Callable
from typing import TypeVar, cast

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

PADDING = 128

# Events of scan_elements
NEED_MORE, ELEMENT, SECTION_END, INDEX_FULL, BAD = range(5)

# Slots of the state array
(
    STATE, POS, DEPTH, BRACES, INSIDE, ESCAPED, START, SEEN, NULLS, OTHERS, CODE, TYPE, ODD, KEY, SECTION, HASH,
    SINGLE, STOP_AT_END, INDEXED, SPOOLED, NESTED_IN, ERROR, RETURN_TO, SLOTS,
) = range(24)  # fmt: skip

# What STATE can be: which token comes next
ELEMENT_OR_END, ELEMENT_NEXT, AFTER_ELEMENT, KEY_OR_END, KEY_NEXT, COLON, VALUE, AFTER_VALUE, NESTED, STRING = range(10)

ITEMS, REFERENCES_INDEXED, REFERENCES_FILTERED = range(3)  # SECTION
UNKNOWN, WANTED, UNWANTED = range(3)  # CODE, TYPE
OTHER_KEY, CODE_KEY, TYPE_KEY, ID_KEY = range(4)  # KEY
NOWHERE = -(1 << 62)  # START while no element is open
NO_ID, ODD_ID = 0, 1  # HASH: what is no id at all; what only Python can compare

# ERROR
(
    BAD_ELEMENT, BAD_SEPARATOR, BAD_KEY, BAD_COLON, BAD_VALUE, BAD_STRING, BAD_SCALAR, BAD_NESTING, TOO_DEEP,
) = range(9)  # fmt: skip
ERRORS = (
    "an array's element expected",
    "a comma or the closing bracket expected",
    "an object key expected",
    "a colon expected",
    "a value expected",
    "a control character or a wrong escape in a string",
    "a wrong number or literal",
    "brackets that do not match",
    "nested too deep",
)

F = TypeVar("F", bound=Callable[..., object])
U = np.uint64


def compiled(function: F) -> F:
    """Compile on first call; keep the machine code on disk where that is possible."""
    try:
        return cast("F", njit(nogil=True, cache=True)(function))
    except RuntimeError:  # numba: no place to keep it; then each process compiles anew
        return cast("F", njit(nogil=True)(function))


def _mask_of(compare: Callable[..., object]) -> object:
    """An intrinsic (array, offset) -> 64 bits, one for each byte's answer to ``compare``."""

    def mask(_context: object, array: object, offset: object) -> object:
        def codegen(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            from numba.np.arrayobj import make_array

            data = make_array(signature.args[0])(context, builder, arguments[0]).data
            block = ir.VectorType(ir.IntType(8), 64)
            pointer = builder.bitcast(builder.gep(data, [arguments[1]]), block.as_pointer())
            loaded = builder.load(pointer, align=1)
            return builder.bitcast(compare(builder, loaded, block), ir.IntType(64))

        return types.uint64(array, offset), codegen

    return mask


def _all(block, byte):  # type: ignore[no-untyped-def]
    return ir.Constant(block, [byte] * 64)


@intrinsic
def quotes_at(_context, array, offset):  # type: ignore[no-untyped-def]
    """Where a quote stands among the 64 bytes at ``offset``."""
    return _mask_of(lambda b, x, t: b.icmp_unsigned("==", x, _all(t, 34)))(_context, array, offset)


@intrinsic
def slashes_at(_context, array, offset):  # type: ignore[no-untyped-def]
    """Backslashes."""
    return _mask_of(lambda b, x, t: b.icmp_unsigned("==", x, _all(t, 92)))(_context, array, offset)


@intrinsic
def open_braces_at(_context, array, offset):  # type: ignore[no-untyped-def]
    """Opening braces."""
    return _mask_of(lambda b, x, t: b.icmp_unsigned("==", x, _all(t, 123)))(_context, array, offset)


@intrinsic
def close_braces_at(_context, array, offset):  # type: ignore[no-untyped-def]
    """Closing braces."""
    return _mask_of(lambda b, x, t: b.icmp_unsigned("==", x, _all(t, 125)))(_context, array, offset)


@intrinsic
def opens_at(_context, array, offset):  # type: ignore[no-untyped-def]
    """Opening braces and brackets: they differ in one bit."""
    return _mask_of(lambda b, x, t: b.icmp_unsigned("==", b.or_(x, _all(t, 32)), _all(t, 123)))(_context, array, offset)


@intrinsic
def closes_at(_context, array, offset):  # type: ignore[no-untyped-def]
    """Closing braces and brackets."""
    return _mask_of(lambda b, x, t: b.icmp_unsigned("==", b.or_(x, _all(t, 32)), _all(t, 125)))(_context, array, offset)


@intrinsic
def controls_at(_context, array, offset):  # type: ignore[no-untyped-def]
    """Bytes below the blank."""
    return _mask_of(lambda b, x, t: b.icmp_unsigned("<", x, _all(t, 32)))(_context, array, offset)


@intrinsic
def beyond_ascii_at(_context, array, offset):  # type: ignore[no-untyped-def]
    """Bytes of a character of several bytes."""
    return _mask_of(lambda b, x, t: b.icmp_signed("<", x, _all(t, 0)))(_context, array, offset)


@intrinsic
def count_ones(_context, word):  # type: ignore[no-untyped-def]
    """How many bits are set."""
    return types.int64(types.uint64), lambda context, builder, signature, a: builder.ctpop(a[0])


@intrinsic
def lowest_one(_context, word):  # type: ignore[no-untyped-def]
    """The number of the lowest bit set; 64 when none is."""
    return types.int64(types.uint64), lambda context, builder, signature, a: builder.cttz(
        a[0], ir.Constant(ir.IntType(1), 0)
    )


_ODD_BITS = U(0xAAAAAAAAAAAAAAAA)
_ALL = U(0xFFFFFFFFFFFFFFFF)


@compiled
def skip_nested(data: np.ndarray, size: int, pos: int, state: np.ndarray) -> int:
    """Past the end of the container that has begun (DEPTH brackets are open); -1 when the data end before, -2 bad.

    Strings, escapes and depth are exact. Of each kind of bracket as many must close as opened, and a string holds
    no control character; nothing else inside is looked at.
    """
    depth = state[DEPTH]
    braces = state[BRACES]
    inside = U(0) - U(state[INSIDE])
    escaped = U(state[ESCAPED])
    while pos < size:
        quotes = quotes_at(data, pos)
        slashes = slashes_at(data, pos)
        opens = opens_at(data, pos)
        closes = closes_at(data, pos)
        controls = controls_at(data, pos)
        lanes = size - pos
        if lanes < 64:
            valid = (U(1) << U(lanes)) - U(1)
            quotes &= valid
            slashes &= valid
            opens &= valid
            closes &= valid
            controls &= valid
        if (slashes | escaped) != U(0):
            potential = slashes & ~escaped
            evens = ((potential << U(1)) | _ODD_BITS) - potential
            terminals = evens ^ _ODD_BITS
            hidden = terminals ^ (slashes | escaped)
            begins = terminals & slashes
            if lanes < 64:
                escaped = (begins >> U(lanes - 1)) & U(1)
            else:
                escaped = begins >> U(63)
            quotes &= ~hidden
        strings = quotes
        strings ^= strings << U(1)
        strings ^= strings << U(2)
        strings ^= strings << U(4)
        strings ^= strings << U(8)
        strings ^= strings << U(16)
        strings ^= strings << U(32)
        strings ^= inside
        if lanes < 64:
            inside = U(0) - ((strings >> U(lanes - 1)) & U(1))
        else:
            inside = U(0) - (strings >> U(63))
        opens &= ~strings
        closes &= ~strings
        if (controls & strings) != U(0):
            wrong = lowest_one(controls & strings)
            # Only wrong when it stands before the container's end
            state[ERROR] = BAD_STRING
        else:
            wrong = 64
        closed = count_ones(closes)
        opening = open_braces_at(data, pos) & opens
        closing = close_braces_at(data, pos) & closes
        if depth > closed:
            if wrong < 64:
                state[POS] = pos + wrong
                return -2
            depth += count_ones(opens) - closed
            braces += count_ones(opening) - count_ones(closing)
            if depth > 500:
                state[ERROR] = TOO_DEEP
                state[POS] = pos
                return -2
        else:
            structure = opens | closes
            while structure != U(0):
                bit = structure & (U(0) - structure)
                if opens & bit != U(0):
                    depth += 1
                else:
                    depth -= 1
                    if depth == 0:
                        lane = lowest_one(structure)
                        before = bit | (bit - U(1))
                        braces += count_ones(opening & before) - count_ones(closing & before)
                        if wrong < lane:
                            state[POS] = pos + wrong
                            return -2
                        if braces != 0:
                            state[ERROR] = BAD_NESTING
                            state[POS] = pos + lane
                            return -2
                        state[DEPTH] = 0
                        state[BRACES] = 0
                        state[INSIDE] = 0
                        state[ESCAPED] = 0
                        return pos + lane + 1
                structure &= structure - U(1)
            if wrong < 64:
                state[POS] = pos + wrong
                return -2
            braces += count_ones(opening) - count_ones(closing)
        pos += 64
    state[DEPTH] = depth
    state[BRACES] = braces
    state[INSIDE] = np.int64(inside & U(1))
    state[ESCAPED] = np.int64(escaped)
    return -1


@compiled
def string_end(data: np.ndarray, size: int, pos: int) -> tuple[int, bool]:
    """The closing quote of the string whose content begins at ``pos``, and whether it holds an escape.

    The first is -1 when the data end before, and -2 - place of a control character or of an escape that is none.
    """
    escapes = False
    while pos < size:
        stops = quotes_at(data, pos) | slashes_at(data, pos) | controls_at(data, pos)
        if stops == U(0):
            pos += 64
            continue
        pos += lowest_one(stops)
        if pos >= size:
            break
        byte = data[pos]
        if byte == 34:
            return pos, escapes
        if byte != 92:
            return -2 - pos, escapes
        escapes = True
        if pos + 1 >= size:
            break
        byte = data[pos + 1]
        if byte == 117:  # u and four hexadecimal digits
            if pos + 6 > size:
                break
            for place in range(pos + 2, pos + 6):
                digit = data[place]
                letter = digit | 32
                if not (48 <= digit <= 57 or 97 <= letter <= 102):
                    return -2 - pos, escapes
            pos += 6
        elif byte in (34, 92, 47, 98, 102, 110, 114, 116):
            pos += 2
        else:
            return -2 - pos, escapes
    return -1, escapes


@compiled
def skip_string(data: np.ndarray, size: int, pos: int) -> tuple[int, int]:
    """(closing quote, 0), or (-1, where to go on once there are more data), or (-2 - place of what is wrong, 0)."""
    while pos < size:
        stops = quotes_at(data, pos) | slashes_at(data, pos) | controls_at(data, pos)
        if stops == U(0):
            pos = min(pos + 64, size)
            continue
        pos += lowest_one(stops)
        if pos >= size:
            return -1, size
        byte = data[pos]
        if byte == 34:
            return pos, 0
        if byte != 92:
            return -2 - pos, 0
        end, _ = string_end(data, min(size, pos + 7), pos)  # checks this escape
        if end <= -2 and -2 - end == pos:
            return end, 0
        if pos + 1 >= size:
            return -1, pos
        length = 6 if data[pos + 1] == 117 else 2
        if pos + length > size:
            return -1, pos
        pos += length
    return -1, size


@compiled
def scalar_end(data: np.ndarray, size: int, pos: int) -> int:
    """Past the number or literal at ``pos``; ``size`` when the data end first."""
    while pos < size:
        byte = data[pos]
        if byte in (44, 125, 93, 32, 10, 13, 9, 58, 34, 123, 91):
            return pos
        pos += 1
    return pos


@compiled
def number_state(data: np.ndarray, start: int, end: int) -> bool:
    """Whether these bytes are one JSON number."""
    pos = start
    if pos < end and data[pos] == 45:
        pos += 1
    if pos >= end or not 48 <= data[pos] <= 57:
        return False
    if data[pos] == 48:
        pos += 1
    else:
        while pos < end and 48 <= data[pos] <= 57:
            pos += 1
    if pos < end and data[pos] == 46:
        pos += 1
        first = pos
        while pos < end and 48 <= data[pos] <= 57:
            pos += 1
        if pos == first:
            return False
    if pos < end and data[pos] | 32 == 101:
        pos += 1
        if pos < end and data[pos] in (43, 45):
            pos += 1
        first = pos
        while pos < end and 48 <= data[pos] <= 57:
            pos += 1
        if pos == first:
            return False
    return pos == end


_TRUE = np.frombuffer(b"true", np.uint8)
_FALSE = np.frombuffer(b"false", np.uint8)
_NULL = np.frombuffer(b"null", np.uint8)
_CODE_KEY = np.frombuffer(b"billing_code", np.uint8)
_TYPE_KEY = np.frombuffer(b"billing_code_type", np.uint8)
_ID_KEY = np.frombuffer(b"provider_group_id", np.uint8)
_CPT = np.frombuffer(b"CPT", np.uint8)
_HCPCS = np.frombuffer(b"HCPCS", np.uint8)


@compiled
def is_text(data: np.ndarray, start: int, end: int, text: np.ndarray) -> bool:
    """Whether these bytes are ``text``."""
    if end - start != len(text):
        return False
    for i in range(len(text)):
        if data[start + i] != text[i]:
            return False
    return True


@compiled
def is_text_upper(data: np.ndarray, start: int, end: int, text: np.ndarray) -> bool:
    """Whether these bytes, ASCII letters in upper case, are ``text``."""
    if end - start != len(text):
        return False
    for i in range(len(text)):
        byte = data[start + i]
        if 97 <= byte <= 122:
            byte -= 32
        if byte != text[i]:
            return False
    return True


@compiled
def is_scalar(data: np.ndarray, start: int, end: int) -> bool:
    """Whether these bytes are one JSON number, true, false or null."""
    return (
        number_state(data, start, end)
        or is_text(data, start, end, _NULL)
        or is_text(data, start, end, _TRUE)
        or is_text(data, start, end, _FALSE)
    )


@compiled
def hash_bytes(data: np.ndarray, start: int, end: int, seed: int) -> int:
    """Sixty-two bits of a hash (FNV-1a, then mixed)."""
    value = U(0xCBF29CE484222325) ^ U(seed)
    for i in range(start, end):
        value = (value ^ U(data[i])) * U(0x100000001B3)
    value ^= value >> U(32)
    value *= U(0x9E3779B97F4A7C15)
    value ^= value >> U(29)
    return np.int64(value >> U(2))


_TEXT_SEED, _NUMBER_SEED, _EXPONENT_SEED = 1, 2, 3
_MAX_EXPONENT = 1_000_000


@compiled
def number_hash(data: np.ndarray, start: int, end: int) -> int:
    """A hash of the number that is written here, the same for every spelling of it; -1: no number, ODD_ID: too odd.

    Takes what ``clean.reference_key`` takes for a number: sign, digits with or without a point, exponent.
    """
    pos = start
    negative = False
    if pos < end and data[pos] in (43, 45):
        negative = data[pos] == 45
        pos += 1
    value = U(0xCBF29CE484222325) ^ U(_NUMBER_SEED)
    pending = 0  # zeros that count only when a digit follows
    significant = 0
    fraction = 0
    digits = 0
    point = False
    while pos < end:
        byte = data[pos]
        if 48 <= byte <= 57:
            digits += 1
            if point:
                fraction += 1
            if byte == 48:
                if significant > 0:
                    pending += 1
            else:
                for _ in range(pending):
                    value = (value ^ U(48)) * U(0x100000001B3)
                significant += pending + 1
                pending = 0
                value = (value ^ U(byte)) * U(0x100000001B3)
        elif byte == 46 and not point:
            point = True
        else:
            break
        pos += 1
    if digits == 0:
        return -1
    exponent = 0
    if pos < end:
        if data[pos] | 32 != 101:
            return -1
        pos += 1
        minus = False
        if pos < end and data[pos] in (43, 45):
            minus = data[pos] == 45
            pos += 1
        if pos >= end:
            return -1
        while pos < end:
            if not 48 <= data[pos] <= 57:
                return -1
            if exponent < 1_000_000_000_000_000:
                exponent = exponent * 10 + np.int64(data[pos]) - 48
            pos += 1
        if minus:
            exponent = -exponent
    if significant == 0:
        return hash_bytes(data, start, start, _NUMBER_SEED)
    exponent += pending - fraction
    if not -_MAX_EXPONENT < exponent < _MAX_EXPONENT:
        return ODD_ID
    value ^= U(exponent + _MAX_EXPONENT) * U(0x9E3779B97F4A7C15)
    if negative:
        value = ~value
    value ^= value >> U(32)
    value *= U(0x9E3779B97F4A7C15)
    value ^= value >> U(29)
    return np.int64(value >> U(2))


@compiled
def text_hash(data: np.ndarray, start: int, end: int) -> int:
    """A hash of an id written as text without escapes: of its number where it is numeric, else of its trimmed text.

    Returns 32 bits above the reserved values; ODD_ID where only Python can tell.
    """
    while start < end and data[start] == 32:
        start += 1
    while start < end and data[end - 1] == 32:
        end -= 1
    for i in range(start, end):
        if data[i] < 32 or data[i] > 126:
            return ODD_ID
    value = number_hash(data, start, end)
    if value == ODD_ID:
        return ODD_ID
    if value < 0:
        value = hash_bytes(data, start, end, _TEXT_SEED)
    return (value & 0xFFFFFFFF) | 2


@compiled
def hash_texts(data: np.ndarray, ends: np.ndarray, hashes: np.ndarray) -> None:
    """``text_hash`` of many texts that stand one after the other."""
    start = 0
    for i in range(len(ends)):
        hashes[i] = text_hash(data, start, ends[i])
        start = ends[i]


@compiled
def is_in_table(table: np.ndarray, value: int) -> bool:
    """Whether the open-addressing table (a power of two long, 0 = empty) holds the value."""
    mask = len(table) - 1
    place = (value * 0x9E3779B1 >> 7) & mask
    while table[place] != 0:
        if table[place] == value:
            return True
        place = (place + 1) & mask
    return False


@compiled
def put_in_table(table: np.ndarray, values: np.ndarray) -> None:
    """Fill an empty table that is at least twice as long as ``values``."""
    mask = len(table) - 1
    for value in values:
        place = (np.int64(value) * 0x9E3779B1 >> 7) & mask
        while table[place] != 0 and table[place] != value:
            place = (place + 1) & mask
        table[place] = value


@compiled
def note_string(data: np.ndarray, start: int, end: int, escapes: bool, state: np.ndarray, table: np.ndarray) -> None:
    """A string that is the value of a key of interest: wanted, unwanted, or for Python to decide."""
    key = state[KEY]
    if key == ID_KEY:
        state[HASH] = ODD_ID if escapes else text_hash(data, start, end)
        note_id(state, table)
        return
    while start < end and data[start] == 32:
        start += 1
    while start < end and data[end - 1] == 32:
        end -= 1
    odd = escapes
    for i in range(start, end):
        if data[i] > 126:
            odd = True
    if odd:
        verdict = WANTED  # perhaps: Python decides
    elif key == CODE_KEY:
        verdict = WANTED if is_in_table(table, (hash_bytes(data, start, end, 0) & 0xFFFFFFFF) | 2) else UNWANTED
    elif end == start or is_text_upper(data, start, end, _CPT) or is_text_upper(data, start, end, _HCPCS):
        verdict = WANTED
    else:
        verdict = UNWANTED
    state[CODE if key == CODE_KEY else TYPE] = verdict


@compiled
def note_scalar(data: np.ndarray, start: int, end: int, state: np.ndarray, table: np.ndarray) -> None:
    """Likewise a number or literal."""
    key = state[KEY]
    number = data[start] == 45 or 48 <= data[start] <= 57
    if key == ID_KEY:
        state[HASH] = text_hash(data, start, end) if number else NO_ID
        note_id(state, table)
    elif key == CODE_KEY:
        plain = number
        for i in range(start, end):
            if not 48 <= data[i] <= 57:
                plain = False
        if plain:
            wanted = is_in_table(table, (hash_bytes(data, start, end, 0) & 0xFFFFFFFF) | 2)
            state[CODE] = WANTED if wanted else UNWANTED
        else:
            state[CODE] = WANTED if number else UNWANTED
    else:
        state[TYPE] = UNWANTED if number else WANTED


@compiled
def note_id(state: np.ndarray, table: np.ndarray) -> None:
    """Whether the reference whose id has just been read is cited, where that is known already."""
    if state[SECTION] == REFERENCES_FILTERED:
        value = state[HASH]
        cited = value == ODD_ID or (value != NO_ID and is_in_table(table, value))
        state[CODE] = WANTED if cited else UNWANTED


@compiled
def begin_element(state: np.ndarray, pos: int) -> None:
    """A new object among the section's elements."""
    state[START] = pos
    state[CODE] = UNKNOWN
    state[TYPE] = WANTED
    state[ODD] = 0
    state[HASH] = NO_ID
    state[STATE] = KEY_OR_END


@compiled
def scan_elements(
    data: np.ndarray,
    size: int,
    state: np.ndarray,
    table: np.ndarray,
    index_hashes: np.ndarray,
    index_ends: np.ndarray,
) -> int:
    """Go on through the section's elements from POS up to the next event.

    ELEMENT: the object data[START:POS] has ended, and is wanted or for Python to decide.
    SECTION_END: the array closed (or, with SINGLE, its one element ended).
    INDEX_FULL: ``index_*`` hold INDEXED references; empty them.
    NEED_MORE: put the bytes from POS on in front of the next block's.
    BAD: the text is not JSON, at POS, for the reason ERROR.
    ``index_ends`` are distances from the section's first byte: SPOOLED is how far that is behind data[0].
    """
    pos = state[POS]
    kind = state[SECTION]
    while True:
        at = state[STATE]
        if at == NESTED:
            end = skip_nested(data, size, pos, state)
            if end == -1:
                state[POS] = size
                return NEED_MORE
            if end == -2:
                return BAD
            pos = end
            at = state[RETURN_TO]
            state[STATE] = at
        elif at == STRING:
            end, on = skip_string(data, size, pos)
            if end == -1:
                state[POS] = on
                return NEED_MORE
            if end < 0:
                state[POS] = -2 - end
                state[ERROR] = BAD_STRING
                return BAD
            pos = end + 1
            at = state[RETURN_TO]
            state[STATE] = at
        while pos < size and data[pos] <= 32 and data[pos] in (32, 10, 13, 9):
            pos += 1
        if pos >= size:
            state[POS] = size
            return NEED_MORE
        byte = data[pos]
        ended = False
        if at == KEY_NEXT or (at == KEY_OR_END and byte != 125):
            if byte != 34:
                state[POS] = pos
                state[ERROR] = BAD_KEY
                return BAD
            end, escapes = string_end(data, size, pos + 1)
            if end < 0:
                state[POS] = pos if end == -1 else -2 - end
                state[ERROR] = BAD_STRING
                return NEED_MORE if end == -1 else BAD
            state[KEY] = OTHER_KEY
            if escapes:
                state[ODD] = 1
            elif kind == ITEMS:
                if is_text(data, pos + 1, end, _CODE_KEY):
                    state[KEY] = CODE_KEY
                elif is_text(data, pos + 1, end, _TYPE_KEY):
                    state[KEY] = TYPE_KEY
            elif is_text(data, pos + 1, end, _ID_KEY):
                state[KEY] = ID_KEY
            pos = end + 1
            if pos < size and data[pos] == 58:
                pos += 1
                state[STATE] = VALUE
            else:
                state[STATE] = COLON
        elif at == COLON:
            if byte != 58:
                state[POS] = pos
                state[ERROR] = BAD_COLON
                return BAD
            pos += 1
            state[STATE] = VALUE
        elif at == VALUE:
            if byte == 34:
                if state[KEY] == OTHER_KEY:
                    state[STATE] = STRING
                    state[RETURN_TO] = AFTER_VALUE
                    pos += 1
                    continue
                end, escapes = string_end(data, size, pos + 1)
                if end < 0:
                    state[POS] = pos if end == -1 else -2 - end
                    state[ERROR] = BAD_STRING
                    return NEED_MORE if end == -1 else BAD
                note_string(data, pos + 1, end, escapes, state, table)
                pos = end + 1
                state[STATE] = AFTER_VALUE
            elif byte in (123, 91):
                if state[KEY] == CODE_KEY:
                    state[CODE] = UNWANTED
                elif state[KEY] == TYPE_KEY:
                    state[TYPE] = WANTED
                elif state[KEY] == ID_KEY:
                    state[HASH] = NO_ID
                    note_id(state, table)
                state[STATE] = NESTED
                state[RETURN_TO] = AFTER_VALUE
                state[DEPTH] = 1
                state[BRACES] = 1 if byte == 123 else 0
                pos += 1
            else:
                end = scalar_end(data, size, pos)
                if end >= size:
                    state[POS] = pos
                    return NEED_MORE
                if not is_scalar(data, pos, end):
                    state[POS] = pos
                    state[ERROR] = BAD_SCALAR if end > pos else BAD_VALUE
                    return BAD
                if state[KEY] != OTHER_KEY:
                    note_scalar(data, pos, end, state, table)
                pos = end
                state[STATE] = AFTER_VALUE
        elif at == AFTER_VALUE:
            if byte == 44:
                state[STATE] = KEY_NEXT
            elif byte == 125:
                ended = True
            else:
                state[POS] = pos
                state[ERROR] = BAD_SEPARATOR
                return BAD
            pos += 1
        elif at == KEY_OR_END:  # an empty object
            ended = True
            pos += 1
        elif at == AFTER_ELEMENT:
            if state[SINGLE] != 0:
                state[POS] = pos
                return SECTION_END
            pos += 1
            if byte == 44:
                state[STATE] = ELEMENT_NEXT
            elif byte == 93:
                state[POS] = pos
                return SECTION_END
            else:
                state[POS] = pos - 1
                state[ERROR] = BAD_SEPARATOR
                return BAD
        elif byte == 123:
            begin_element(state, pos)
            pos += 1
        elif byte == 93 and at == ELEMENT_OR_END:
            state[POS] = pos + 1
            return SECTION_END
        elif byte == 91:
            state[OTHERS] += 1
            state[STATE] = NESTED
            state[RETURN_TO] = AFTER_ELEMENT
            state[DEPTH] = 1
            state[BRACES] = 0
            pos += 1
        elif byte == 34:
            state[OTHERS] += 1
            state[STATE] = STRING
            state[RETURN_TO] = AFTER_ELEMENT
            pos += 1
        else:
            end = scalar_end(data, size, pos)
            if end >= size:
                state[POS] = pos
                return NEED_MORE
            if not is_scalar(data, pos, end):
                state[POS] = pos
                state[ERROR] = BAD_SCALAR if end > pos else BAD_ELEMENT
                return BAD
            if is_text(data, pos, end, _NULL):
                state[NULLS] += 1
            else:
                state[OTHERS] += 1
            pos = end
            state[STATE] = AFTER_ELEMENT
        if ended:
            state[STATE] = AFTER_ELEMENT
            if kind == REFERENCES_INDEXED:
                state[SEEN] += 1
                found = state[INDEXED]
                index_hashes[found] = ODD_ID if state[ODD] != 0 else state[HASH]
                index_ends[found, 0] = state[START] + state[SPOOLED]
                index_ends[found, 1] = pos + state[SPOOLED]
                state[INDEXED] = found + 1
                state[START] = NOWHERE
                if found + 1 == len(index_hashes):
                    state[POS] = pos
                    return INDEX_FULL
            elif (
                (state[CODE] == WANTED and state[TYPE] == WANTED)
                or state[ODD] != 0
                or state[STOP_AT_END] != 0
            ):
                state[POS] = pos
                return ELEMENT
            else:
                state[SEEN] += 1
                state[START] = NOWHERE


@compiled
def skip_value(data: np.ndarray, size: int, state: np.ndarray) -> int:
    """Pass over a root value that has begun and is of no interest: NEED_MORE, ELEMENT once past it, or BAD."""
    if state[STATE] == NESTED:
        end = skip_nested(data, size, state[POS], state)
        if end == -2:
            return BAD
        state[POS] = size if end == -1 else end
        return NEED_MORE if end == -1 else ELEMENT
    end, on = skip_string(data, size, state[POS])
    if end == -1:
        state[POS] = on
        return NEED_MORE
    if end < 0:
        state[POS] = -2 - end
        state[ERROR] = BAD_STRING
        return BAD
    state[POS] = end + 1
    return ELEMENT


@compiled
def check_utf8(data: np.ndarray, start: int, size: int, state: np.ndarray) -> int:
    """The place of the first byte that is no UTF-8, or -1; state (needed, low, high) carries over blocks' edges."""
    pos = start
    needed, low, high = state[0], state[1], state[2]
    while pos < size:
        if needed == 0:
            beyond = beyond_ascii_at(data, pos)
            if beyond == U(0):
                pos += 64
                continue
            pos += lowest_one(beyond)
            if pos >= size:
                break
            byte = data[pos]
            low, high = 0x80, 0xBF
            if 0xC2 <= byte <= 0xDF:
                needed = 1
            elif 0xE0 <= byte <= 0xEF:
                needed = 2
                if byte == 0xE0:
                    low = 0xA0
                elif byte == 0xED:
                    high = 0x9F
            elif 0xF0 <= byte <= 0xF4:
                needed = 3
                if byte == 0xF0:
                    low = 0x90
                elif byte == 0xF4:
                    high = 0x8F
            else:
                return pos
        else:
            byte = data[pos]
            if not low <= byte <= high:
                return pos
            low, high = 0x80, 0xBF
            needed -= 1
        pos += 1
    state[0], state[1], state[2] = needed, low, high
    return -1


@compiled
def in_table(table: np.ndarray, hashes: np.ndarray) -> np.ndarray:
    """For each hash whether the table holds it, or it is ODD_ID."""
    found = np.zeros(len(hashes), np.bool_)
    for i in range(len(hashes)):
        value = np.int64(hashes[i])
        found[i] = value == ODD_ID or (value != NO_ID and is_in_table(table, value))
    return found
