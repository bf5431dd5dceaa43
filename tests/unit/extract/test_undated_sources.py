"""Which month an address or a date places a source in."""

from datetime import date

import pytest

from flows.extract.undated_sources import lies_in, names_month

JUNE = date(2025, 6, 1)


@pytest.mark.parametrize(
    "address",
    [
        "https://h/2025-06_index.json",
        "https://h/2025-06-01_index.json.gz",
        "https://h/20250601-rates.json",
        "https://h/rates_202506.json",
        "https://h/2025/06/rates.json",
        "s3://b/2025_06_15/x.json",
        "archive/2025.06.json",
    ],
)
def test_an_address_with_year_and_month_names_it(address: str) -> None:
    assert names_month(address, JUNE)
    assert not names_month(address, date(2025, 7, 1)) and not names_month(address, date(2024, 6, 1))


@pytest.mark.parametrize(
    "address", ["https://h/rates.json", "https://h/2025/rates-06.json", "https://h/12025-06.json", "h/2025-061.json"]
)
def test_an_address_without_them_names_no_month(address: str) -> None:
    assert not names_month(address, JUNE)


@pytest.mark.parametrize(
    ("stated", "lies"),
    [
        ("2025-06-30", True),
        ("6/1/2025", True),
        ("2025-05-01", True),
        ("2025-04-30", False),
        ("2025-07-01", False),
        ("today", False),
        (None, False),
    ],
)
def test_a_date_lies_in_the_month_or_the_31_days_before_it(stated: str | None, lies: bool) -> None:
    assert lies_in(JUNE, stated) == lies
