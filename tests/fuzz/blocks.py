"""A document cut into blocks at any places, with bytes behind each block that must never count."""

from transforms.scan.blocks import HEAD_BYTES, Block, Keep, _Buffer
from transforms.scan.scan_kernel.kernel import PADDING

POISONS = tuple(
    (text * PADDING)[:PADDING]
    for text in (b"\x00", b'"', b"}", b"]", b"\\", b"0", b"\xc3", b'":1},{"billing_code":"97026"', b'"]}]}, ')
)
_BLOCK_BYTES = 1 << 17

_buffers = [_Buffer(_BLOCK_BYTES, PADDING) for _ in range(2)]


class CutBlocks:
    """Blocks that end where ``cuts`` (ascending) say. Two buffers in turn, as ``PlainBlocks`` has, used for all.

    Where blocks are to be kept, one in two is, as if a second thread were ahead now and then.
    """

    def __init__(self, document: bytes, cuts: tuple[int, ...], poison: int) -> None:
        self._document = document
        self._cuts = cuts
        self._turn = 0
        self._at = 0
        self._keep: Keep | None = None
        self._poison = POISONS[poison % len(POISONS)]
        if len(document) > len(_buffers[0].block):
            _buffers[:] = [_Buffer(2 * len(document), PADDING) for _ in range(2)]

    def next(self, left_over: memoryview, padding: int) -> Block:
        """See ``transforms.scan.blocks.Blocks``."""
        end = self._cuts[self._turn] if self._turn < len(self._cuts) else len(self._document)
        buffer = _buffers[self._turn & 1]
        self._turn += 1
        size = end - self._at
        buffer.block[:size] = self._document[self._at : end]
        buffer.bytes[HEAD_BYTES + size : HEAD_BYTES + size + padding] = self._poison[:padding]
        buffer.size = size
        buffer.kept = self._keep if self._turn & 2 else None
        if buffer.kept is not None:
            buffer.kept(self._at, buffer.block[:size])
        self._at = end
        return buffer.behind(left_over, padding)

    def keep(self, keep: Keep | None) -> None:
        """See ``transforms.scan.blocks.Blocks``."""
        self._keep = keep
