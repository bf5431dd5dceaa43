"""Observations that do not fit are sorted in parts, to the same rows in the same order."""

from pathlib import Path
from random import Random

import polars as pl
import pytest

from flows.tables import observations_external_sort
from flows.tables.observations_external_sort import SortedObservations
from schemas.published import PROVIDERS


def observations(seed: int, rows: int) -> pl.DataFrame:
    """Of few TINs, one of them missing, in no order."""
    chance = Random(seed)
    tins = [None, *(f"{number:09}" for number in range(40))]
    made = [
        {
            "payer": "Aetna",
            "billing_code": chance.choice(["97026", "97028"]),
            "billing_class": chance.choice(["institutional", "professional"]),
            "tin": chance.choice(tins),
            "npi": 1_000_000_000 + seed * rows + number,
            "representative_rate_usd": number / 4,
            "n_rates": 1,
        }
        for number in range(rows)
    ]
    return PROVIDERS.complete(pl.DataFrame(made))


@pytest.mark.parametrize("held", [50, 700, 5_000])
def test_parts_on_disk_give_the_order_of_one_sort(held: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observations_external_sort, "HELD_ROWS", held)
    pieces = [observations(seed, 300) for seed in range(5)]
    sorting = SortedObservations(tmp_path, pl.concat(pieces)["tin"])
    for piece in pieces:
        sorting.add(piece)
    assert bool(list(tmp_path.iterdir())) == (held < 1_500)
    assert pl.concat(list(sorting.frames())).equals(pl.concat(pieces).sort(PROVIDERS.grain))
    assert list(tmp_path.iterdir()) == []
