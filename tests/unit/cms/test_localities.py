import datetime
import gzip
from xml.sax.saxutils import escape

import polars as pl
import pytest

from schemas.reference import ZIP_LOCALITIES, load_reference
from tests.nppes_files import workbook
from tests.plain_localities import localities_of_2026
from tests.shared_files import shared_path
from transforms.benchmark.rates import locate_providers
from transforms.benchmark.representative_rates import MedicareAmounts, observe_providers
from transforms.cms.localities import locality_name, locate_zips, read_zip_localities
from transforms.cms.medicare import MedicareReference, national_amounts, price_localities
from transforms.errors import UsageError

REFERENCE = MedicareReference.packaged()
HEADER = (
    "STATE,ZIP CODE,CARRIER,PRICING LOCALITY,RURAL IND,LAB CB LOCALITY,RURAL IND2,PLUS 4 FLAG,"
    "PART B PAYMENT INDICATOR,YEAR/QTR"
)
ROWS = ("CA,94110,01112,05,,05,,0,,20262", "NY,00501,13282,04,,04,,0,,20262")
READ = [(2026, 2, "00501", "13282", "04"), (2026, 2, "94110", "01112", "05")]


def csv_of(*rows: str, header: str = HEADER) -> bytes:
    return "\r\n".join((header, *rows, "")).encode()


def xlsx_of(*rows: str) -> bytes:
    """As a spreadsheet that takes numbers for numbers, without leading zeros."""
    cells = "".join("<row>" + "".join(_cell(value) for value in row.split(",")) + "</row>" for row in (HEADER, *rows))
    return workbook(cells)


def text_of(*rows: str) -> bytes:
    """As CMS's text file, in lines of 80 places: the columns at the positions that ZIP5lyout.txt states."""
    lines = []
    for row in rows:
        state, zip5, carrier, locality, rural, lab, rural2, flag, part_b, edition = row.split(",")
        line = f"{state}{zip5}{carrier}{locality}{rural:1}{lab:2}{rural2:1}".ljust(20) + f"{flag} {part_b:1}"
        lines.append(f"{line:75}{edition}")
    return "\r\n".join((*lines, "")).encode()


def _cell(value: str) -> str:
    if value.isdecimal():
        return f"<c><v>{int(value)}</v></c>"
    return f'<c t="inlineStr"><is><t>{escape(value)}</t></is></c>'


@pytest.mark.parametrize(
    "content",
    [
        csv_of(*ROWS),
        csv_of(*ROWS, header=HEADER.title().replace(" ", "  ")),
        xlsx_of(*ROWS),
        text_of(*ROWS),
        text_of(*ROWS).replace(b"\r\n", b"   \r\n") + b"   ",
    ],
    ids=["csv", "headings in other letters", "xlsx", "txt", "txt with blanks behind"],
)
def test_the_zip_file_is_read_by_column_names_with_its_leading_zeros(content: bytes) -> None:
    found = read_zip_localities(content)
    assert (found.schema, found.rows()) == (ZIP_LOCALITIES.polars, READ)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (csv_of(*ROWS, header=HEADER.replace("CARRIER", "MAC")), "no column headed 'CARRIER'"),
        (csv_of(), "a header but no rows"),
        (csv_of(ROWS[0], ROWS[0], ROWS[1]), "a ZIP code twice"),
        (csv_of(ROWS[0], ROWS[1].replace("20262", "20263")), "or several editions"),
        (
            text_of(ROWS[0], ROWS[1].replace("00501", "0050l")),
            "line 2: expected zip5, mac, locality, edition as numbers",
        ),
        (text_of(ROWS[0])[:-2] + b"\r\nCA9411101112   ", "line 2: 12 characters, expected 80"),
        (text_of(ROWS[0], ROWS[1].replace("20262", "20263")), "or several editions"),
        (csv_of("CA,9411O,01112,05,,05,,0,,20262"), "line 2: expected zip5, mac, locality, edition as numbers"),
        (csv_of("CA,94110,01112"), "line 2: expected"),
        (b"", "no column headed 'ZIP CODE'"),
        (b"PK\3\4cut", "damaged, or not a workbook"),
    ],
)
def test_what_is_not_the_zip_file_is_refused(content: bytes, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        read_zip_localities(content)


def test_the_package_has_cmss_zip_file_of_2026() -> None:
    published = pl.read_csv(
        gzip.decompress(shared_path("reference/zip5_locality_2026q1.csv.gz").read_bytes()), infer_schema=False
    )
    packaged = load_reference(ZIP_LOCALITIES)
    assert (
        packaged.select("zip5", "mac", "locality").rows()
        == published.select("zip", "carrier", "locality").sort("zip").rows()
    )
    assert packaged.select("year", "quarter").unique().rows() == [(2026, 1)]


def test_every_zip_leads_to_a_locality_of_the_gpci_table() -> None:
    located = locate_zips(load_reference(ZIP_LOCALITIES), REFERENCE, 2026)
    places = REFERENCE.gpcis.filter(pl.col("year") == 2026).select(locality_name()).to_series()
    assert located.height == load_reference(ZIP_LOCALITIES).height == 42_956
    assert set(located["locality"]) <= set(places)
    assert dict(located.rows()) == localities_of_2026().by_zip


@pytest.mark.parametrize("year", [2025, 2027, None])
def test_a_year_without_its_zip_file_has_no_localities(year: int | None) -> None:
    assert locate_zips(load_reference(ZIP_LOCALITIES), REFERENCE, year).is_empty()


def test_a_provider_in_san_francisco_is_compared_with_ca_05() -> None:
    month = datetime.date(2026, 6, 1)
    zips = locate_zips(load_reference(ZIP_LOCALITIES), REFERENCE, 2026)
    nppes = pl.DataFrame({"npi": [1, 2, 3], "zip5": ["94110", "90210", None]})
    priced = price_localities(REFERENCE, ["97026"], month)
    amounts = MedicareAmounts(
        national_amounts(REFERENCE, ["97026"], month),
        priced.select("billing_code", locality=locality_name(), medicare_usd="amount_usd"),
    )
    rates = pl.DataFrame(
        {
            "month": month,
            "payer": "Aetna",
            "billing_code": "97026",
            "billing_class": "professional",
            "tin": "1",
            "npi": [1, 2, 3],
            "negotiated_type": "negotiated",
            "negotiated_rate": 9.0,
            "state": "CA",
            "taxonomy_tier": "strict",
            "source_ids": [["a"]] * 3,
        }
    ).with_columns(exclusion=pl.lit(None, pl.String))
    found = observe_providers(rates, locate_providers(nppes, zips), amounts).sort("npi")
    by_place = {(row["state"], row["locality"]): row["amount_usd"] for row in priced.iter_rows(named=True)}
    assert found.select("zip5", "locality", "medicare_usd").rows() == [
        ("94110", "CA 05", by_place["CA", "05"]),
        ("90210", "CA 18", by_place["CA", "18"]),
        (None, None, None),
    ]
    assert by_place["CA", "05"] == 8.46
