import datetime
from decimal import Decimal

import polars as pl
import pytest

from tests.fee_schedule_files import gpci, pprrvu
from transforms.cms.fee_schedule import read_fee_schedule, read_gpcis, read_relative_values
from transforms.cms.medicare import medicare_year_for, price_localities
from transforms.errors import UsageError


def encoded(text: str) -> bytes:
    return text.encode("latin-1")


@pytest.mark.parametrize("year", [2025, 2026])
def test_both_known_layouts_are_read_by_their_header_words(year: int) -> None:
    found = read_relative_values(encoded(pprrvu(year)), year, ["97026", "97028"])
    assert found.conversion_factor == "32.3465"
    assert found.rvus.select("year", "billing_code", "status_code", "multiple_procedure_indicator").rows() == [
        (year, "97026", "R", "5"),
        (year, "97028", "A", "5"),
    ]
    assert found.rvus.select("work_rvu", "pe_nonfacility_rvu", "pe_facility_rvu", "mp_rvu").row(0) == (
        "0.06", "0.14", "0.14", "0.01",
    )  # fmt: skip


def test_all_codes_without_modifier_are_kept_when_none_are_named() -> None:
    found = read_relative_values(encoded(pprrvu(2025)), 2025)
    assert found.rvus["billing_code"].to_list() == ["71046", "97026", "97028"]
    assert (found.rvus["pe_nonfacility_rvu"][0], found.left_out) == ("0.76", 0)


def test_descriptors_are_never_kept() -> None:
    found = read_relative_values(encoded(pprrvu(2025)), 2025)
    assert not [column for column in found.rvus if column.dtype == str and "Descriptor" in column.to_list()]
    assert "description" not in found.rvus.columns


def test_a_moved_column_is_refused_because_the_total_no_longer_adds_up() -> None:
    with pytest.raises(UsageError, match=r"line 10: 97026: work 0.06 \+ PE 0.99 \+ MP 0.01 is not the total 0.21"):
        read_relative_values(encoded(pprrvu(2025, pe="0.99")), 2025, ["97026"])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("HCPCS,MOD", "HCPCS,MOD,NEW"), "33 columns; known layouts have 31 or 32"),
        (("STATUS,MEDICARE,WORK", "STATUS,MEDICARE,LABOR"), "no column headed 'WORK RVU'"),
        (("MP,NON-FACILITY", "WORK,NON-FACILITY"), "2 columns headed 'WORK RVU'"),
        (("HCPCS,MOD", "CODE,MOD"), "no header row with HCPCS"),
        (("97028,,", "97028,,,"), "line 11: 33 columns under a header of 32"),
        (("0.08,0.16", "0.08,none"), "97028: NON-FAC PE RVU: 'none' is not a number"),
    ],
)
def test_what_is_not_the_layout_is_refused(change: tuple[str, str], says: str) -> None:
    text = pprrvu(2026).replace(*change)
    with pytest.raises(UsageError, match=says):
        read_relative_values(encoded(text), 2026, ["97028"])


def test_a_conversion_factor_from_another_column_is_refused() -> None:
    with pytest.raises(UsageError, match="conversion factor of 9 is not between"):
        read_relative_values(encoded(pprrvu(2025, factor="9")), 2025, ["97028"])
    two = pprrvu(2025).replace("32.3465", "33.0000", 1)
    with pytest.raises(UsageError, match="has 2 conversion factors"):
        read_relative_values(encoded(two), 2025, ["97028"])


def test_a_code_that_is_not_there_is_named() -> None:
    with pytest.raises(UsageError, match="no row without modifier for 97110"):
        read_relative_values(encoded(pprrvu(2025)), 2025, ["97110", "97026"])


def test_another_years_file_is_refused() -> None:
    with pytest.raises(UsageError, match="PPRRVU is of 2025, not 2026: use --year 2025"):
        read_relative_values(encoded(pprrvu(2025)), 2026)
    with pytest.raises(UsageError, match="GPCI is of 2025, not 2026"):
        read_gpcis(encoded(gpci(2025)), 2026)


@pytest.mark.parametrize("content", [b"PK\x03\x04zip", b"a\0b", b"<html>not found</html>", b""])
def test_what_is_no_csv_of_cms_is_refused(content: bytes) -> None:
    with pytest.raises(UsageError):
        read_relative_values(content, 2025)
    with pytest.raises(UsageError):
        read_gpcis(content, 2025)


def test_localities_are_read_without_footnotes_and_with_their_leading_zeros() -> None:
    assert read_gpcis(encoded(gpci(2026)), 2026).rows() == [
        (2026, "02102", "AK", "01", "ALASKA", "1.5", "1.081", "0.592"),
        (2026, "01112", "CA", "05", "SAN FRANCISCO", "1.089", "1.345", "0.421"),
    ]


def test_the_work_index_with_the_floor_is_taken_where_both_are_printed() -> None:
    both = gpci(2026).replace(
        "2026 PW GPCI (with 1.0 Floor)",
        "2026 PW GPCI (without 1.0 Floor),2026 PW GPCI (with 1.0 Floor)***",
    )
    both = both.replace(",1.5,", ",0.9,1.5,").replace(",1.089,", ",0.9,1.089,").replace(",,,,,,", ",,,,,,,")
    assert read_gpcis(encoded(both), 2026)["work_gpci"].to_list() == ["1.5", "1.089"]


def test_an_index_out_of_range_or_a_locality_twice_is_refused() -> None:
    with pytest.raises(UsageError, match=r"line 4: pe_gpci 1081 is not between 0.1 and 4"):
        read_gpcis(encoded(gpci(2026).replace("1.081", "1081")), 2026)
    with pytest.raises(UsageError, match="has a locality twice"):
        read_gpcis(encoded(gpci(2026).replace("1112,CA,5", "2102,AK,1")), 2026)


def test_files_with_a_byte_order_mark_and_in_latin_1_are_read() -> None:
    text = gpci(2026).replace("SAN FRANCISCO", "CAÑON")
    for content in (text.encode("utf-8-sig"), text.encode("latin-1")):
        assert read_gpcis(content, 2026)["locality_name"].to_list() == ["ALASKA", "CAÑON"]


def test_a_years_files_price_its_months() -> None:
    reference, left_out = read_fee_schedule(encoded(pprrvu(2026)), encoded(gpci(2026)), 2026)
    in_may = datetime.date(2026, 5, 1)
    assert (medicare_year_for(reference, in_may), left_out) == (2026, 0)
    priced = price_localities(reference, ["97026"], in_may).filter(pl.col("state") == "AK")
    exact = Decimal("0.06") * Decimal("1.5") + Decimal("0.14") * Decimal("1.081") + Decimal("0.01") * Decimal("0.592")
    assert priced["amount_usd"][0] == float(round(exact * Decimal("32.3465"), 2)) == 8.00
