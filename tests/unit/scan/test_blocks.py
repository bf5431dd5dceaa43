"""Blocks of a stream, and who puts them away."""

import io
import tempfile
from threading import Event, Thread
from typing import BinaryIO, cast

import pytest

from transforms.scan.blocks import BUFFERS, OverlappedBlocks
from transforms.scan.byte_spool import ByteSpool

SECONDS = 30  # in which a thread does something
BLOCK_BYTES = 8
DATA = bytes(range(BLOCK_BYTES * 2 * BUFFERS))


def blocks_of(data: bytes) -> OverlappedBlocks:
    return OverlappedBlocks(io.BytesIO(data), BLOCK_BYTES)


def spool(limit: int = 0) -> ByteSpool:
    return ByteSpool(lambda: cast("BinaryIO", tempfile.TemporaryFile()), limit)


def test_a_thread_that_is_ahead_keeps_blocks_where_they_stand_in_the_stream() -> None:
    stored: dict[int, bytes] = {}
    ahead = Event()

    def store(begin: int, data: memoryview) -> None:
        stored[begin] = bytes(data)
        ahead.set()

    blocks = blocks_of(DATA)
    blocks.store_ahead(store)
    read = b""
    with blocks:
        assert ahead.wait(SECONDS)
        while (block := blocks.next(memoryview(b""))).size:
            here = bytes(block.bytes[: block.size])
            assert (block.stored_by is store) == (len(read) in stored)
            assert stored.get(len(read), here) == here
            read += here
    assert read == DATA
    assert stored
    assert 0 not in stored  # the first was waited for


def test_what_goes_wrong_with_keeping_is_raised_where_blocks_are_read() -> None:
    failed = Event()

    def store(_begin: int, _data: memoryview) -> None:
        failed.set()
        raise OSError(28, "no space left")

    blocks = blocks_of(DATA)
    blocks.store_ahead(store)
    with blocks:
        assert failed.wait(SECONDS)
        with pytest.raises(OSError, match="no space left"):
            while blocks.next(memoryview(b"")).size:
                pass


def test_nothing_is_stored_any_more_once_that_has_been_said() -> None:
    begun, go_on = Event(), Event()
    stored: list[int] = []

    def store(begin: int, _data: memoryview) -> None:
        stored.append(begin)
        begun.set()
        go_on.wait(SECONDS)

    blocks = blocks_of(DATA)
    blocks.store_ahead(store)
    with blocks:
        assert begun.wait(SECONDS)
        stop = Thread(target=blocks.store_ahead, args=(None,))
        stop.start()
        assert stop.is_alive()  # as long as a block is being stored
        go_on.set()
        stop.join(SECONDS)
        assert not stop.is_alive()
        before = list(stored)
        while blocks.next(memoryview(b"")).size:
            pass
    assert stored == before


def test_bytes_that_were_put_ahead_are_not_appended_again() -> None:
    bytes_ = spool()
    bytes_.append(memoryview(b"abc"))
    bytes_.put(6, memoryview(b"ghijkl"))
    bytes_.append(memoryview(b"def"))
    bytes_.skip(3)
    assert b"".join(bytes_.read(1, 9)) == b"bcdefghi"
    bytes_.append(memoryview(b"JKL"))
    assert b"".join(bytes_.read(0, len(bytes_))) == b"abcdefghiJKL"
    bytes_.close()


def test_what_was_in_memory_goes_to_the_file_in_order() -> None:
    bytes_ = spool(limit=4)
    for piece in (b"ab", b"cd", b"ef", b""):
        bytes_.append(memoryview(piece))
        assert bytes_.on_disk == (len(bytes_) > 4)
    assert b"".join(bytes_.read(0, 6)) == b"abcdef"
    bytes_.close()
