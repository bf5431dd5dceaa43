"""Every limit of the containers, crossed by a small one; each refusal names the limit."""

import io
from collections.abc import Iterator

import pytest

from tests.containers import gzip_members, gzipped, zipped, zstd
from tests.pipeline import open_temporary
from transforms.containers import ContainerLimits, open_documents
from transforms.errors import BadFileError

TEXT = b'{"in_network": [], "x": "' + b"a" * 100_000 + b'"}'
ONE_LAYER = ("gzip", "zip", "zstd", "gzip members")


def packed(kind: str) -> bytes:
    match kind:
        case "zip":
            return zipped({"rates.json": TEXT})
        case "zstd":
            return zstd(TEXT)
        case "gzip members":
            return gzip_members(TEXT)
        case _:
            return gzipped(TEXT)


def read_all(published: bytes, limits: ContainerLimits) -> list[bytes]:
    def documents() -> Iterator[bytes]:
        for document in open_documents(io.BytesIO(published), open_temporary, limits):
            pieces = []
            while piece := document.stream.read(1_000):
                pieces.append(piece)
            yield b"".join(pieces)

    return list(documents())


@pytest.mark.parametrize("kind", ONE_LAYER)
def test_within_the_limits_everything_is_read(kind: str) -> None:
    assert read_all(packed(kind), ContainerLimits(nesting=1, inflated_bytes=len(TEXT))) == [TEXT]


@pytest.mark.parametrize("kind", ONE_LAYER)
def test_inflating_beyond_the_total_is_refused(kind: str) -> None:
    with pytest.raises(BadFileError, match=r"limit inflated_bytes"):
        read_all(packed(kind), ContainerLimits(inflated_bytes=len(TEXT) - 1))


@pytest.mark.parametrize("kind", ONE_LAYER)
def test_inflating_beyond_the_ratio_is_refused(kind: str) -> None:
    with pytest.raises(BadFileError, match=r"10-fold \(limit inflate_ratio\)"):
        read_all(packed(kind), ContainerLimits(inflate_ratio=10, ratio_from_bytes=20_000))


@pytest.mark.parametrize("kind", ONE_LAYER)
def test_an_absurd_ratio_of_few_bytes_is_read(kind: str) -> None:
    assert read_all(packed(kind), ContainerLimits(inflate_ratio=2, ratio_from_bytes=len(TEXT))) == [TEXT]


@pytest.mark.parametrize(
    "published",
    [gzipped(gzipped(TEXT)), zipped({"inner.zip": zipped({"a.json": TEXT})}), zipped({"a.gz": gzipped(TEXT)})],
    ids=["gzip in gzip", "zip in zip", "gzip in zip"],
)
def test_containers_in_containers_are_read_to_the_limit_and_refused_beyond(published: bytes) -> None:
    assert read_all(published, ContainerLimits(nesting=2)) == [TEXT]
    with pytest.raises(BadFileError, match=r"nested more than 1 deep \(limit nesting\)"):
        read_all(published, ContainerLimits(nesting=1))


def test_too_many_zip_members_are_refused() -> None:
    published = zipped({f"{number}.json": b'{"in_network": []}' for number in range(4)})
    assert len(read_all(published, ContainerLimits(zip_members=4))) == 4
    with pytest.raises(BadFileError, match=r"4 members \(limit zip_members is 3\)"):
        read_all(published, ContainerLimits(zip_members=3))


def test_the_total_holds_for_all_zip_members_together() -> None:
    published = zipped({f"{number}.json": TEXT for number in range(4)})
    with pytest.raises(BadFileError, match=r"limit inflated_bytes"):
        read_all(published, ContainerLimits(inflated_bytes=3 * len(TEXT)))
