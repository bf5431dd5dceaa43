"""How far the children of an open object or array are complete, by the compiled kernel or by a regular expression.

Both look at brackets and strings only; the decoding of the children checks the rest.
"""

import re
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np

from transforms.scan.blocks import Block

_TOKENS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*(?P<closed>")?|\\[\\"]|[][{},]', re.S)


class Children(NamedTuple):
    """The position of the comma behind the last complete child, if there is one.

    closed: the position of the closing bracket, if all children are complete. too_deep: more brackets than allowed are
    open. in_string: the block ends inside a string.
    """

    cut: int | None = None
    closed: int | None = None
    too_deep: bool = False
    in_string: bool = False


@cache
def finder() -> Callable[[Block, int, int], Children]:
    """Returns the complete children of a block from a position on, within a number of brackets open in one child."""
    try:
        from transforms.scan.scan_kernel import children as kernel
    except ImportError:
        return find_plainly

    def find(block: Block, start: int, deepest: int) -> Children:
        state = np.zeros(kernel.SLOTS, np.int64)
        state[kernel.SCANNED], state[kernel.DEEPEST], state[kernel.CUT] = start, deepest, kernel.NOWHERE
        event = kernel.complete_children(block.address, block.size, state.ctypes.data)
        cut, place = int(state[kernel.CUT]), int(state[kernel.SCANNED])
        return Children(
            None if cut == kernel.NOWHERE else cut,
            place if event == kernel.CLOSED else None,
            event == kernel.TOO_DEEP,
            bool(state[kernel.INSIDE]),
        )

    return find


def find_plainly(block: Block, start: int, deepest: int) -> Children:
    """As the kernel does it, some hundred times slower."""
    depth = 0
    cut: int | None = None
    for token in _TOKENS.finditer(block.bytes, start, block.size):
        first = block.bytes[token.start()]
        if first == ord('"'):
            if token["closed"] is None:
                return Children(cut, in_string=True)
        elif first == ord("\\"):  # outside of strings, which is no JSON: what it escapes opens no string
            continue
        elif first in b"{[":
            depth += 1
            if depth > deepest:
                return Children(cut, too_deep=True)
        elif first in b"}]":
            if depth == 0:
                return Children(cut, closed=token.start())
            depth -= 1
        elif depth == 0:
            cut = token.start()
    return Children(cut)
