"""What the coverage-guided runs call: each takes any bytes; what it raises is no refusal of the project's own.

``SEEDS`` gives each its first inputs.
"""

import io
import os
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any, BinaryIO, cast

from flows.settings.config import example_text, load_config
from tests import contents_readings
from tests.containers import CONTAINERS, zipped
from tests.fee_schedule_files import gpci, pprrvu
from tests.fuzz.cuts import choose_cuts
from tests.fuzz.differential import compare
from tests.fuzz.explain import has_huge_number
from tests.fuzz.reading import open_temporary, without_bom
from tests.fuzz.seeds import all_seeds, corpus_seeds
from tests.json_text import json_bytes
from tests.nppes_files import npidata, record, workbook
from transforms.cms.fee_schedule import read_gpcis, read_relative_values
from transforms.cms.nppes import merge_records, read_deactivations, read_nppes
from transforms.errors import BadFileError, UsageError
from transforms.limits import Limits
from transforms.read.collect import Collected
from transforms.read.containers import open_documents
from transforms.read.read_ijson import read_provider_reference

Target = Callable[[bytes], None]

LIMITS = Limits(inflated_bytes=16 << 20, ratio_from_bytes=1 << 20, zip_members=1_000)
PIECE = 4_096
YEAR = 2026


class DifferenceError(AssertionError):
    """The readers differ without an explanation."""


def readers(data: bytes) -> None:
    """Both readers and the plain reading, as in the differential runs."""
    size = len(without_bom(data))
    verdict = compare(data, choose_cuts(Random(size), size, 6), plain=True)
    if verdict.difference is not None:
        raise DifferenceError(verdict.difference)


def contents(data: bytes) -> None:
    """A table of contents, strict and not, in blocks of any size, as a plain reading has it, or refused by both.

    Their limits for numbers differ. What begins otherwise than an object or array never reaches them: see
    ``containers``.
    """
    if not data.lstrip(b" \n\r\t").startswith((b"{", b"[")):
        return
    for strict in (False, True):
        expected = contents_readings.plainly(data, strict=strict)
        for block_bytes in (1 + len(data) % 97, 1 << 20):
            found = contents_readings.scanned(data, block_bytes, strict=strict)
            if isinstance(found, str) != isinstance(expected, str) and has_huge_number(data):
                continue
            if found != expected and not (isinstance(found, str) and isinstance(expected, str)):
                raise DifferenceError(f"blocks of {block_bytes}, strict {strict}: {found}; {expected}")


def provider_reference(data: bytes) -> None:
    """A remote provider reference."""
    with suppress(BadFileError):
        read_provider_reference(io.BytesIO(data), Collected(open_temporary))


class _Unseekable(io.RawIOBase):
    """As a download is."""

    def __init__(self, data: bytes) -> None:
        self._inner = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self._inner.read(size)

    def readinto(self, buffer: Any) -> int:
        return self._inner.readinto(buffer)


def containers(data: bytes) -> None:
    """Every document of a published file, from a file and from a download: the same, or refused both times."""
    seekable, streamed = (_documents(stream) for stream in (io.BytesIO(data), cast("BinaryIO", _Unseekable(data))))
    if seekable != streamed:
        raise DifferenceError("a download has other documents than the same file")


def _documents(raw: BinaryIO) -> list[tuple[str, int]] | None:
    found = []
    try:
        for document in open_documents(raw, open_temporary, LIMITS):
            size = 0
            while piece := document.stream.read(PIECE):
                size += len(piece)
            found.append((document.name, size))
    except BadFileError:
        return None
    return found


def nppes(data: bytes) -> None:
    """An npidata CSV."""
    with suppress(UsageError):
        list(merge_records(read_nppes(io.BytesIO(data))))


def deactivations(data: bytes) -> None:
    """A deactivation report: CSV or workbook."""
    with suppress(UsageError):
        read_deactivations(data)


def relative_values(data: bytes) -> None:
    """PPRRVU."""
    with suppress(UsageError):
        read_relative_values(data, YEAR)


def gpcis(data: bytes) -> None:
    """GPCI."""
    with suppress(UsageError):
        read_gpcis(data, YEAR)


_PLACE = Path(tempfile.gettempdir()) / f"fuzz-config-{os.getpid()}.toml"


def config(data: bytes) -> None:
    """A configuration file."""
    _PLACE.write_bytes(data)
    with suppress(UsageError):
        load_config(_PLACE, {})


TARGETS: dict[str, Target] = {
    target.__name__: target
    for target in (
        *(readers, contents, provider_reference, containers, nppes, deactivations, relative_values, gpcis, config),
    )
}

ROWS = (
    '<row><c r="A1" t="inlineStr"><is><t>NPI</t></is></c></row>'
    '<row><c r="A2"><v>1000000004</v></c><c r="B2"><v>45000</v></c></row>'
)


def _contents_seeds() -> Iterable[bytes]:
    listed = {"description": "in-network", "location": "https://example.com/a.json.gz"}
    structure = {
        "reporting_plans": [{"plan_name": "P", "plan_id": "1"}],
        "in_network_files": [listed, {**listed, "network_name": ["A", "B"]}],
        "allowed_amount_file": listed,
    }
    yield json_bytes({"reporting_entity_name": "Acme", "reporting_structure": [structure]})
    yield json_bytes({"TOC_Files": [structure, None], "in_network_files": ["https://example.com/b.json"]})
    yield json_bytes({"in_network": [], "reporting_structure": structure})


def _container_seeds() -> Iterable[bytes]:
    document = json_bytes({"reporting_entity_name": "Acme", "in_network": []})
    for wrap in CONTAINERS.values():
        yield wrap(document)
    yield zipped({"a.json": CONTAINERS["gzip"](document), "b.zip": zipped({"c.json": document}), "d/": b""})


SEEDS: dict[str, Callable[[], Iterable[bytes]]] = {
    "readers": lambda: all_seeds(Random(1), 200),
    "contents": lambda: [*_contents_seeds(), *corpus_seeds()],
    "provider_reference": lambda: [
        b'{"provider_groups":[{"npi":[1],"tin":{"type":"ein","value":"1"}}]}',
        *corpus_seeds(),
    ],
    "containers": _container_seeds,
    "nppes": lambda: [
        npidata(record(1000000004, "AK", "225100000X"), record(1000000012, "ny", deactivated="01/02/2020"))
    ],
    "deactivations": lambda: [
        b"NPI,Deactivation Date\n1000000004,01/02/2020\n",
        workbook(ROWS),
    ],
    "relative_values": lambda: [pprrvu(YEAR).encode(), pprrvu(2025).encode()],
    "gpcis": lambda: [gpci(YEAR).encode()],
    "config": lambda: [example_text().encode()],
}
