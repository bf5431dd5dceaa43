"""Generated documents, sound and broken: the pipeline reads and refuses what the plain reading reads and refuses."""

import re
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from tests.field_notes import GENERATED_REMOTE, generated_documents, malformed_documents, truncated_documents
from tests.pipeline import CODES, Fate, extract_bytes, fates, rate_rows
from tests.plain_reading import UnreadableError, plain_extract, plain_rates
from transforms.errors import BadFileError

MANY = settings(
    max_examples=80, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
SOME = settings(MANY, max_examples=25)  # what goes through polars costs 60 ms
EXPONENT = re.compile(r"-?[0-9.]+[eE][+-]?[0-9]+")

pytestmark = pytest.mark.slow


def plain_fates(*files: bytes) -> dict[tuple[object, ...], Fate]:
    return {
        tuple(rate.row): (
            rate.exclusion,
            rate.last_updated_on,
            tuple(sorted(rate.source_ids)),
            tuple(sorted(rate.network_names)),
            rate.business_name,
            rate.group_size,
        )
        for rate in plain_rates(files, CODES, None, remote=GENERATED_REMOTE)
    }


def respelled(value: Any) -> Any:
    """The one difference allowed: where text belongs, a number may be spelled with an exponent or without (1E-3)."""
    if isinstance(value, dict):
        return {respelled(key): respelled(inner) for key, inner in value.items()}
    if isinstance(value, tuple):
        return tuple(map(respelled, value))
    if isinstance(value, str) and EXPONENT.fullmatch(value):
        number = Decimal(value)
        return f"{number:f}" if abs(number.adjusted()) < 1_000 else number
    return value


@SOME
@given(generated_documents())
def test_a_generated_document_gives_the_rows_of_the_plain_reading(data: bytes) -> None:
    source = extract_bytes(data)
    plain = plain_extract(data, CODES, GENERATED_REMOTE)
    (account,) = source.account.documents
    assert (account.items_seen, account.items_matched) == (plain.items_seen, plain.items_matched)
    assert source.account.prices == plain.prices
    assert account.quirks.get("date not read", 0) == plain.dates_not_read
    assert respelled(fates(rate_rows([source], GENERATED_REMOTE))) == respelled(plain_fates(data))


@SOME
@given(generated_documents(), generated_documents())
def test_two_documents_give_the_rows_of_the_plain_reading_in_any_chunks(one: bytes, other: bytes) -> None:
    sources = [extract_bytes(one), extract_bytes(other)]
    whole = rate_rows(sources, GENERATED_REMOTE)
    assert rate_rows(sources[::-1], GENERATED_REMOTE, pairs_each=1).equals(whole)
    assert respelled(fates(whole)) == respelled(plain_fates(one, other))


def refused_by_the_plain_reading(data: bytes) -> bool:
    try:
        plain_extract(data, CODES)
    except UnreadableError:
        return True
    return False


@MANY
@given(truncated_documents())
def test_a_truncated_document_is_refused(data: bytes) -> None:
    assert refused_by_the_plain_reading(data)
    with pytest.raises(BadFileError):
        extract_bytes(data)


@MANY
@given(malformed_documents())
def test_a_malformed_document_is_refused(data: bytes) -> None:
    assert refused_by_the_plain_reading(data)
    with pytest.raises(BadFileError):
        extract_bytes(data)
