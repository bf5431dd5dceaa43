"""The compiled half of the scanning reader: where tokens and elements of a JSON text begin and end, 64 bytes at a time.

``next_event`` walks a root array's elements, reads their own keys (``billing_code``, ``billing_code_type``,
``provider_group_id``) and passes over everything else by its structure alone. It stops where Python has to act
(``NEED_MORE`` and the events below) and goes on from there: all its state is in one int64 array, so a block may end
at any byte. Buffers have ``PADDING`` bytes behind their data, which may be read but never count, and begin at or behind
the beginning of a line of 64 bytes.
Memory is passed by address, which costs nothing; arrays would be counted references at every call.
One module, though a long one: numba's cache notices a change only in the module that a compiled function stands in.
Compiled once and cached beside the module or in ``NUMBA_CACHE_DIR``; in memory where neither can be written.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba import njit, types
from numba.extending import intrinsic

PADDING = 128

# Events of next_event
NEED_MORE, ELEMENT, SECTION_END, INDEX_FULL, BAD = range(5)

# Slots of the state array
(
    STATE, POS, DEPTH, BRACES, INSIDE, ESCAPED, START, SEEN, NULLS, OTHERS, CODE, TYPE, ODD, KEY, SECTION, HASH,
    SINGLE, STOP_AT_END, INDEXED, SPOOLED, INDEX_ROWS, ERROR, RETURN_TO, DEEPEST, SLOTS,
) = range(25)  # fmt: skip

# What STATE can be: which token comes next
(
    ELEMENT_OR_END, ELEMENT_NEXT, AFTER_ELEMENT, OWN_STRING, AFTER_OWN_STRING, VALUE, ELEMENT_ENDED, OWN, NESTED,
    STRING,
) = range(10)  # fmt: skip

ITEMS, REFERENCES_INDEXED, REFERENCES_FILTERED, RATES = range(4)  # SECTION
UNKNOWN, WANTED, UNWANTED = range(3)  # CODE, TYPE
OTHER_KEY, CODE_KEY, TYPE_KEY, ID_KEY, ESCAPED_KEY = range(5)  # KEY
NOWHERE = -(1 << 62)  # START while no element is open
NO_ID, ODD_ID = 0, 1  # HASH: what is no id at all; what only Python can compare

# ERROR
(
    BAD_ELEMENT, BAD_SEPARATOR, BAD_VALUE, BAD_STRING, BAD_SCALAR, BAD_NESTING, TOO_DEEP,
) = range(7)  # fmt: skip
ERRORS = (
    "an array's element expected",
    "a comma or the closing bracket expected",
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


def instruction(function: Callable[..., object]) -> Callable[..., Any]:
    """A function of a few machine instructions, written as LLVM's."""
    return cast("Callable[..., Any]", intrinsic(function))


def _loader(bits: int) -> Callable[..., object]:
    """Code that loads an unsigned integer of so many bits from address + offset, as 64 bits."""

    def codegen(_context, builder, _signature, arguments):  # type: ignore[no-untyped-def]
        kind = ir.IntType(bits)
        pointer = builder.inttoptr(builder.add(arguments[0], arguments[1]), kind.as_pointer())
        loaded = builder.load(pointer, align=1)
        return builder.zext(loaded, ir.IntType(64)) if bits < 64 else loaded

    return codegen


def _masker(compare: Callable[..., object]) -> Callable[..., object]:
    """Code for 64 bits, one for each byte's answer to ``compare``, of the 64 bytes at address + offset."""

    def codegen(_context, builder, _signature, arguments):  # type: ignore[no-untyped-def]
        block = ir.VectorType(ir.IntType(8), 64)
        pointer = builder.inttoptr(builder.add(arguments[0], arguments[1]), block.as_pointer())
        loaded = builder.load(pointer, align=1)
        return builder.bitcast(compare(builder, loaded, lambda byte: ir.Constant(block, [byte] * 64)), ir.IntType(64))

    return codegen


@instruction
def byte_at(_context, address, offset):  # type: ignore[no-untyped-def]
    """One byte."""
    return types.int64(types.int64, types.int64), _loader(8)


@instruction
def half_at(_context, address, offset):  # type: ignore[no-untyped-def]
    """Four bytes, the first one lowest."""
    return types.uint64(types.int64, types.int64), _loader(32)


@instruction
def word_at(_context, address, offset):  # type: ignore[no-untyped-def]
    """Eight bytes, the first one lowest."""
    return types.uint64(types.int64, types.int64), _loader(64)


@instruction
def load_slot(_context, address, slot):  # type: ignore[no-untyped-def]
    """An int64 of an array."""

    def codegen(_context, builder, _signature, arguments):  # type: ignore[no-untyped-def]
        array = builder.inttoptr(arguments[0], ir.IntType(64).as_pointer())
        return builder.load(builder.gep(array, [arguments[1]]))

    return types.int64(types.int64, types.int64), codegen


@instruction
def store_slot(_context, address, slot, value):  # type: ignore[no-untyped-def]
    """Set an int64 of an array."""

    def codegen(context, builder, _signature, arguments):  # type: ignore[no-untyped-def]
        array = builder.inttoptr(arguments[0], ir.IntType(64).as_pointer())
        builder.store(arguments[2], builder.gep(array, [arguments[1]]))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), codegen


@instruction
def quotes_at(_context, address, offset):  # type: ignore[no-untyped-def]
    """Where a quote stands among the 64 bytes at ``offset``."""
    return types.uint64(types.int64, types.int64), _masker(lambda b, x, all_: b.icmp_unsigned("==", x, all_(34)))


@instruction
def slashes_at(_context, address, offset):  # type: ignore[no-untyped-def]
    """Backslashes."""
    return types.uint64(types.int64, types.int64), _masker(lambda b, x, all_: b.icmp_unsigned("==", x, all_(92)))


@instruction
def curly_at(_context, address, offset):  # type: ignore[no-untyped-def]
    """The bit that tells braces from square brackets (and means nothing elsewhere)."""
    return types.uint64(types.int64, types.int64), _masker(
        lambda b, x, all_: b.icmp_unsigned("!=", b.and_(x, all_(32)), all_(0))
    )


@instruction
def opens_at(_context, address, offset):  # type: ignore[no-untyped-def]
    """Opening braces and brackets: they differ in one bit."""
    return types.uint64(types.int64, types.int64), _masker(
        lambda b, x, all_: b.icmp_unsigned("==", b.or_(x, all_(32)), all_(123))
    )


@instruction
def closes_at(_context, address, offset):  # type: ignore[no-untyped-def]
    """Closing braces and brackets."""
    return types.uint64(types.int64, types.int64), _masker(
        lambda b, x, all_: b.icmp_unsigned("==", b.or_(x, all_(32)), all_(125))
    )


@instruction
def controls_at(_context, address, offset):  # type: ignore[no-untyped-def]
    """Bytes below the blank."""
    return types.uint64(types.int64, types.int64), _masker(lambda b, x, all_: b.icmp_unsigned("<", x, all_(32)))


@instruction
def bytes_at(_context, address, offset, byte):  # type: ignore[no-untyped-def]
    """Any byte."""

    def codegen(_context, builder, _signature, arguments):  # type: ignore[no-untyped-def]
        block = ir.VectorType(ir.IntType(8), 64)
        pointer = builder.inttoptr(builder.add(arguments[0], arguments[1]), block.as_pointer())
        loaded = builder.load(pointer, align=1)
        wanted = builder.trunc(arguments[2], ir.IntType(8))
        lanes = builder.insert_element(ir.Constant(block, ir.Undefined), wanted, ir.Constant(ir.IntType(32), 0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), 64), [0] * 64)
        lanes = builder.shuffle_vector(lanes, ir.Constant(block, ir.Undefined), zeros)
        return builder.bitcast(builder.icmp_unsigned("==", loaded, lanes), ir.IntType(64))

    return types.uint64(types.int64, types.int64, types.int64), codegen


@instruction
def beyond_ascii_at(_context, address, offset):  # type: ignore[no-untyped-def]
    """Bytes of a character of several bytes."""
    return types.uint64(types.int64, types.int64), _masker(lambda b, x, all_: b.icmp_signed("<", x, all_(0)))


@instruction
def beyond_code_at(_context, address, offset):  # type: ignore[no-untyped-def]
    """Blanks, controls, backslashes, DEL, bytes of a character of several bytes: what a plain code does not hold."""

    def compare(b, x, all_):  # type: ignore[no-untyped-def]
        odd = b.or_(b.icmp_unsigned("==", x, all_(92)), b.icmp_unsigned("==", x, all_(127)))
        return b.or_(b.icmp_signed("<", x, all_(33)), odd)

    return types.uint64(types.int64, types.int64), _masker(compare)


@instruction
def oddities_at(_context, address, offset):  # type: ignore[no-untyped-def]
    """Backslashes, and bytes below the blank: what a plain string does not hold."""
    return types.uint64(types.int64, types.int64), _masker(
        lambda b, x, all_: b.or_(b.icmp_unsigned("==", x, all_(92)), b.icmp_unsigned("<", x, all_(32)))
    )


@instruction
def signed(_context, word):  # type: ignore[no-untyped-def]
    """The same 64 bits as a signed number."""
    return types.int64(types.uint64), lambda context, builder, signature, a: a[0]


@instruction
def count_ones(_context, word):  # type: ignore[no-untyped-def]
    """How many bits are set."""
    return types.int64(types.uint64), lambda context, builder, signature, a: builder.ctpop(a[0])


@instruction
def lowest_one(_context, word):  # type: ignore[no-untyped-def]
    """The number of the lowest bit set; 64 when none is."""
    return types.int64(types.uint64), lambda context, builder, signature, a: builder.cttz(
        a[0], ir.Constant(ir.IntType(1), 0)
    )


def _word(text: bytes) -> np.uint64:
    return U(int.from_bytes(text, "little"))


_CARRYLESS = "pclmul" in get_host_cpu_features() and get_host_cpu_features()["pclmul"]


@instruction
def running_parity(_context, word):  # type: ignore[no-untyped-def]
    """Each bit the XOR of itself and all lower ones: from quotes to ones within strings."""

    def codegen(_context, builder, _signature, arguments):  # type: ignore[no-untyped-def]
        if _CARRYLESS:  # multiply by all ones without carries
            pair = ir.VectorType(ir.IntType(64), 2)
            kind = ir.FunctionType(pair, [pair, pair, ir.IntType(8)])
            multiply = builder.module.declare_intrinsic("llvm.x86.pclmulqdq", (), kind)
            zero = ir.Constant(ir.IntType(32), 0)
            first = builder.insert_element(ir.Constant(pair, [0, 0]), arguments[0], zero)
            product = builder.call(multiply, [first, ir.Constant(pair, [-1, 0]), ir.Constant(ir.IntType(8), 0)])
            return builder.extract_element(product, zero)
        word = arguments[0]
        for distance in (1, 2, 4, 8, 16, 32):
            word = builder.xor(word, builder.shl(word, ir.Constant(ir.IntType(64), distance)))
        return word

    return types.uint64(types.uint64), codegen


_ODD_BITS = U(0xAAAAAAAAAAAAAAAA)
_LOWER = U(0xFFFFFFFF)


@compiled
def skip_nested(data: int, size: int, pos: int, state: int, kind: int) -> int:
    """Past the end of the container that has begun (DEPTH brackets are open); -1 when the data end before, -2 bad.

    Strings, escapes and depth are exact. Of each kind of bracket as many must close as opened, and a string holds
    no control character; nothing else inside is looked at.
    With a ``kind`` of section, the container is one of its elements: -3 - place stops at a string of the element's
    own that could be a key of interest (place is its quote), or that holds an escape (place is the backslash).
    """
    depth = load_slot(state, DEPTH)
    deepest = load_slot(state, DEEPEST)
    braces = load_slot(state, BRACES)
    inside = U(0) - U(load_slot(state, INSIDE))
    escaped = U(load_slot(state, ESCAPED))
    near, far, far_byte, last = (8, 10, 111, 13) if kind == ITEMS else (9, 16, 105, 18)
    own = 1 if kind >= 0 else 0
    while pos < size:
        quotes = quotes_at(data, pos)
        slashes = slashes_at(data, pos)
        opens = opens_at(data, pos)
        closes = closes_at(data, pos)
        controls = controls_at(data, pos)
        lanes = size - pos
        last_lane = U(63)
        if lanes < 64:
            last_lane = U(lanes - 1)
            valid = (U(1) << U(lanes)) - U(1)
            quotes &= valid
            slashes &= valid
            opens &= valid
            closes &= valid
            controls &= valid
        escapes = slashes | escaped
        if escapes != U(0):
            potential = slashes & ~escaped
            evens = ((potential << U(1)) | _ODD_BITS) - potential
            terminals = evens ^ _ODD_BITS
            begins = terminals & slashes
            quotes &= ~(terminals ^ escapes)
            escaped = (begins >> last_lane) & U(1)
        strings = running_parity(quotes) ^ inside  # ones from each opening quote up to its closing quote
        inside = U(0) - ((strings >> last_lane) & U(1))
        opens &= ~strings
        closes &= ~strings
        controls &= strings
        closed = count_ones(closes)
        curly = curly_at(data, pos)
        opening = opens & curly
        closing = closes & curly
        lower = count_ones(closes & _LOWER)
        if (
            depth - lower > own and depth + count_ones(opens & _LOWER) - closed > own
        ):  # the block stays deep inside: nothing to find
            if controls != U(0):
                store_slot(state, ERROR, BAD_STRING)
                store_slot(state, POS, pos + lowest_one(controls))
                return -2
            depth += count_ones(opens) - closed
            braces += count_ones(opening) - count_ones(closing)
            if depth > deepest:
                store_slot(state, ERROR, TOO_DEEP)
                store_slot(state, POS, pos)
                return -2
            pos += 64
            continue
        found = U(0)
        left = closes
        before = depth - 1
        while left != U(0) and found == U(0):
            for _ in range(4):  # branchless: how many brackets there are can't be predicted
                bit = left & (U(0) - left)
                here = bit if before + count_ones(opens & (bit - U(1))) == 0 else U(0)
                found = here if found == U(0) else found
                left ^= bit
                before -= 1
        upto = found | (found - U(1))  # all ones when the end is not here
        if kind >= 0:
            candidates = quotes & strings
            if candidates != U(0) and lanes >= 64 + 20:  # "billing_code" or "billing_code_type", "provider_group_id"
                ends = quotes_at(data, pos + 18) | quotes_at(data, pos + last)
                candidates &= bytes_at(data, pos + near, 95) & bytes_at(data, pos + far, far_byte) & ends
            candidates = (candidates | (slashes & strings)) & upto
            while candidates != U(0):
                bit = candidates & (U(0) - candidates)
                below = bit - U(1)
                if depth + count_ones(opens & below) - count_ones(closes & below) == 1:
                    lane = lowest_one(bit)
                    wrong = (controls & below) != U(0)
                    if wrong or braces + count_ones(opening & below) - count_ones(closing & below) != 1:
                        store_slot(state, ERROR, BAD_STRING if wrong else BAD_NESTING)
                        store_slot(state, POS, pos + (lowest_one(controls) if wrong else lane))
                        return -2
                    store_slot(state, DEPTH, 1)
                    store_slot(state, BRACES, 1)
                    store_slot(state, INSIDE, 0)
                    store_slot(state, ESCAPED, 0)
                    return -3 - (pos + lane)
                candidates ^= bit
        if (controls & upto) != U(0):
            store_slot(state, ERROR, BAD_STRING)
            store_slot(state, POS, pos + lowest_one(controls))
            return -2
        braces += count_ones(opening & upto) - count_ones(closing & upto)
        if found != U(0):
            lane = lowest_one(found)
            if braces != 0:
                store_slot(state, ERROR, BAD_NESTING)
                store_slot(state, POS, pos + lane)
                return -2
            store_slot(state, INSIDE, 0)
            store_slot(state, ESCAPED, 0)
            return pos + lane + 1
        depth += count_ones(opens) - closed
        pos += 64
    store_slot(state, DEPTH, depth)
    store_slot(state, BRACES, braces)
    store_slot(state, INSIDE, signed(inside & U(1)))
    store_slot(state, ESCAPED, signed(escaped))
    return -1


@compiled
def string_end(data: int, size: int, pos: int) -> tuple[int, bool]:
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
        byte = byte_at(data, pos)
        if byte == 34:
            return pos, escapes
        if byte != 92:
            return -2 - pos, escapes
        escapes = True
        if pos + 1 >= size:
            break
        byte = byte_at(data, pos + 1)
        if byte == 117:  # u and four hexadecimal digits
            if pos + 6 > size:
                break
            for place in range(pos + 2, pos + 6):
                digit = byte_at(data, place)
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
def skip_string(data: int, size: int, pos: int) -> tuple[int, int]:
    """(closing quote, 0), or (-1, where to go on once there are more data), or (-2 - place of what is wrong, 0)."""
    while pos < size:
        stops = quotes_at(data, pos) | slashes_at(data, pos) | controls_at(data, pos)
        if stops == U(0):
            pos = min(pos + 64, size)
            continue
        pos += lowest_one(stops)
        if pos >= size:
            return -1, size
        byte = byte_at(data, pos)
        if byte == 34:
            return pos, 0
        if byte != 92:
            return -2 - pos, 0
        end, _ = string_end(data, min(size, pos + 7), pos)  # checks this escape
        if end <= -2 and -2 - end == pos:
            return end, 0
        if pos + 1 >= size:
            return -1, pos
        length = 6 if byte_at(data, pos + 1) == 117 else 2
        if pos + length > size:
            return -1, pos
        pos += length
    return -1, size


@compiled
def scalar_end(data: int, size: int, pos: int) -> int:
    """Past the number or literal at ``pos``; ``size`` when the data end first."""
    while pos < size:
        byte = byte_at(data, pos)
        if byte in (44, 125, 93, 32, 10, 13, 9, 58, 34, 123, 91):
            return pos
        pos += 1
    return pos


@compiled
def number_state(data: int, start: int, end: int) -> bool:
    """Whether these bytes are one JSON number."""
    pos = start
    if pos < end and byte_at(data, pos) == 45:
        pos += 1
    if pos >= end or not 48 <= byte_at(data, pos) <= 57:
        return False
    if byte_at(data, pos) == 48:
        pos += 1
    else:
        while pos < end and 48 <= byte_at(data, pos) <= 57:
            pos += 1
    if pos < end and byte_at(data, pos) == 46:
        pos += 1
        first = pos
        while pos < end and 48 <= byte_at(data, pos) <= 57:
            pos += 1
        if pos == first:
            return False
    if pos < end and byte_at(data, pos) | 32 == 101:
        pos += 1
        if pos < end and byte_at(data, pos) in (43, 45):
            pos += 1
        first = pos
        while pos < end and 48 <= byte_at(data, pos) <= 57:
            pos += 1
        if pos == first:
            return False
    return pos == end


_TRUE, _NULL, _ALSE = _word(b"true"), _word(b"null"), _word(b"alse")
_FOUR = U(0xFFFFFFFF)
_UPPER_CPT, _UPPER_HCPCS = _word(b"CPT"), _word(b"HCPCS")
_MASK_CPT, _MASK_HCPCS = U(0xDFDFDF), U(0xDFDFDFDFDF)  # the bit that tells lower case apart, taken out
_COLON = _word(b'":')
_BILLING_, _ING_CODE = _word(b"billing_"), _word(b"ing_code")
_CODE_TYP, _ODE_TYPE = _word(b"code_typ"), _word(b"ode_type")
_PROVIDER, __GROUP_I, _GROUP_ID = _word(b"provider"), _word(b"_group_i"), _word(b"group_id")


@compiled
def key_kind(data: int, start: int, end: int) -> int:
    """Which key of interest this is."""
    length = end - start
    if length == 12:
        if word_at(data, start) == _BILLING_ and word_at(data, start + 4) == _ING_CODE:
            return CODE_KEY
    elif length == 17:
        first = word_at(data, start)
        if first == _BILLING_:
            if word_at(data, start + 8) == _CODE_TYP and word_at(data, start + 9) == _ODE_TYPE:
                return TYPE_KEY
        elif first == _PROVIDER and word_at(data, start + 8) == __GROUP_I and word_at(data, start + 9) == _GROUP_ID:
            return ID_KEY
    return OTHER_KEY


@compiled
def is_null(data: int, start: int, end: int) -> bool:
    """Whether these bytes are the literal null."""
    return end - start == 4 and word_at(data, start) & _FOUR == _NULL


@compiled
def is_scalar(data: int, start: int, end: int) -> bool:
    """Whether these bytes are one JSON number, true, false or null."""
    if end - start == 4:
        word = word_at(data, start) & _FOUR
        if word in (_NULL, _TRUE):
            return True
    elif end - start == 5 and byte_at(data, start) == 102 and word_at(data, start + 1) & _FOUR == _ALSE:
        return True
    return number_state(data, start, end)


@compiled
def is_wanted_type(data: int, start: int, end: int) -> bool:
    """Whether this is CPT or HCPCS in upper or lower case."""
    if end - start == 3:
        return word_at(data, start) & _MASK_CPT == _UPPER_CPT
    return end - start == 5 and word_at(data, start) & _MASK_HCPCS == _UPPER_HCPCS


@compiled
def hash_bytes(data: int, start: int, end: int, seed: int) -> int:
    """Sixty-two bits of a hash (FNV-1a, then mixed)."""
    value = U(0xCBF29CE484222325) ^ U(seed)
    for i in range(start, end):
        value = (value ^ U(byte_at(data, i))) * U(0x100000001B3)
    value ^= value >> U(32)
    value *= U(0x9E3779B97F4A7C15)
    value ^= value >> U(29)
    return signed(value >> U(2))


_TEXT_SEED, _NUMBER_SEED, _EXPONENT_SEED = 1, 2, 3
_MAX_EXPONENT = 1_000_000


@compiled
def number_hash(data: int, start: int, end: int) -> int:
    """A hash of the number that is written here, the same for every spelling of it; -1: no number, ODD_ID: too odd.

    Takes what ``clean.reference_key`` takes for a number: sign, digits with or without a point, exponent.
    """
    pos = start
    negative = False
    if pos < end and byte_at(data, pos) in (43, 45):
        negative = byte_at(data, pos) == 45
        pos += 1
    value = U(0xCBF29CE484222325) ^ U(_NUMBER_SEED)
    pending = 0  # zeros that count only when a digit follows
    whole = 0
    significant = 0
    fraction = 0
    digits = 0
    point = False
    while pos < end:
        byte = byte_at(data, pos)
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
                    whole *= 10
                significant += pending + 1
                pending = 0
                whole = whole * 10 + byte - 48  # may overflow, and is not used then
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
        if byte_at(data, pos) | 32 != 101:
            return -1
        pos += 1
        minus = False
        if pos < end and byte_at(data, pos) in (43, 45):
            minus = byte_at(data, pos) == 45
            pos += 1
        if pos >= end:
            return -1
        while pos < end:
            if not 48 <= byte_at(data, pos) <= 57:
                return -1
            if exponent < 1_000_000_000_000_000:
                exponent = exponent * 10 + byte_at(data, pos) - 48
            pos += 1
        if minus:
            exponent = -exponent
    if significant == 0:
        return integer_hash(0)
    exponent += pending - fraction
    if not negative and exponent >= 0 and significant + exponent <= 15:
        for _ in range(exponent):
            whole *= 10
        return integer_hash(whole)
    if not -_MAX_EXPONENT < exponent < _MAX_EXPONENT:
        return ODD_ID
    value ^= U(exponent + _MAX_EXPONENT) * U(0x9E3779B97F4A7C15)
    if negative:
        value = ~value
    value ^= value >> U(32)
    value *= U(0x9E3779B97F4A7C15)
    value ^= value >> U(29)
    return signed(value >> U(2))


_ZEROS, _SIXES, _HIGH = U(0x3030303030303030), U(0x7676767676767676), U(0x8080808080808080)


@compiled
def integer_digits(data: int, pos: int) -> int:
    """How many digits the plain integer at ``pos`` has, up to seven; 0 where it is longer or anything else."""
    word = word_at(data, pos) ^ _ZEROS
    digits = lowest_one(((word + _SIXES) | word) & _HIGH) >> 3
    after = byte_at(data, pos + digits)
    if 0 < digits < 8 and (after == 44 or after == 125) and (digits == 1 or byte_at(data, pos) != 48):  # noqa: PLR1714
        return digits
    return 0


@compiled
def integer_at(data: int, pos: int, digits: int) -> int:
    """The value of up to seven digits, all at once."""
    word = (word_at(data, pos) ^ _ZEROS) << U(64 - 8 * digits)
    word = (word * U(10) + (word >> U(8))) & U(0x00FF00FF00FF00FF)
    word = (word * U(100) + (word >> U(16))) & U(0x0000FFFF0000FFFF)
    return signed((word * U(10000) + (word >> U(32))) & U(0xFFFFFFFF))


@compiled
def integer_hash(value: int) -> int:
    """The hash of a whole number below 10 ** 15, however it is written."""
    mixed = (U(value) + U(0x9E3779B97F4A7C15)) * U(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> U(29)
    mixed *= U(0x94D049BB133111EB)
    return (signed(mixed >> U(32)) & 0xFFFFFFFF) | 2


@compiled
def text_hash(data: int, start: int, end: int) -> int:
    """A hash of an id written as text without escapes: of its number where it is numeric, else of its trimmed text.

    Returns 32 bits above the reserved values; ODD_ID where only Python can tell.
    """
    while start < end and byte_at(data, start) == 32:
        start += 1
    while start < end and byte_at(data, end - 1) == 32:
        end -= 1
    for i in range(start, end):
        if byte_at(data, i) < 32 or byte_at(data, i) > 126:
            return ODD_ID
    value = number_hash(data, start, end)
    if value == ODD_ID:
        return ODD_ID
    if value < 0:
        value = hash_bytes(data, start, end, _TEXT_SEED)
    return (value & 0xFFFFFFFF) | 2


@compiled
def hash_texts(data: int, ends: int, hashes: int, count: int) -> None:
    """``text_hash`` of many texts that stand one after the other."""
    start = 0
    for i in range(count):
        end = load_slot(ends, i)
        store_slot(hashes, i, text_hash(data, start, end))
        start = end


@compiled
def code_hash(data: int, start: int, end: int) -> int:
    """A hash of a billing code's text, eight bytes at a time."""
    value = U(end - start)
    while end - start > 8:
        value = U(integer_hash(signed(value ^ word_at(data, start))))
        start += 8
    if end > start:
        value ^= word_at(data, start) << U(64 - 8 * (end - start))
    return integer_hash(signed(value))


@compiled
def is_in_table(table: int, value: int) -> bool:
    """Whether the open-addressing table holds the value: slot 0 is the mask of the slots behind it, 0 is empty."""
    mask = load_slot(table, 0)
    place = (value * 0x9E3779B1 >> 7) & mask
    while True:
        found = load_slot(table, 1 + place)
        if found == value:
            return True
        if found == 0:
            return False
        place = (place + 1) & mask


@compiled
def put_in_table(table: int, values: int, count: int) -> None:
    """Fill an empty table that is at least twice as long as there are values."""
    mask = load_slot(table, 0)
    for i in range(count):
        value = load_slot(values, i)
        place = (value * 0x9E3779B1 >> 7) & mask
        while load_slot(table, 1 + place) not in (0, value):
            place = (place + 1) & mask
        store_slot(table, 1 + place, value)


@compiled
def is_cited(table: int, value: int) -> bool:
    """Whether an id's hash says that the table may hold it."""
    return value == ODD_ID or (value != NO_ID and is_in_table(table, value))


@compiled
def choose(table: int, hashes: int, count: int, numbers: int) -> int:
    """Put into ``numbers`` which of these hashes of 32 bits are cited, in order; how many they are."""
    chosen = 0
    for i in range(count):
        if is_cited(table, signed(half_at(hashes, 4 * i))):
            store_slot(numbers, chosen, i)
            chosen += 1
    return chosen


@compiled
def note_id(state: int, table: int, value: int) -> None:
    """A reference's id has been read; whether it is cited, where that is known already."""
    store_slot(state, HASH, value)
    if load_slot(state, SECTION) == REFERENCES_FILTERED:
        store_slot(state, CODE, WANTED if is_cited(table, value) else UNWANTED)


@compiled
def note_string(data: int, start: int, end: int, escapes: bool, key: int, state: int, table: int) -> None:
    """A string that is the value of a key of interest: wanted, unwanted, or for Python to decide."""
    if key == ID_KEY:
        note_id(state, table, ODD_ID if escapes else text_hash(data, start, end))
        return
    while start < end and byte_at(data, start) == 32:
        start += 1
    while start < end and byte_at(data, end - 1) == 32:
        end -= 1
    odd = escapes
    for i in range(start, end):
        if byte_at(data, i) > 126:
            odd = True
    if key == CODE_KEY:
        wanted = odd or is_in_table(table, code_hash(data, start, end))
        store_slot(state, CODE, WANTED if wanted else UNWANTED)
    else:
        wanted = odd or end == start or is_wanted_type(data, start, end)
        store_slot(state, TYPE, WANTED if wanted else UNWANTED)


@compiled
def note_scalar(data: int, start: int, end: int, key: int, state: int, table: int) -> None:
    """Likewise a number or literal."""
    first = byte_at(data, start)
    number = first == 45 or 48 <= first <= 57
    if key == ID_KEY:
        note_id(state, table, text_hash(data, start, end) if number else NO_ID)
    elif key == CODE_KEY:
        plain = number
        for i in range(start, end):
            if not 48 <= byte_at(data, i) <= 57:
                plain = False
        wanted = is_in_table(table, code_hash(data, start, end)) if plain else number
        store_slot(state, CODE, WANTED if wanted else UNWANTED)
    else:
        store_slot(state, TYPE, UNWANTED if number else WANTED)


@compiled
def note_container(key: int, state: int, table: int) -> None:
    """Likewise an object or array: it has no text."""
    if key == CODE_KEY:
        store_slot(state, CODE, UNWANTED)
    elif key == TYPE_KEY:
        store_slot(state, TYPE, WANTED)
    elif key == ID_KEY:
        note_id(state, table, NO_ID)


@compiled
def own_value(data: int, quote: int) -> int:
    """Where the value of a key begins whose closing quote this is; -1 where only the exact reading can tell."""
    if byte_at(data, quote + 1) != 58:
        return -1
    return quote + 3 if byte_at(data, quote + 2) == 32 else quote + 2


@compiled
def is_plainly_unwanted(data: int, size: int, pos: int, table: int) -> bool:
    """Whether the billing code at ``pos`` is short plain text, and none that is wanted."""
    ends = quotes_at(data, pos + 1)
    end = pos + 1 + lowest_one(ends)
    if byte_at(data, pos) != 34 or ends == U(0) or end >= size:
        return False
    if (beyond_code_at(data, pos + 1) & ~ends & (ends - U(1))) != U(0):
        return False
    return not is_in_table(table, code_hash(data, pos + 1, end))


@compiled
def plain_id_hash(data: int, size: int, pos: int) -> int:
    """The hash of the id that is the value at ``pos``; -1 where only the exact reading can tell."""
    digits = integer_digits(data, pos)
    if digits > 0 and pos + digits < size:  # what ends the number must be the document's own byte
        return integer_hash(integer_at(data, pos, digits))
    if byte_at(data, pos) == 34:
        end, escapes = string_end(data, size, pos + 1)
        return text_hash(data, pos + 1, end) if end >= 0 and not escapes else -1
    end = scalar_end(data, size, pos)
    return text_hash(data, pos, end) if end < size and number_state(data, pos, end) else -1


_SKIM_AHEAD = 84  # bytes that must follow a block's first one: the block, and a key that begins on its last byte


@compiled
def skim_plain(
    data: int, last_block: int, pos: int, items: bool, depth: int, braces: int, inside: np.uint64, deepest: int
) -> tuple[int, int, int, np.uint64]:
    """Pass over blocks in which no element ends and no key of interest begins, and that hold nothing odd."""
    far, letter, last = (7, 103, 13) if items else (15, 95, 18)
    while pos <= last_block:
        quotes = quotes_at(data, pos)
        strings = running_parity(quotes) ^ inside
        keys = quotes & strings & bytes_at(data, pos + far, letter) & quotes_at(data, pos + last)
        if (keys | (oddities_at(data, pos) & strings)) != U(0):
            break
        curly = curly_at(data, pos)
        opens = opens_at(data, pos) & ~strings
        closes = closes_at(data, pos) & ~strings
        closed = count_ones(closes)
        if U(depth - closed - 1) >= U(deepest) and (
            depth > closed  # nested too deep
            or depth <= count_ones(closes & _LOWER)  # an element may end here: in the first half, in the second
            or depth + count_ones(opens & _LOWER) <= closed
        ):
            break
        depth += count_ones(opens) - closed
        braces += count_ones(opens & curly) - count_ones(closes & curly)
        inside = U(0) - (strings >> U(63))
        pos += 64
    return pos, depth, braces, inside


@compiled
def skim(data: int, size: int, pos: int, kind: int, state: int, table: int, index: int) -> int:
    """Pass over elements that are plainly unwanted, from the brace at ``pos``: where to go on, STATE says how.

    Everything unusual is left to the exact reading of ``next_event``: STATE is then ELEMENT_NEXT, at the element's
    brace. An element that goes on where the data end is handed over as it stands: OWN. Otherwise AFTER_ELEMENT.
    Strings, depth and brackets are counted as in ``skip_nested``, but through all elements without a stop.
    """
    depth, braces = 0, 0
    inside = U(0)
    start = pos
    found_id = NO_ID  # of the open element
    known = UNKNOWN
    seen = 0
    items = kind == ITEMS
    # a letter that few other keys have there, and the closing quote, of the key of interest
    far, letter, last = (7, 103, 13) if items else (15, 95, 18)
    indexed = load_slot(state, INDEXED)
    rows = load_slot(state, INDEX_ROWS)
    spooled = load_slot(state, SPOOLED)
    deepest = load_slot(state, DEEPEST)
    at = -1
    last_block = size - _SKIM_AHEAD
    before = (data + pos) & 63  # whole lines of the cache are read a quarter faster
    pos -= before
    valid = ~U(0) << U(before)  # of the first block's bytes
    while at < 0:
        if valid == ~U(0):
            pos, depth, braces, inside = skim_plain(data, last_block, pos, items, depth, braces, inside, deepest)
        if pos > last_block:
            break
        quotes = quotes_at(data, pos) & valid
        strings = running_parity(quotes) ^ inside
        curly = curly_at(data, pos)
        opens = opens_at(data, pos) & ~strings & valid
        closes = closes_at(data, pos) & ~strings & valid
        valid = ~U(0)
        keys = quotes & strings & bytes_at(data, pos + far, letter) & quotes_at(data, pos + last)
        odd = oddities_at(data, pos) & strings
        if odd != U(0):  # count up to there, for elements that end before it
            sure = (odd & (U(0) - odd)) - U(1)
            opens &= sure
            closes &= sure
            keys &= sure
        closed = count_ones(closes)
        left = closes if depth - closed <= 0 else U(0)
        passed = 0
        while at < 0 and (keys | left) != U(0):
            # the next closing bracket that ends an element
            end = U(0)
            while left != U(0) and end == U(0):
                bit = left & (U(0) - left)
                left ^= bit
                passed += 1
                if depth + count_ones(opens & (bit - U(1))) == passed:
                    end = bit
            below = end - U(1)  # all ones when there is none
            while keys & below != U(0):
                bit = keys & (U(0) - keys)
                keys ^= bit
                before = bit - U(1)
                if depth + count_ones(opens & before) - count_ones(closes & before) == 1:
                    place = pos + lowest_one(bit)
                    if key_kind(data, place + 1, place + last) in (CODE_KEY, ID_KEY):
                        value = own_value(data, place + last)
                        plain = value >= 0
                        known = UNWANTED
                        if plain and items:
                            plain = is_plainly_unwanted(data, size, value, table)
                        elif plain:
                            found_id = plain_id_hash(data, size, value)
                            cited = kind == REFERENCES_FILTERED and is_in_table(table, found_id)
                            plain = found_id >= 0 and not cited
                        if not plain:
                            at = ELEMENT_NEXT
                            break
            if at >= 0 or end == U(0):
                break
            if braces + count_ones(opens & curly & below) != count_ones(closes & curly & (below | end)):
                at = ELEMENT_NEXT
                break
            stop = pos + lowest_one(end) + 1
            seen += 1
            if kind == REFERENCES_INDEXED:
                store_slot(index, 3 * indexed, found_id)
                store_slot(index, 3 * indexed + 1, start + spooled)
                store_slot(index, 3 * indexed + 2, stop + spooled)
                indexed += 1
            found_id = NO_ID
            known = UNKNOWN
            start = stop + 1
            if byte_at(data, stop) != 44 or byte_at(data, start) != 123 or indexed == rows:
                at = AFTER_ELEMENT
                start = stop
        if at < 0:
            if odd != U(0):
                at = ELEMENT_NEXT
            else:
                inside = U(0) - (strings >> U(63))
                depth += count_ones(opens) - closed
                braces += count_ones(opens & curly) - count_ones(closes & curly)
                pos += 64
                if depth > deepest:
                    at = ELEMENT_NEXT
    store_slot(state, SEEN, load_slot(state, SEEN) + seen)
    store_slot(state, INDEXED, indexed)
    if at < 0 and start < pos:
        store_slot(state, STATE, OWN)
        store_slot(state, START, start)
        store_slot(state, CODE, known)
        store_slot(state, TYPE, WANTED)
        store_slot(state, ODD, 0)
        store_slot(state, HASH, found_id)
        store_slot(state, DEPTH, depth)
        store_slot(state, BRACES, braces)
        store_slot(state, INSIDE, signed(inside & U(1)))
        store_slot(state, ESCAPED, 0)
        store_slot(state, RETURN_TO, ELEMENT_ENDED)
        return pos
    store_slot(state, STATE, ELEMENT_NEXT if at < 0 else at)
    return start


@compiled
def next_event(data: int, size: int, state: int, table: int, index: int) -> int:
    """Go on through the section's elements from POS up to the next event.

    ELEMENT: an object that began in an earlier block has ended before POS, and is wanted or for Python to decide.
    SECTION_END: the array closed (or, with SINGLE, its one element ended).
    INDEX_FULL: put away the ``INDEXED`` rows (hash, start, end) of ``index``: objects that ended and may be wanted.
    NEED_MORE: likewise; then put the bytes from POS on in front of the next block's.
    BAD: the text is not JSON, at POS, for the reason ERROR.
    Places in the index are distances from data[0], of REFERENCES_INDEXED from their section's first byte: SPOOLED is
    how far that is behind data[0].
    """
    pos = load_slot(state, POS)
    kind = load_slot(state, SECTION)
    at = load_slot(state, STATE)
    rows = load_slot(state, INDEX_ROWS)
    event = -1
    error = 0
    exact = -1  # the element that begins here is not to be skimmed
    can_skim = load_slot(state, STOP_AT_END) == 0 and load_slot(state, SINGLE) == 0
    while True:
        if at >= OWN:
            if at == STRING:
                end, on = skip_string(data, size, pos)
                if end < 0:
                    pos = on if end == -1 else -2 - end
                    error = BAD_STRING
                    event = NEED_MORE if end == -1 else BAD
                    break
                pos = end + 1
                at = load_slot(state, RETURN_TO)
            else:
                end = skip_nested(data, size, pos, state, kind if at == OWN else -1)
                if end >= 0:
                    pos = end
                    at = ELEMENT_ENDED if at == OWN else load_slot(state, RETURN_TO)
                elif end <= -3:
                    pos = -3 - end
                    if byte_at(data, pos) == 34:
                        at = OWN_STRING
                    else:
                        store_slot(state, KEY, ESCAPED_KEY)
                        store_slot(state, RETURN_TO, AFTER_OWN_STRING)
                        at = STRING
                        continue
                else:
                    pos = size if end == -1 else load_slot(state, POS)
                    error = load_slot(state, ERROR)
                    event = NEED_MORE if end == -1 else BAD
                    break
        ended = at == ELEMENT_ENDED
        if not ended:
            if pos < size and byte_at(data, pos) <= 32:
                while pos < size and byte_at(data, pos) in (32, 10, 13, 9):
                    pos += 1
            if pos >= size:
                pos = size
                event = NEED_MORE
                break
            byte = byte_at(data, pos)
            if at == OWN_STRING:
                end, escapes = string_end(data, size, pos + 1)
                if end == -1 and size - pos <= 64:
                    event = NEED_MORE
                    break
                if end < 0:  # a long one, or a wrong one; should it be a key, then Python decides
                    store_slot(state, KEY, ESCAPED_KEY)
                    store_slot(state, RETURN_TO, AFTER_OWN_STRING)
                    pos += 1
                    at = STRING
                    continue
                key = ESCAPED_KEY if escapes else key_kind(data, pos + 1, end)
                if not escapes and (kind == ITEMS) == (key == ID_KEY):
                    key = OTHER_KEY
                store_slot(state, KEY, key)
                pos = end + 1
                at = AFTER_OWN_STRING
            elif at == AFTER_OWN_STRING:
                at = OWN
                if byte == 58:  # so it was a key
                    pos += 1
                    key = load_slot(state, KEY)
                    if key == ESCAPED_KEY:
                        store_slot(state, ODD, 1)
                    elif key != OTHER_KEY:
                        at = VALUE
            elif at == VALUE:
                key = load_slot(state, KEY)
                at = OWN
                if byte == 34:
                    end, escapes = string_end(data, size, pos + 1)
                    if end < 0:
                        at = VALUE
                        if end != -1:
                            pos = -2 - end
                        error = BAD_STRING
                        event = NEED_MORE if end == -1 else BAD
                        break
                    note_string(data, pos + 1, end, escapes, key, state, table)
                    pos = end + 1
                elif byte in (123, 91):
                    note_container(key, state, table)
                else:
                    digits = integer_digits(data, pos) if key == ID_KEY else 0
                    if digits > 0 and pos + digits < size:
                        note_id(state, table, integer_hash(integer_at(data, pos, digits)))
                        pos += digits
                    else:
                        end = scalar_end(data, size, pos)
                        if end >= size:
                            at = VALUE
                            event = NEED_MORE
                            break
                        if not is_scalar(data, pos, end):
                            error = BAD_SCALAR if end > pos else BAD_VALUE
                            event = BAD
                            break
                        note_scalar(data, pos, end, key, state, table)
                        pos = end
            elif at == AFTER_ELEMENT:
                if load_slot(state, SINGLE) != 0:
                    event = SECTION_END
                    break
                if byte == 44:
                    at = ELEMENT_NEXT
                elif byte != 93:
                    error = BAD_SEPARATOR
                    event = BAD
                    break
                pos += 1
                if byte == 93:
                    event = SECTION_END
                    break
            elif byte == 123 and pos != exact and kind != RATES and can_skim:
                exact = pos
                pos = skim(data, size, pos, kind, state, table, index)
                at = load_slot(state, STATE)
                if at == ELEMENT_NEXT:
                    exact = pos
                elif at == AFTER_ELEMENT and load_slot(state, INDEXED) == rows:
                    event = INDEX_FULL
                    break
            elif byte == 123:
                store_slot(state, START, pos)
                store_slot(state, CODE, WANTED if kind == RATES else UNKNOWN)
                store_slot(state, TYPE, WANTED)
                store_slot(state, ODD, 0)
                store_slot(state, HASH, NO_ID)
                store_slot(state, DEPTH, 1)
                store_slot(state, BRACES, 1)
                store_slot(state, RETURN_TO, ELEMENT_ENDED)
                pos += 1
                at = NESTED if kind == RATES else OWN
                if (  # the usual first key, by a short cut
                    kind in (REFERENCES_INDEXED, REFERENCES_FILTERED)
                    and pos + 30 < size
                    and byte_at(data, pos) == 34
                    and key_kind(data, pos + 1, pos + 18) == ID_KEY
                    and word_at(data, pos + 18) & U(0xFFFF) == _COLON
                ):
                    digits = integer_digits(data, pos + 20)
                    if digits > 0:
                        note_id(state, table, integer_hash(integer_at(data, pos + 20, digits)))
                        pos += 20 + digits
            elif byte == 93 and at == ELEMENT_OR_END:
                pos += 1
                event = SECTION_END
                break
            elif byte in (91, 34):
                store_slot(state, OTHERS, load_slot(state, OTHERS) + 1)
                at = NESTED if byte == 91 else STRING
                store_slot(state, RETURN_TO, AFTER_ELEMENT)
                store_slot(state, DEPTH, 1)
                store_slot(state, BRACES, 0)
                pos += 1
            else:
                end = scalar_end(data, size, pos)
                if end >= size:
                    event = NEED_MORE
                    break
                if not is_scalar(data, pos, end):
                    error = BAD_SCALAR if end > pos else BAD_ELEMENT
                    event = BAD
                    break
                which = NULLS if is_null(data, pos, end) else OTHERS
                store_slot(state, which, load_slot(state, which) + 1)
                pos = end
                at = AFTER_ELEMENT
        if ended:
            at = AFTER_ELEMENT
            wanted = load_slot(state, ODD) != 0 or (
                load_slot(state, CODE) == WANTED and load_slot(state, TYPE) == WANTED
            )
            start = load_slot(state, START)
            if kind == REFERENCES_INDEXED:
                row = 3 * load_slot(state, INDEXED)
                store_slot(index, row, ODD_ID if load_slot(state, ODD) != 0 else load_slot(state, HASH))
                store_slot(index, row + 1, start + load_slot(state, SPOOLED))
                store_slot(index, row + 2, pos + load_slot(state, SPOOLED))
            elif load_slot(state, STOP_AT_END) != 0 or (wanted and start < 0):
                event = ELEMENT
                break
            elif wanted:
                row = 3 * load_slot(state, INDEXED)
                store_slot(index, row + 1, start)
                store_slot(index, row + 2, pos)
            if not wanted or kind == REFERENCES_INDEXED:
                store_slot(state, SEEN, load_slot(state, SEEN) + 1)
            store_slot(state, START, NOWHERE)
            if wanted or kind == REFERENCES_INDEXED:
                found = load_slot(state, INDEXED) + 1
                store_slot(state, INDEXED, found)
                if found == rows:
                    event = INDEX_FULL
                    break
    store_slot(state, POS, pos)
    store_slot(state, STATE, at)
    store_slot(state, ERROR, error)
    return event


@compiled
def skip_value(data: int, size: int, state: int) -> int:
    """Pass over a root value that has begun and is of no interest: NEED_MORE, ELEMENT once past it, or BAD."""
    if load_slot(state, STATE) == NESTED:
        end = skip_nested(data, size, load_slot(state, POS), state, -1)
        if end == -2:
            return BAD
        store_slot(state, POS, size if end == -1 else end)
        return NEED_MORE if end == -1 else ELEMENT
    end, on = skip_string(data, size, load_slot(state, POS))
    if end == -1:
        store_slot(state, POS, on)
        return NEED_MORE
    if end < 0:
        store_slot(state, POS, -2 - end)
        store_slot(state, ERROR, BAD_STRING)
        return BAD
    store_slot(state, POS, end + 1)
    return ELEMENT


@compiled
def check_utf8(data: int, start: int, size: int, state: int) -> int:
    """The place of the first byte that is no UTF-8, or -1; state (needed, low, high) carries over blocks' edges."""
    pos = start
    needed, low, high = load_slot(state, 0), load_slot(state, 1), load_slot(state, 2)
    while pos < size:
        if needed == 0:
            beyond = beyond_ascii_at(data, pos)
            if beyond == U(0):
                pos += 64
                continue
            pos += lowest_one(beyond)
            if pos >= size:
                break
            byte = byte_at(data, pos)
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
            byte = byte_at(data, pos)
            if not low <= byte <= high:
                return pos
            low, high = 0x80, 0xBF
            needed -= 1
        pos += 1
    store_slot(state, 0, needed)
    store_slot(state, 1, low)
    store_slot(state, 2, high)
    return -1
