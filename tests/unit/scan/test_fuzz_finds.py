"""What fuzzing found, one test each."""

import io
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from typing import BinaryIO, cast

import pytest

from tests.collected_rows import rows_of
from tests.containers import zipped
from tests.documents import ANN, BOB, cited_document, document, group, item, rate, reference
from tests.fee_schedule_files import gpci, pprrvu
from tests.fuzz.reading import read_by_ijson, read_by_scan
from tests.json_text import Pairs, Token, json_bytes
from tests.shared_files import REPOSITORY
from transforms.cms.fee_schedule import read_gpcis, read_relative_values
from transforms.cms.nppes import read_deactivations, read_nppes
from transforms.contents.read_index import read_index
from transforms.errors import BadFileError, UsageError
from transforms.read import read_ijson
from transforms.read.clean import NPI_BEYOND_INT64, npi_of, reference_key
from transforms.read.collect import Collected
from transforms.read.containers import open_documents
from transforms.scan import read_scan

SHEET = "xl/worksheets/sheet1.xml"


def open_temporary() -> BinaryIO:
    return cast("BinaryIO", tempfile.TemporaryFile())


def test_an_escaped_code_is_found_wherever_a_block_ends() -> None:
    code = Token('"' + "".join(f"\\u{ord(character):04x}" for character in "97026") + '"')
    data = json_bytes(document(item(rate(group(ANN)), description="x" * 60, billing_code=code)))
    expected = read_by_ijson(data)
    assert expected.collected is not None and expected.collected.items_matched == 1
    for edge in range(1, len(data)):
        assert read_by_scan(data, (edge,), 0).reading == expected.reading


@pytest.mark.parametrize("control", [b"\x0b", b"\x0c"], ids=["vertical tab", "form feed"])
def test_control_characters_are_no_white_space(control: bytes) -> None:
    data = json_bytes(document()).replace(b'"billing_code":', b'"billing_code":' + control)
    assert "control character" in read_by_ijson(data).reason
    assert read_by_scan(data, (), 0).reading is None


READERS: dict[str, Callable[[bytes], object]] = {
    "ijson": lambda data: read_ijson.read_document(io.BytesIO(data), frozenset({"97026"}), Collected(open_temporary)),
    "scan": lambda data: read_scan.read_document(
        io.BytesIO(data), frozenset({"97026"}), Collected(open_temporary), overlap=False
    ),
    "provider reference": lambda data: read_ijson.read_provider_reference(io.BytesIO(data), Collected(open_temporary)),
    "index": lambda data: list(read_index(io.BytesIO(data), overlap=False)),
}


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
@pytest.mark.parametrize("number", ["9" * 4301, "1e9999999999999999999", "0E-9999999999999999999"])
def test_a_number_beyond_python_s_limits_is_refused(read: Callable[[bytes], object], number: str) -> None:
    item = f'{{"billing_code":"97026","name":1,"negotiated_rates":[{{"npi":{number}}}]}}'
    data = f'{{"in_network":[{item}],"a":{number}}}'
    if read is READERS["index"] and len(number) < 100:
        return  # no such exponent is computed: it lists nothing
    with pytest.raises(BadFileError, match=r"a number (of more digits|whose exponent) .*byte"):
        read(data.encode())


@pytest.mark.parametrize("tail", [b"}", b',"name":"x","billing_code":"97026"}', b' ,"negotiated_rates":[{}]}'])
def test_a_long_integer_does_not_crash_the_process(tail: bytes) -> None:
    data = b'{"in_network":[{"billing_code_type_version":%b%b],"version":"1"}' % (b"9" * 4301, tail)
    program = (
        "import io,sys;from transforms.read.read_ijson import *;"
        "read_document(io.BytesIO(sys.stdin.buffer.read()),frozenset({'97026'}),Collected(None))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], input=data, cwd=REPOSITORY, capture_output=True, check=False
    )
    assert ended.returncode == 1 and b"BadFileError: a number of more digits" in ended.stderr


def test_ids_of_a_thousand_digits_differ_in_the_last() -> None:
    one, other = Token("9" * 999 + "1"), Token("9" * 999 + "2")
    data = json_bytes(cited_document(reference(one, group(ANN)), reference(other, group(BOB)), cites=[other]))
    for found in (read_by_ijson(data), read_by_scan(data, (), 0)):
        assert found.collected is not None
        assert [row[-1] for row in rows_of(found.collected.cited_reference_groups())] == [(BOB,)]


def test_ids_as_text_compare_exactly_whatever_the_exponent() -> None:
    assert reference_key("1e99999999999999999999") == reference_key(" 10E+99999999999999999998 ")
    assert reference_key("1e99999999999999999999") != reference_key("1e99999999999999999998")
    assert reference_key("0e99999999999999999999") == reference_key("0")
    assert reference_key("1e" + "9" * 5000) == "1e" + "9" * 5000


def test_an_npi_of_thousands_of_digits_is_none_of_ten() -> None:
    assert npi_of("1" + "0" * 4000) == npi_of("1" * 4301) == NPI_BEYOND_INT64
    assert npi_of("0" * 4000 + "1000000004") == 1000000004


def broken_zips() -> list[bytes]:
    """A zip with every byte of its central directory changed in turn, which makes zipfile raise many things."""
    sound = zipped({SHEET: b'{"in_network":[]}' * 9})
    start = sound.index(b"PK\x01\x02")
    return [
        sound[:at] + bytes([sound[at] ^ flip]) + sound[at + 1 :]
        for at in range(start, len(sound))
        for flip in (1, 128, 255)
    ]


def test_a_zip_broken_anywhere_is_refused_or_read() -> None:
    refused = 0
    for data in broken_zips():
        try:
            for found in open_documents(io.BytesIO(data), open_temporary):
                while found.stream.read(4096):
                    pass
        except BadFileError:
            refused += 1
    assert refused > 100


def test_a_zip_member_without_a_name_is_read() -> None:
    (found,) = open_documents(io.BytesIO(zipped({"": b'{"in_network":[]}'})), open_temporary)
    assert found.name == ""


def test_a_workbook_broken_anywhere_is_refused() -> None:
    for data in broken_zips():
        with pytest.raises(UsageError, match="deactivation report"):
            read_deactivations(data)


@pytest.mark.parametrize(
    "text", ["NPI,Date\n1e400,01/02/2020\n", "NPI,Date\n-1,01/02/2020\n", "NPI,Date\nnan,43831\n", 'NPI,"']
)
def test_a_deactivation_report_with_no_npi_is_refused_or_empty(text: str) -> None:
    try:
        assert read_deactivations(text.encode()).is_empty()
    except UsageError as error:
        assert "expected an NPI and a date" in str(error)


def test_a_header_with_carriage_returns_is_no_npidata() -> None:
    with pytest.raises(UsageError, match="not an NPPES npidata csv"):
        list(read_nppes(io.BytesIO(b"NPI,\r\r\rEntity\n")))


def test_a_quote_that_never_closes_is_damage() -> None:
    for read, text in ((read_relative_values, pprrvu(2026)), (read_gpcis, gpci(2026))):
        with pytest.raises(UsageError, match=r"line \d+: field larger than field limit"):
            read((text + '\r\n"' + "x," * 100_000).encode(), 2026)


@pytest.mark.parametrize("padding", [9, 15, 39, 45])
def test_an_id_that_a_block_ends_in_is_never_cut(padding: int) -> None:
    """What stands behind the bytes of a block, here a brace, may look like the end of a number."""
    ids = [Token("98765432109876543211"), Token("98765432109876543210"), 1234567890, 7654321]
    references = [reference(identity, group(ANN), about="x" * padding) for identity in ids]
    for number, one in enumerate(references[::2]):  # the id behind the rest, too
        references[2 * number] = {"about": one["about"], **one}
    data = json_bytes(cited_document(*references, cites=ids))
    expected = read_by_ijson(data).reading
    for found in re.finditer(b'"provider_group_id":', data):
        for edge in range(found.end(), found.end() + 20):
            assert read_by_scan(data, (edge,), 2).reading == expected, edge


@pytest.mark.parametrize("key", ["in_networks", "in_network"])
def test_of_a_section_twice_under_one_name_the_last_stands_though_it_is_null(key: str) -> None:
    data = b'{"%b":[{"billing_code":"97026"}],"%b":null}' % (key.encode(), key.encode())
    for found in (read_by_ijson(data), read_by_scan(data, (), 0)):
        assert found.collected is not None and found.collected.items_seen == 0


def test_of_prices_twice_under_one_name_the_last_stand_though_they_are_null() -> None:
    for key in ("negotiated_price", "negotiated_prices"):
        pairs = ((key, [{"negotiated_rate": 1}]), (key, None))
        data = json_bytes(document(item(Pairs((*pairs, ("provider_groups", [group(ANN)]))))))
        for found in (read_by_ijson(data), read_by_scan(data, (), 0)):
            assert found.collected is not None and len(found.collected.prices) == 0
