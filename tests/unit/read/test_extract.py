"""Batches on their way to disk are bounded by what is in the rows, not by their number alone; the account's quirks."""

import io
from typing import Any

import pyarrow as pa
import pytest

from schemas.table import Table
from tests.containers import zipped
from tests.documents import ANN, document, group, item, key_first, price, rate
from tests.json_text import Pairs, json_bytes
from tests.pipeline import ReadDocument, extract_bytes, open_temporary
from tests.plain_reading import plain_extract
from transforms.read import read_ijson
from transforms.read.extract import extract_source
from transforms.scan import read_scan

UNREAD = rate(
    group(ANN), prices=[price(expiration_date=day) for day in ("soon", "2027-02-30", "", "1/31/2027 0:00", None)]
)
TWICE = Pairs([*rate(group(ANN)).items(), ("negotiated_prices", [price(expiration_date="n/a")]), *UNREAD.items()])
DATED: dict[str, tuple[Any, int]] = {
    "none": (document(), 0),
    "the header's": (document(last_updated_on="June 2026"), 1),
    "a header that is no text": (document(last_updated_on=True), 0),
    "prices": (document(item(UNREAD), item(UNREAD)), 6),
    "items of other codes": (document(item(UNREAD, billing_code="99213"), item(UNREAD)), 3),
    "a code after its rates": (document(key_first(item(UNREAD, billing_code="99213"), "negotiated_rates")), 0),
    "prices that others replace": (document(item(TWICE)), 3),
    "odd prices": (document(item(rate(group(ANN), prices=price(expiration_date=7)))), 1),
}


@pytest.mark.parametrize("reader", [read_ijson.read_document, read_scan.read_document], ids=["ijson", "scan"])
@pytest.mark.parametrize("name", DATED)
def test_dates_that_are_not_read_are_counted_in_the_quirks(name: str, reader: ReadDocument) -> None:
    content, expected = DATED[name]
    data = json_bytes(content)
    (account,) = extract_bytes(data, reader).account.documents
    assert account.quirks.get("date not read", 0) == expected
    assert plain_extract(data, {"97026"}).dates_not_read == expected


def test_small_documents_of_one_source_share_batches() -> None:
    members = 40
    archive = zipped({f"{number}.json": json_bytes(document()) for number in range(members)})
    batches: dict[str, list[pa.RecordBatch]] = {}

    def emit(table: Table, batch: pa.RecordBatch) -> None:
        batches.setdefault(table.name, []).append(batch)

    account = extract_source(io.BytesIO(archive), frozenset({"97026"}), emit, open_temporary)
    assert len(account.documents) == members
    assert {name: len(each) for name, each in batches.items()} == {"PRICES": 1, "INLINE_GROUPS": 1}
    assert batches["PRICES"][0]["document"].to_pylist() == [*range(members)]
