"""What is in one file, in one streaming pass with the reader that `run` uses; nothing is written."""

import time
from collections import Counter
from typing import Any, BinaryIO, cast

from flows.download.open_source import open_source
from flows.download.sources import Source
from flows.extract.index_listing import read_indexes
from flows.extract.progress import make_counters, shown
from flows.extract.readers import default_engine, reader_of
from flows.settings.values import Engine, ReadSettings
from flows.storage.atomic_files import open_temporary, temporary_folder
from flows.storage.redaction import redact_headers, redact_text
from flows.storage.resource_errors import explain_resource_errors
from schemas.mrf import INDEX_SHAPES
from transforms.contents.found_files import FoundFile
from transforms.contents.listing import Choice
from transforms.errors import BadFileError, FullReadingNeededError, NothingUsableError
from transforms.read.account import SourceAccount
from transforms.read.containers import NotJsonError
from transforms.read.extract import extract_source


def inspect(source: Source, settings: ReadSettings, choice: Choice | None = None) -> dict[str, Any]:
    """The result line of `inspect` (CONTRACT section 2); of an index, with what it lists.

    Raises:
        NothingUsableError: the file can't be trusted; says where and why.
    """
    choice = choice or Choice()
    try:
        with explain_resource_errors(f"reading {source.name}", temporary_folder(), "nothing was written"):
            try:
                found = _inspect(source, settings, skip=True)
            except FullReadingNeededError:
                found = _inspect(source, settings, skip=False)
            except NotJsonError:
                if not source.is_url:
                    raise
                return {"source": source.name, "shape": "page", "index": inspect_index(source, settings, choice)}
            if found["shape"] in INDEX_SHAPES:
                found["index"] = inspect_index(source, settings, choice)
            return found
    except BadFileError as error:
        raise NothingUsableError(f"{source.name}: {error}") from error


def _inspect(source: Source, settings: ReadSettings, *, skip: bool) -> dict[str, Any]:
    counters = make_counters()
    engine = settings.engine or default_engine()

    def tell(json_bytes: int, matched: int) -> None:
        counters[:3] = [stream.bytes, counters[1] + json_bytes, matched]

    with open_source(source, settings.fetching) as stream, shown(counters, 1, source.size):
        started = time.perf_counter()
        account = extract_source(
            cast("BinaryIO", stream),
            settings.codes,
            None,
            open_temporary,
            reader=reader_of(engine),
            skip=skip,
            limits=settings.limits,
            on_progress=tell,
        )
        seconds = time.perf_counter() - started
        stream.finish()
    return describe(source, redact_headers(account), stream.bytes, seconds, engine)


def inspect_index(source: Source, settings: ReadSettings, choice: Choice) -> dict[str, Any]:
    """What an index lists itself: its files with the option that leaves each out, other indexes, what is not read.

    Memory: the distinct files.
    """
    listing = read_indexes(source, choice, None, settings, follow=lambda _: False).listing
    files = [_describe_file(file, choice.left_out_by(file)) for file in listing.files.values()]
    indexes = [_describe_file(file, "exclude" if file.excluded else None) for file in listing.indexes.values()]
    return {
        "files": files,
        "indexes": indexes,
        "kept": sum(file["left_out_by"] is None for file in files),
        "left_out": dict(Counter(file["left_out_by"] for file in (*files, *indexes) if file["left_out_by"])),
        "skipped": {redact_text(kind): count for kind, count in sorted(listing.skipped.items())},
        "plan_market_types": dict(Counter(name for file in files for name in file["plan_market_types"])),
        "plan_id_types": dict(Counter(name for file in files for name in file["plan_id_types"])),
    }


def _describe_file(file: FoundFile, left_out_by: str | None) -> dict[str, Any]:
    local = None if "://" in file.location else Source(file.location).size
    return {
        "name": file.name,
        "description": redact_text(file.description) if file.description else None,
        "mentions": file.mentions,
        "plans": file.plans.count,
        "plan_names": list(file.plans.names.first),
        "plan_market_types": list(file.plans.market_types.first),
        "plan_id_types": list(file.plans.id_types.first),
        "networks": list(file.networks.first),
        "last_updated_on": file.updated,
        "bytes": file.bytes or local or None,
        "can_be_followed": not file.refused,
        "left_out_by": left_out_by,
    }


def describe(source: Source, account: SourceAccount, bytes_read: int, seconds: float, engine: Engine) -> dict[str, Any]:
    """One flat dictionary; a zip of several documents gives the first one's header and the sums of the rest."""
    first = account.documents[0]
    codes = {
        code: {
            "items": sum(document.codes[code][0] for document in account.documents),
            "prices": sum(document.codes[code][1] for document in account.documents),
        }
        for code in first.codes
    }
    found = {
        "source": source.name,
        "header": first.header,
        "root_keys": list(first.root_keys),
        "shape": account.shape,
        "flags": sorted({flag for document in account.documents for flag in document.flags}),
        "quirks": account.quirks,
        "items": account.items_seen,
        "items_matched": account.items_matched,
        "codes": codes,
        "provider_references": sum(document.provider_references for document in account.documents),
        "cited": sum(document.cited for document in account.documents),
        "documents": [
            {"name": each.name, "shape": each.shape, "items": each.items_seen, "codes": each.codes}
            for each in account.documents
        ],
        "bytes_read": bytes_read,
        "bytes_json": account.bytes_json,
        "seconds": round(seconds, 6),
        "engine": engine,
    }
    return {key: value for key, value in first.header.items() if key not in found} | found
