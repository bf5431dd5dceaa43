import datetime
import io
import zipfile
from collections.abc import Sequence

import polars as pl
import pytest

from schemas.reference import NPPES
from tests.nppes_files import NAMES, many_records, npidata, record, rows, workbook
from tests.shared_files import shared_path
from transforms.cms.nppes import DEACTIVATIONS, RECORDS, WANTED_COLUMNS, merge_records, read_deactivations, read_nppes
from transforms.errors import UsageError


def read(content: bytes) -> pl.DataFrame:
    return pl.concat([pl.DataFrame(schema=RECORDS), *read_nppes(io.BytesIO(content))])


def lookup(*files: pl.DataFrame, reports: Sequence[pl.DataFrame] = ()) -> pl.DataFrame:
    return pl.concat([NPPES.empty(), *merge_records(files, reports)])


def lookup_of(*records: str) -> list[tuple[object, ...]]:
    return rows(lookup(read(npidata(*records))))


def report(**dates: str) -> pl.DataFrame:
    found = [(int(npi[1:]), datetime.date.fromisoformat(date)) for npi, date in dates.items()]
    return pl.DataFrame(found, schema=DEACTIVATIONS, orient="row")


def test_the_layout_of_these_tests_has_the_real_columns() -> None:
    real = pl.read_csv(shared_path("reference/nppes_npidata_header_v2_2026-06.csv"))["column_name"].to_list()
    assert len(NAMES) == len(real) == 330
    assert [NAMES.index(name) for name in WANTED_COLUMNS] == [real.index(name) for name in WANTED_COLUMNS]


def test_a_record_keeps_place_taxonomies_and_kind() -> None:
    codes = ("225100000X", "111N00000X", "225100000X")
    (found,) = lookup(read(npidata(record(1003000126, " ca ", *codes, entity="2", postal_code="94110-1234")))).rows()
    assert found == (1003000126, 2, "CA", "US", "94110", ["111N00000X", "225100000X"], False)


@pytest.mark.parametrize(
    ("postal_code", "country", "zip5"),
    [
        ("941101234", "US", "94110"),
        (" 00907 ", "", "00907"),
        ("00907", "pr", "00907"),
        ("94110 1234", "us", "94110"),
        ("9411", "US", None),
        ("94110123", "US", None),
        ("K1A 0B1", "US", None),
        ("80331", "DE", None),
        ("", "US", None),
    ],
)
def test_the_zip_code_is_five_digits_of_a_us_practice_location(postal_code: str, country: str, zip5: str) -> None:
    content = npidata(record(1, "CA", postal_code=postal_code, country=country))
    assert lookup(read(content))["zip5"].to_list() == [zip5]


def test_columns_are_found_by_name_wherever_they_stand() -> None:
    names = [*reversed(NAMES), "New Column"]
    line = record(1003000126, "CA", "225100000X").rstrip("\n")
    turned = ",".join([*reversed(line.replace('O""NEIL, ""JO""', "").split(",")), '"new"']) + "\n"
    assert read(npidata(turned, names=names)).rows() == read(npidata(record(1003000126, "CA", "225100000X"))).rows()


def test_all_fifteen_taxonomies_are_read_and_blanks_dropped() -> None:
    codes = [f"2{number:02}Q00000X" for number in range(15)]
    assert lookup_of(record(1, "AK", *reversed(codes))) == [(1, "AK", codes, False)]
    assert lookup_of(record(1, "AK", "", " ", "225100000X")) == [(1, "AK", ["225100000X"], False)]
    assert lookup_of(record(1, "AK")) == [(1, "AK", [], False)]


def test_missing_columns_are_named() -> None:
    names = ["x" if "Taxonomy Code_7" in name else name for name in NAMES]
    with pytest.raises(UsageError, match="column 'Healthcare Provider Taxonomy Code_7' is missing"):
        read(npidata(names=names))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"<html><body>404", "not an NPPES npidata csv: its first line begins '<html><body>404'"),
        (b"", "not an NPPES npidata csv"),
        (npidata(record(1, "AK"))[:-400], r"Expected 330 columns, got \d+, some way after record 0"),
        (npidata(record("10x")), "failed in column 'NPI'"),
        (npidata(record("")), "a record without NPI"),
        (npidata(record(1, deactivated="2020-13-40")), "failed in column 'NPI Deactivation Date'"),
    ],
)
def test_what_is_not_the_download_is_refused(content: bytes, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        read(content)


def test_what_a_cut_record_says_of_a_person_is_not_repeated() -> None:
    with pytest.raises(UsageError) as refused:
        read(npidata('"1003000126","SMITH"\n'))
    assert "SMITH" not in str(refused.value)


def test_byte_order_mark_windows_line_ends_and_line_breaks_in_values_are_read() -> None:
    broken = record(1, "AK").replace("O", "O\n")
    content = npidata(broken, record(2, "NY"))
    assert read(b"\xef\xbb\xbf" + content.replace(b"\n", b"\r\n"))["npi"].to_list() == [1, 2]


def test_a_byte_that_is_no_text_costs_its_own_value_only() -> None:
    content = npidata(record(1, "QC@"), record(2, "NY")).replace(b"QC@", b"Qu\xe9bec")
    assert read(content).select("npi", "state").rows() == [(1, "QU\N{REPLACEMENT CHARACTER}BEC"), (2, "NY")]


def test_a_header_alone_is_no_records() -> None:
    assert read(npidata()).is_empty()


def test_records_of_many_blocks_are_all_read() -> None:
    found = list(read_nppes(io.BytesIO(npidata(*many_records(80_000)))))
    assert len(found) > 1
    assert sum(map(len, found)) == 80_000


@pytest.mark.parametrize(
    ("deactivated", "reactivated", "expected"),
    [
        ("", "", False),
        ("01/02/2015", "", True),
        ("01/02/2015", "01/01/2015", True),
        ("01/02/2015", "01/02/2015", False),
        ("01/02/2015", "03/04/2016", False),
        ("", "03/04/2016", False),
    ],
)
def test_deactivated_means_deactivated_and_not_reactivated_since(
    deactivated: str, reactivated: str, expected: bool
) -> None:
    ((_, _, _, found),) = lookup_of(record(1, "AK", deactivated=deactivated, reactivated=reactivated))
    assert found is expected


def test_the_lookup_is_sorted_and_the_last_record_of_an_npi_counts() -> None:
    assert lookup_of(record(3, "NY"), record(1, "AK", "225100000X"), record(3, "PR", "111N00000X")) == [
        (1, "AK", ["225100000X"], False),
        (3, "PR", ["111N00000X"], False),
    ]


def test_a_weekly_record_replaces_the_whole_record() -> None:
    monthly = read(npidata(record(1, "AK", "225100000X", deactivated="01/02/2015"), record(2, "NY")))
    weekly = read(npidata(record(1, "CA"), record(5, "TX")))
    assert rows(lookup(monthly, weekly)) == [
        (1, "CA", [], False), (2, "NY", [], False), (5, "TX", [], False),
    ]  # fmt: skip


def test_a_deactivation_report_marks_known_npis_and_adds_unknown_ones() -> None:
    records = read(npidata(record(1, "AK", "225100000X"), record(2, "NY")))
    found = lookup(records, reports=[report(n2="2026-01-05", n9="2020-02-03"), report(n2="2026-03-01")])
    assert rows(found) == [(1, "AK", ["225100000X"], False), (2, "NY", [], True), (9, None, [], True)]
    assert found.schema == NPPES.polars


def test_a_report_older_than_the_reactivation_does_not_undo_it() -> None:
    records = read(npidata(record(1, "AK", deactivated="01/02/2015", reactivated="06/01/2026")))
    assert rows(lookup(records, reports=[report(n1="2026-05-30")]))[0][3] is False
    assert rows(lookup(records, reports=[report(n1="2026-06-30")]))[0][3] is True


def test_the_deactivation_report_is_read_from_a_workbook() -> None:
    strings = "<si><t>NPPES Deactivated NPI Report</t></si><si><t>NPI</t></si>"
    strings += "<si><r><t>NPPES Deactivation</t></r><r><t> Date</t></r></si>"
    strings += "<si><t>1003000126</t></si><si><t>02/03/2020</t></si>"
    sheet = (
        '<row><c t="s"><v>0</v></c></row><row><c t="s"><v>1</v></c><c t="s"><v>2</v></c></row>'
        '<row><c t="s"><v>3</v></c><c t="s"><v>4</v></c></row>'
        "<row><c><v>1003000134</v></c><c><v>43864</v></c></row>"
        '<row><c t="inlineStr"><is><t>1003000142</t></is></c><c t="str"><v>2020-02-05</v></c></row>'
    )
    assert read_deactivations(workbook(sheet, strings)).rows() == [
        (1003000126, datetime.date(2020, 2, 3)),
        (1003000134, datetime.date(2020, 2, 3)),
        (1003000142, datetime.date(2020, 2, 5)),
    ]


def test_the_deactivation_report_is_read_from_csv() -> None:
    text = b"NPPES Deactivated NPI Report,\r\nNPI,NPPES Deactivation Date\r\n1003000126,02/03/2020\r\n,\r\n"
    assert read_deactivations(text).rows() == [(1003000126, datetime.date(2020, 2, 3))]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"something,else\n", "no row begins with NPI"),
        (b"NPI,Date\n1003000126,soon\n", r"row 2: expected an NPI and a date, found \['1003000126', 'soon'\]"),
        (b"NPI,Date\n1003000126\n", "row 2"),
    ],
)
def test_what_is_no_deactivation_report_is_refused(content: bytes, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        read_deactivations(content)


def test_a_zip_that_is_no_workbook_is_refused() -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(UsageError, match="deactivation report: damaged"):
        read_deactivations(content.getvalue())
