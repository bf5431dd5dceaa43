"""The compiled half of ``scan_contents``: which children of an open object or array are complete, 64 bytes at a time.

Apart from ``scan_kernels``, whose instructions it uses, because numba's cache notices a change only in the module that
a compiled function stands in: whoever changes one of those instructions touches this file, too.
"""

from numba import types

from transforms.scan_kernels import (
    U,
    _masker,
    bytes_at,
    closes_at,
    compiled,
    count_ones,
    instruction,
    load_slot,
    lowest_one,
    opens_at,
    quotes_at,
    running_parity,
    signed,
    slashes_at,
    store_slot,
)

NEED_MORE, CLOSED, TOO_DEEP = range(3)  # events of complete_children

# Slots of its state
SCANNED, DEPTH, DEEPEST, INSIDE, ESCAPED, CUT, DIGITS, LONG_NUMBER, SLOTS = range(9)

NOWHERE = -(1 << 62)  # CUT while no child is complete
LONG_BLOCKS = 60  # of 64 digits each: CPython refuses integers from 4,300 digits on

_ODD_BITS = U(0xAAAAAAAAAAAAAAAA)
_ALL = U(0xFFFFFFFFFFFFFFFF)
_COMMA = 44


@instruction
def digits_at(_context, address, offset):  # type: ignore[no-untyped-def]
    """Digits among the 64 bytes at ``offset``."""
    return types.uint64(types.int64, types.int64), _masker(
        lambda b, x, all_: b.icmp_unsigned("<", b.sub(x, all_(48)), all_(10))
    )


@compiled
def complete_children(data: int, size: int, state: int) -> int:
    """Go on from SCANNED through the children of an object or array, up to its closing bracket or the end of the data.

    CLOSED: its closing bracket stands at SCANNED.
    NEED_MORE: the data ended; CUT is the comma behind the last child that is complete, or NOWHERE.
    TOO_DEEP: more than DEEPEST brackets are open inside a child, at SCANNED.
    LONG_NUMBER is set where so many digits stand in a row that not every parser takes them for a number.
    Brackets outside strings are counted, whatever their kind: whoever decodes the children checks the rest.
    """
    pos = load_slot(state, SCANNED)
    depth = load_slot(state, DEPTH)
    deepest = load_slot(state, DEEPEST)
    inside = U(0) - U(load_slot(state, INSIDE))
    escaped = U(load_slot(state, ESCAPED))
    digits = load_slot(state, DIGITS)
    while pos < size:
        quotes = quotes_at(data, pos)
        slashes = slashes_at(data, pos)
        opens = opens_at(data, pos)
        closes = closes_at(data, pos)
        lanes = size - pos
        valid = _ALL
        last_lane = U(63)
        if lanes < 64:
            last_lane = U(lanes - 1)
            valid = (U(1) << U(lanes)) - U(1)
            quotes &= valid
            slashes &= valid
            opens &= valid
            closes &= valid
        escapes = slashes | escaped
        if escapes != U(0):  # as in scan_kernels.skip_nested
            potential = slashes & ~escaped
            evens = ((potential << U(1)) | _ODD_BITS) - potential
            terminals = evens ^ _ODD_BITS
            quotes &= ~(terminals ^ escapes)
            escaped = ((terminals & slashes) >> last_lane) & U(1)
        strings = running_parity(quotes) ^ inside
        inside = U(0) - ((strings >> last_lane) & U(1))
        opens &= ~strings
        closes &= ~strings
        if quotes == U(0) and (digits_at(data, pos) | ~valid) == _ALL:
            digits += 1
            if digits > LONG_BLOCKS:
                store_slot(state, LONG_NUMBER, 1)
        else:
            digits = 0
        opened = count_ones(opens)
        closed = count_ones(closes)
        if depth > closed and depth + opened <= deepest:  # stays within one child
            depth += opened - closed
            pos += 64
            continue
        marks = opens | closes | (bytes_at(data, pos, _COMMA) & ~strings & valid)
        while marks != U(0):
            bit = marks & (U(0) - marks)
            marks ^= bit
            if opens & bit != U(0):
                depth += 1
                if depth > deepest:
                    store_slot(state, SCANNED, pos + lowest_one(bit))
                    return TOO_DEEP
            elif closes & bit != U(0):
                if depth == 0:
                    store_slot(state, SCANNED, pos + lowest_one(bit))
                    return CLOSED
                depth -= 1
            elif depth == 0:
                store_slot(state, CUT, pos + lowest_one(bit))
        pos += 64
    store_slot(state, SCANNED, size)
    store_slot(state, DEPTH, depth)
    store_slot(state, INSIDE, signed(inside & U(1)))
    store_slot(state, ESCAPED, signed(escaped))
    store_slot(state, DIGITS, digits)
    return NEED_MORE
