"""The two readers: which one reads, and the version of what they write."""

import logging
from functools import cache, partial
from multiprocessing import parent_process
from typing import TYPE_CHECKING

from flows.settings.values import Engine
from flows.storage.code_versions import code_version
from transforms.errors import UsageError
from transforms.scan.scan_kernel import library

if TYPE_CHECKING:  # imported where something is read: what did not change shall not wait for it
    from transforms.read.extract import ReadDocument

LOG = logging.getLogger(__name__)

READER_VERSION = "6"  # raise it when an extract's files change; the readers' own code is digested
READING_MODULES = ("transforms.read.extract", "transforms.read.read_ijson", "transforms.scan.read_scan")


def reading_version() -> str:
    """The version of what an extract holds: of both readers, and of everything by which they clean values."""
    return f"v{READER_VERSION}-{code_version(*READING_MODULES)[:12]}"


@cache
def default_engine() -> Engine:
    """The scanning reader, or, where its compiled half is missing, the one that parses every byte."""
    missing = library.problem()
    if missing is not None and parent_process() is None:
        LOG.warning("%s; ijson reads instead, many times slower", missing)
    return "scan" if missing is None else "ijson"


def reader_of(engine: Engine | None, *, overlap: bool = True) -> "ReadDocument":
    """The ``read_document`` of this reader, or of the default one; imported only when it is used.

    Args:
        overlap: inflate in a second thread: faster for one file, slower where every core has a file of its own.

    Raises:
        UsageError: the scanning reader's compiled half is missing.
    """
    if (engine or default_engine()) == "ijson":
        from transforms.read import read_ijson

        return read_ijson.read_document
    if missing := library.problem():
        raise UsageError(missing)
    from transforms.scan import read_scan

    return partial(read_scan.read_document, overlap=overlap)
