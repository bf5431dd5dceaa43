"""docs/explanation/scale.md says what the simulation says."""

import pytest

from tests.bench import scale


def test_the_page_holds_the_tables_that_the_script_prints() -> None:
    text = scale.DOCUMENT.read_text()
    assert scale.filled(text) == text, "python -m tests.bench.scale --write"


@pytest.mark.parametrize("month", scale.MONTHS, ids=lambda month: month.name)
def test_sizes_add_up_to_the_month_and_none_is_above_the_largest(month: scale.Month) -> None:
    files = scale.sizes(month)
    assert len(files) == month.files
    assert sum(files) == pytest.approx(month.gzip * scale.RATIO, rel=1e-3)
    assert files[0] <= scale.LARGEST_JSON
    assert list(files) == sorted(files, reverse=True)


def test_no_order_is_faster_than_its_bytes_and_its_largest_file() -> None:
    speed = scale.speeds()["extract"]
    files = scale.sizes(scale.MONTHS[0])
    for cores in (1, 16, 1_000):
        least = max(sum(files) / cores, files[0]) / speed / 3600
        assert scale.hours(files, cores) >= least * 0.999
        assert scale.hours(scale.as_listed(files), cores) >= least * 0.999
