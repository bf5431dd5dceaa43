r"""The scanning reader gives what the ijson reader gives, wherever blocks end; where it checks less is listed here."""

import gzip
import io
import json
import tempfile
from pathlib import Path
from random import Random
from typing import Any, BinaryIO, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.collected_rows import keyed_rows
from tests.documents import ANN, document, group, item, rate, reference
from tests.effort import SOAK, usually
from tests.field_note_case import Case
from tests.field_notes import CASES, generated_documents, malformed_documents, truncated_documents
from tests.fuzz.blocks import CutBlocks
from tests.fuzz.reading import Reading, reading_of
from tests.json_text import json_bytes
from tests.shared_files import shared_folder
from transforms.errors import BadFileError, FullReadingNeededError
from transforms.read import read_ijson
from transforms.read.collect import Collected
from transforms.read.extract import ReadDocument
from transforms.scan import byte_spool, read_scan, reference_index, scan_section
from transforms.scan.blocks import BLOCK_BYTES

CODES = frozenset({"97026", "97028"})
MANY = settings(
    max_examples=usually(60, 300),
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
BLOCKS = st.sampled_from((1, 2, 3, 7, 63, 64, 65, 200, 4096))


def open_temporary() -> BinaryIO:
    return cast("BinaryIO", tempfile.TemporaryFile())


def collect(read: ReadDocument, data: bytes, codes: frozenset[str], **options: Any) -> Collected:
    for skip in (True, False):
        collected = Collected(open_temporary)
        try:
            read(io.BytesIO(data), codes, collected, skip=skip, **options)
        except FullReadingNeededError:
            assert skip
            continue
        return collected
    raise AssertionError("a full reading needs no fuller one")


def reading(read: ReadDocument, data: bytes, codes: frozenset[str] = CODES, **options: Any) -> Reading:
    return reading_of(collect(read, data, codes, **options))


def full(data: bytes, codes: frozenset[str] = CODES) -> Reading | None:
    try:
        return reading(read_ijson.read_document, data, codes)
    except BadFileError:
        return None


def scanned(data: bytes, block_bytes: int = BLOCK_BYTES, codes: frozenset[str] = CODES) -> Reading | None:
    try:
        return reading(read_scan.read_document, data, codes, block_bytes=block_bytes, overlap=False)
    except BadFileError:
        return None


@pytest.fixture
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is too long to hold: items are streamed or wait on disk, references are spooled."""
    monkeypatch.setattr(scan_section, "MAX_DECODED_BYTES", 100)
    monkeypatch.setattr(scan_section, "MAX_HELD_BYTES", 60)
    monkeypatch.setattr(byte_spool, "LIMIT_BYTES", 0)
    monkeypatch.setattr(reference_index, "INDEX_BYTES", 0)


@pytest.mark.parametrize("case", [case for case in CASES if not case.skipped], ids=lambda case: case.name)
def test_field_notes_are_read_as_ijson_reads_them(case: Case) -> None:
    if case.container == "plain":
        expected = full(case.data)
        smallest = (1, 5) if len(case.data) < 50_000 or SOAK else ()  # each byte of them is a block of its own
        for block_bytes in (*smallest, 64, BLOCK_BYTES):
            assert scanned(case.data, block_bytes) == expected


@MANY
@given(generated_documents(), BLOCKS)
def test_generated_documents_are_read_alike_wherever_blocks_end(data: bytes, block_bytes: int) -> None:
    assert scanned(data, block_bytes) == full(data) is not None


@pytest.mark.usefixtures("small_limits")
@MANY
@given(generated_documents(), BLOCKS)
def test_what_is_too_long_to_hold_is_read_alike(data: bytes, block_bytes: int) -> None:
    assert scanned(data, block_bytes) == full(data) is not None


def read_with_help(stream: BinaryIO, wanted: frozenset[str], collected: Collected, *, skip: bool, every: int) -> None:
    data = stream.read()
    blocks = CutBlocks(data, tuple(range(every, len(data), every)), 0)
    read_scan.read_blocks(blocks, wanted, collected, skip=skip)


@pytest.mark.usefixtures("small_limits")
@MANY
@given(generated_documents(), BLOCKS)
def test_references_that_another_thread_puts_away_are_read_alike(data: bytes, every: int) -> None:
    assert reading(cast("ReadDocument", read_with_help), data, every=every) == full(data)


@pytest.mark.slow
@pytest.mark.usefixtures("small_limits")
def test_references_that_another_thread_put_away_are_not_those_of_a_later_array() -> None:
    arrays = ([{**reference(n, ANN), "location": "x" * 9 * n} for n in numbers] for numbers in ((3, 1), (2, 1)))
    first, second = map(json.dumps, arrays)
    items = json.dumps([item({**rate(), "provider_references": [1, 2, 3]})])
    data = f'{{"provider_references":{first},"provider_references":{second},"in_network":{items}}}'.encode()
    expected = full(data)
    for every in range(1, len(data)):
        assert reading(cast("ReadDocument", read_with_help), data, every=every) == expected


@MANY
@given(truncated_documents(), BLOCKS)
def test_a_truncated_document_is_refused(data: bytes, block_bytes: int) -> None:
    assert scanned(data, block_bytes) is None


@MANY
@given(malformed_documents(), BLOCKS)
def test_what_the_scan_refuses_a_full_parse_refuses(data: bytes, block_bytes: int) -> None:
    found = scanned(data, block_bytes)
    expected = full(data)
    assert found == expected if expected is not None else True


@pytest.mark.slow
def test_every_block_edge_of_a_document_with_everything() -> None:
    data = EVERYTHING
    expected = full(data)
    assert expected is not None and expected.counts == (3, 2, 2)
    for block_bytes in range(1, 200):
        assert scanned(data, block_bytes) == expected


EVERYTHING = json_bytes(
    document(
        item(rate(group(ANN), provider_references=["40.0", 41]), description='a "quoted" \\ word \\'),
        {"negotiated_rates": [rate(provider_references=[40])], "billing_code": "97028"},
        item(bundled_codes=[{"billing_code": "97026"}], billing_code="99213"),
        references=[reference(40, group(ANN)), reference("G\u00e9", group())],
    )
)


def test_overlapped_and_plain_reading_agree() -> None:
    for block_bytes in (1, 100, BLOCK_BYTES):
        overlapped = reading(read_scan.read_document, EVERYTHING, overlap=True, block_bytes=block_bytes)
        assert overlapped == scanned(EVERYTHING)


def test_an_error_of_the_stream_reaches_the_reader() -> None:
    class Broken(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            raise BadFileError("the gzip is damaged")

        readinto = None  # type: ignore[assignment]

    with pytest.raises(BadFileError, match="damaged"):
        read_scan.read_document(cast("BinaryIO", Broken()), CODES, Collected(open_temporary))


def test_more_codes_than_one() -> None:
    codes = frozenset(str(code) for code in range(10_000, 12_000)) | {"A1", "Ä", " "}
    data = json_bytes(document(*(item(rate(group(ANN)), billing_code=code) for code in ["11999", "A1", "Ä", "9", ""])))
    found = scanned(data, codes=codes)
    assert found == full(data, codes)
    assert found is not None and found.counts[1] == 3


def test_codes_of_every_length_are_found_and_their_neighbours_are_not() -> None:
    codes = frozenset(str(length % 10) * length for length in range(1, 41))
    written = [f"{mark}{code}{mark}" for code in sorted(codes) for mark in ("", " ", "A", "\x7f")]
    data = json_bytes(document(*(item(rate(group(ANN)), billing_code=code) for code in written)))
    found = scanned(data, codes=codes)
    assert found == full(data, codes)
    assert found is not None and found.counts[1] == 2 * len(codes)


def test_many_references_fill_the_index_and_all_are_found() -> None:
    count = reference_index.ROWS + 10
    cites = [0, 1, reference_index.ROWS - 1, reference_index.ROWS, count - 1]
    references = ",".join(
        f'{{"provider_group_id":{n},"provider_groups":[{{"npi":[{ANN}],"tin":{{}}}}]}}' for n in range(count)
    )
    wanted = json_bytes(item(rate(provider_references=cites)))
    data = b'{"provider_references":[%b],"in_network":[%b]}' % (references.encode(), wanted)
    found = collect(read_scan.read_document, data, CODES)
    assert found.references_seen == count
    assert [row[1] for row in keyed_rows(found, found.references)] == [str(n) for n in cites]


IDS = st.one_of(
    st.integers(-(10**20), 10**20).map(str),
    st.decimals(allow_nan=False, allow_infinity=False, places=6).map(str),
    st.from_regex(r"-?(0|[1-9][0-9]{0,18})(\.[0-9]{1,5})?([eE][+-]?[0-9]{1,3})?", fullmatch=True),
)


@MANY
@given(IDS, st.booleans())
def test_a_number_is_found_under_its_exact_decimal(number: str, quoted: bool) -> None:
    from decimal import Decimal

    from transforms.read.clean import reference_key

    key = reference_key(Decimal(number))
    written = f'"{number}"' if quoted else number.lower()
    references = f'{{"provider_group_id":{written},"provider_groups":[{{"npi":[{ANN}]}}]}}'
    rates = f'{{"negotiated_prices":[{{}}],"provider_references":["{number}"]}}'
    items = f'{{"billing_code":"97026","negotiated_rates":[{rates}]}}'
    data = f'{{"provider_references":[{references}],"in_network":[{items}]}}'
    found = collect(read_scan.read_document, data.encode(), CODES)
    assert [row[1] for row in keyed_rows(found, found.references)] == [key]


SHARED = shared_folder()
REAL = sorted(SHARED.glob("real/*/*.json*")) + sorted(SHARED.glob("cms/**/*.json")) if SHARED else []


@pytest.mark.slow
@pytest.mark.parametrize("path", REAL, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_real_files_are_read_alike(path: Path) -> None:
    data = path.read_bytes()
    data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    codes = CODES | {"99213", "45378", "97110", "0001", "27447"}
    assert scanned(data, codes=codes) == full(data, codes)


def skimmable(random: Random) -> bytes:
    """A document most of whose elements can be passed over at a stretch, with some that only look like it."""

    def text() -> Any:
        return random.choice(
            ("x", "Kompanija d.o.o. " * random.randint(1, 9), "}]}],[{", "a,b:c", "é" * 9, "\\", '"', "")
        )

    def decoy() -> dict[str, Any]:
        return {"billing_code": "97026", "provider_group_id": 3, "service_code": ["11"], "note": text()}

    def element(own: dict[str, Any]) -> dict[str, Any]:
        pairs = list(own.items()) + [(f"field {number}", text()) for number in range(random.randrange(4))]
        if random.random() < 0.4:
            pairs.append(("nested", [decoy() for _ in range(random.randrange(4))]))
        if random.random() < 0.1:
            pairs.append(
                ("provider_group_id" if "billing_code" in own else "billing_code", random.choice(("97026", 2)))
            )
        if random.random() < 0.1:
            pairs.append((random.choice(("about", "plan")), random.choice(("billing_code", "provider_group_id"))))
        if random.random() < 0.1:
            key = "billing_code" if "billing_code" in own else "provider_group_id"
            pairs.append((f"{key} again", random.choice(("97026", 2, 5))))
        random.shuffle(pairs)
        return dict(pairs)

    items = []
    for _ in range(random.randint(0, 40)):
        code = random.choice(("97026", "99213", "9702", "970260", "97028 ", "J1100", 97026, 99213, None, "é7026", ""))
        found: dict[str, Any] = {} if random.random() < 0.1 else {"billing_code": code}
        if random.random() < 0.5:
            found["billing_code_type"] = random.choice(("CPT", "cpt", "MS-DRG", "HCPCS", None))
        if random.random() < 0.8:
            found["negotiated_rates"] = [rate(random.randint(1, 60)) for _ in range(random.randint(1, 9))]
        items.append(element(found))
    references = []
    for number in range(1, random.randint(1, 60)):
        id_ = random.choice((number, number, number, str(number), number + 10**9, f"n{number}", number + 0.5, None))
        references.append(element({"provider_group_id": id_, "provider_groups": [group([ANN])]}))
    sections = [("in_network", items), ("provider_references", references)]
    random.shuffle(sections)
    separators = random.choice(((",", ":"), (",", ":"), (",", ": "), (", ", ": ")))
    data = json.dumps(dict(sections), separators=separators, ensure_ascii=random.random() < 0.5)
    return data.replace(' again"', '"').encode()


@pytest.mark.parametrize("seed", range(0, usually(120, 600), 30))
def test_elements_passed_over_at_a_stretch_are_read_alike(seed: int) -> None:
    for number in range(seed, seed + 30):
        data = skimmable(Random(number))
        expected = full(data)
        assert expected is not None
        for block_bytes in (Random(number).randint(100, 3000), BLOCK_BYTES):
            assert scanned(data, block_bytes) == expected, (number, block_bytes)


@pytest.mark.parametrize("seed", range(0, usually(150, 900), 30))
def test_what_is_broken_gives_the_same_rows_or_none(seed: int) -> None:
    """Only one of the two ways may see a mixed bracket in what is skipped."""
    for number in range(seed, seed + 30):
        random = Random(number)
        data = bytearray(skimmable(random))
        for _ in range(random.randint(1, 2)):
            data[random.randrange(len(data))] = random.choice(b'{}[]",:\\ \x01')
        found = scanned(bytes(data))
        assert found in (scanned(bytes(data), 64), None) or scanned(bytes(data), 64) is None, number
        assert found is not None or full(bytes(data)) is None, number


# What a full parse refuses in content that nobody asked for, and the scan does not see: the module's own list.
PASSED_OVER = {
    "mixed brackets": b"[{]}",
    "a comma missing": b'[1 2] "x"',
    "a comma too many": b"[1,,2,]",
    "a colon missing": b'{"x" 1}',
    "NaN": b"[NaN]",
    "a number that begins with its point": b"[.5]",
    "stray letters": b"[1]x",
    "a control character between values": b"[1,\x01 2]",
    "an escape that is none": rb'["\x41"]',
    "a cut escape": rb'["\u12"]',
    "thousands of digits": b"[" + b"9" * 5000 + b"]",
}
# What both refuse, also there.
REFUSED = {
    "an open bracket": b"[[1]",
    "a closing bracket too many": b"[1]]",
    "a brace for a bracket": b"[1}",
    "an open string": b'["x]',
    "a control character in a string": b'["\x01"]',
    "bytes that are no UTF-8": b'["\xff"]',
    "a surrogate in UTF-8": b'["\xed\xa0\x80"]',
    "an overlong slash": b'["\xc0\xaf"]',
    "too deep": b"[" * 700 + b"]" * 700,
}


def with_skipped(value: bytes) -> bytes:
    return b'{"version":"1","in_network":[{"billing_code":"99213","x":%b},{"billing_code":"97026"}]}' % value


@pytest.mark.parametrize("name", PASSED_OVER)
def test_differences_to_a_full_parse_in_what_is_skipped(name: str) -> None:
    data = with_skipped(PASSED_OVER[name])
    assert full(data) is None
    found = scanned(data)
    assert found is not None and found.counts[:2] == (2, 1)


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_skipped_is_still_checked(name: str) -> None:
    data = with_skipped(REFUSED[name])
    assert full(data) is None
    for block_bytes in (1, 64, BLOCK_BYTES):
        assert scanned(data, block_bytes) is None
