"""Utilization files: columns by name, years, what can't be read, and sums that no order changes."""

import io
from itertools import permutations
from random import Random

import polars as pl
import pytest

from schemas.code_families import CodeRange, families_of, family_of
from transforms.cms.utilization import ROWS, ServicesByProvider, read_utilization, year_of_name
from transforms.errors import UsageError

ANN, BOB = 1003000126, 1003000134
HEADER = (
    "Rndrng_NPI,Rndrng_Prvdr_Last_Org_Name,Rndrng_Prvdr_Ent_Cd,Rndrng_Prvdr_Type,HCPCS_Cd,HCPCS_Desc,"
    "Place_Of_Srvc,Tot_Benes,Tot_Srvcs,Avg_Mdcr_Alowd_Amt"
)
FAMILIES = families_of(["97026", "97028"])


def cms_row(npi: int, code: str, services: str, place: str = "O") -> str:
    return f'{npi},"Peña, ""the lamp""\r\nof Lighton",I,Physical Therapist,{code},"a, b",{place},11,{services},7.5'


def read(text: str, year: int | None = 2023, encoding: str = "utf-8") -> pl.DataFrame:
    return pl.concat([pl.DataFrame(schema=ROWS), *read_utilization(io.BytesIO(text.encode(encoding)), year)])


def table(*texts: str, year: int | None = 2023) -> dict[int, list[tuple[object, ...]]]:
    services = ServicesByProvider(FAMILIES)
    for text in texts:
        services.add(read(text, year))
    return rows_of(services)


def rows_of(services: ServicesByProvider) -> dict[int, list[tuple[object, ...]]]:
    return {year: pl.concat(services.frames(year, npis)).rows() for year, npis in services.npis_by_year().items()}


@pytest.mark.parametrize("change", [str.upper, str.lower, lambda header: "\ufeff" + header.replace(",", " ,")])
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_columns_are_found_by_name_in_any_case_whatever_bytes_the_others_hold(change, encoding: str) -> None:  # type: ignore[no-untyped-def]
    header = change(HEADER) if encoding == "utf-8" else change(HEADER).lstrip("\ufeff")
    found = read("\n".join([header, cms_row(ANN, " g0283 ", "12.5"), cms_row(BOB, "97026", "30")]), encoding=encoding)
    assert found.rows() == [(ANN, "G0283", 12.5, 2023), (BOB, "97026", 30.0, 2023)]


@pytest.mark.parametrize("column", ["Rndrng_NPI", "HCPCS_Cd", "Tot_Srvcs"])
def test_a_missing_column_is_named(column: str) -> None:
    with pytest.raises(UsageError, match=rf"by Provider and Service, a column is missing: {column.upper()}$"):
        read(HEADER.replace(column, "x"))


def test_other_files_are_refused_with_what_is_expected() -> None:
    with pytest.raises(UsageError, match=r"its first line begins '<html>'; expected .* NPI, BILLING_CODE, SERVICES"):
        read("<html>")
    with pytest.raises(UsageError, match="a csv of npi, billing_code and services, a column is missing: SERVICES"):
        read("npi,billing_code\n")
    with pytest.raises(UsageError, match="a column is there twice: NPI"):
        read("npi,NPI,billing_code,services\n")


def test_any_csv_with_the_three_columns_is_read_and_a_column_of_years_counts() -> None:
    text = f'services,extra,NPI,billing_code,Year\n1.5,x,{ANN}.0,97026,2021\n"1,200",x,{ANN},97026,2022\n'
    assert read(text, year=None).rows() == [(ANN, "97026", 1.5, 2021), (ANN, "97026", 1200.0, 2022)]
    assert table(text, year=None) == {2021: [(2021, ANN, "97026", 1.5)], 2022: [(2022, ANN, "97026", 1200.0)]}


def test_without_a_year_a_file_is_refused() -> None:
    with pytest.raises(UsageError, match="give --year, such as 2023"):
        read(HEADER, year=None)


@pytest.mark.parametrize(
    ("name", "year"),
    [
        ("MUP_PHY_R25_P05_V20_D23_Prov_Svc.csv", 2023),
        ("mup_phy_r19_p04_v10_d17_prov_svc.csv", 2017),
        ("Medicare_Physician_Other_Practitioners_by_Provider_and_Service_2022.csv", 2022),
        ("claims 2021 (2021).csv", 2021),
        ("released_2025_services_2023.csv", None),
        ("services.csv", None),
        ("120231.csv", None),
    ],
)
def test_the_year_is_the_one_that_the_name_states(name: str, year: int | None) -> None:
    assert year_of_name(name) == year


def test_places_of_service_are_summed_and_other_codes_leave_the_npi_alone() -> None:
    rows = [
        cms_row(ANN, "97026", "12.5", "F"),
        cms_row(ANN, "97026", "30.2", "O"),
        cms_row(ANN, "99213", "11"),
        cms_row(BOB, "99213", "11"),
        cms_row(BOB, "97800", "11"),
        cms_row(1003000142, "97799", "11"),
        cms_row(1003000159, "97026", "0"),
    ]
    assert table("\n".join([HEADER, *rows])) == {
        2023: [
            (2023, ANN, "97026", 42.7),
            (2023, BOB, None, None),
            (2023, 1003000142, "97799", 11.0),
            (2023, 1003000159, None, None),
        ]
    }


def test_sums_are_the_same_in_every_order_and_the_nearest_number() -> None:
    amounts = ("0.1", "0.2", "0.3", "2500.7")
    found = {
        str(table("\n".join([HEADER, *(cms_row(ANN, "97026", amount) for amount in order)])))
        for order in permutations(amounts)
    }
    assert found == {str({2023: [(2023, ANN, "97026", 2501.3)]})}


def test_rows_that_can_not_be_read_are_counted_and_left_out() -> None:
    services = ServicesByProvider(FAMILIES)
    rows = [
        cms_row(ANN, "97026", "11"),
        cms_row(ANN, "97026", "*"),
        cms_row(ANN, "97026", ""),
        cms_row(ANN, "97026", "-3"),
        cms_row(ANN, "97026", "inf"),
        cms_row(ANN, " ", "3"),
        cms_row(3003000126, "97026", "3"),
    ]
    assert services.add(read("\n".join([HEADER, *rows]))) == 6
    assert rows_of(services) == {2023: [(2023, ANN, "97026", 11.0)]}


def test_a_record_of_another_width_is_a_cut_file() -> None:
    with pytest.raises(UsageError, match=r"utilization file: CSV parse error: Expected 10 columns, got 3, some way"):
        read("\n".join([HEADER, f"{ANN},x,I"]))


def test_the_size_of_a_piece_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    chance = Random(5)
    rows = [
        cms_row(chance.choice((ANN, BOB)), chance.choice(("97026", "97110", "99213")), f"{chance.randrange(900) / 10}")
        for _ in range(300)
    ]
    texts = ["\n".join([HEADER, *rows[at : at + 50]]) for at in range(0, 300, 50)]
    whole = table(*texts)
    monkeypatch.setattr("transforms.cms.utilization.PIECE_NPIS", 1)
    assert table(*reversed(texts)) == whole


def test_a_code_without_a_reviewed_family_is_its_own() -> None:
    assert family_of("97026") == family_of("97028") == CodeRange("97010", "97799")
    assert family_of("98940") == CodeRange("98940", "98940")
    assert list(map(str, families_of(["98940", "97028", "97026"]))) == ["97010-97799", "98940-98940"]
    codes = pl.DataFrame({"code": ["97009", "97010", "97799", "97800", "9702", "970260", "9701F", None]})
    held = codes.select(family_of("97026").holds(pl.col("code"))).to_series().to_list()
    assert held == [False, True, True, False, False, False, True, None]
    assert family_of("97026").includes(family_of("97035")) and not family_of("97026").includes(family_of("98940"))
