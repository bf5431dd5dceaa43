"""Everything that a run leaves behind, searched for text that must not be there: compressed and columnar files too."""

import gzip
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq


def texts_of(path: Path) -> Iterator[bytes]:
    """A file's bytes as they are, and as a reader of its format sees them."""
    data = path.read_bytes()
    yield path.name.encode()
    yield data
    if data.startswith(b"\x1f\x8b"):
        yield gzip.decompress(data)
    if data.startswith(b"PAR1"):
        table = pq.read_table(path)
        yield repr(table.schema.metadata).encode()
        for column in table.columns:
            yield repr(column.to_pylist()).encode()


def found_in(folder: Path, text: str, *, but: frozenset[str] = frozenset()) -> dict[str, str]:
    """The files below a folder that hold the text, each with where it stands; ``but``: file names left out."""
    wanted = text.encode()
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name not in but:
            for searched in texts_of(path):
                at = searched.find(wanted)
                if at >= 0:
                    found[str(path.relative_to(folder))] = searched[max(at - 60, 0) : at + 40].decode(
                        "utf-8", "replace"
                    )
    return found
