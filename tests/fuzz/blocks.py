"""A document cut into blocks at any places, with bytes behind each block that must never count."""

from transforms.scan.blocks import HEAD_BYTES, Block, Blocks, Buffer, Store
from transforms.scan.scan_kernel.kernel import PADDING

POISONS = tuple(
    (text * PADDING)[:PADDING]
    for text in (b"\x00", b'"', b"}", b"]", b"\\", b"0", b"\xc3", b'":1},{"billing_code":"97026"', b'"]}]}, ')
)
_BLOCK_BYTES = 1 << 17

_buffers = [Buffer(_BLOCK_BYTES) for _ in range(2)]


class CutBlocks(Blocks):
    """Blocks that end where ``cuts`` (ascending) say. Two buffers in turn, as ``Blocks`` has, used for all.

    Where blocks are to be stored, one in two is, as if a second thread were ahead now and then.
    """

    def __init__(self, document: bytes, cuts: tuple[int, ...], poison: int) -> None:
        self._document = document
        self._cuts = cuts
        self._number = 0
        self._at = 0
        self._store: Store | None = None
        self._poison = POISONS[poison % len(POISONS)]
        if len(document) > len(_buffers[0].block):
            _buffers[:] = [Buffer(2 * len(document)) for _ in range(2)]

    def next(self, left_over: memoryview) -> Block:
        """See ``transforms.scan.blocks.Blocks``."""
        end = self._cuts[self._number] if self._number < len(self._cuts) else len(self._document)
        buffer = _buffers[self._number & 1]
        self._number += 1
        size = end - self._at
        buffer.block[:size] = self._document[self._at : end]
        buffer.bytes[HEAD_BYTES + size : HEAD_BYTES + size + PADDING] = self._poison
        buffer.size = size
        buffer.stored_by = self._store if self._number & 2 else None
        if buffer.stored_by is not None:
            buffer.stored_by(self._at, buffer.block[:size])
        self._at = end
        return buffer.behind(left_over)

    def store_ahead(self, store: Store | None) -> None:
        """See ``transforms.scan.blocks.Blocks``."""
        self._store = store
