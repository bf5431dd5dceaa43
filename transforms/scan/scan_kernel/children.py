"""Which children of an open object or array are complete: what ``transforms.contents`` asks the kernel."""

from transforms.scan.scan_kernel.library import Function, function

NEED_MORE, CLOSED, TOO_DEEP = range(3)  # events of complete_children

NOWHERE = -(1 << 62)  # CUT while no child is complete

# Slots of its state
SCANNED, DEPTH, DEEPEST, INSIDE, ESCAPED, CUT, DIGITS, LONG_NUMBER, SLOTS = range(9)

complete_children: Function = function("complete_children", 3)  # data, size, state
