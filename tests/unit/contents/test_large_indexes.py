"""Indexes in each shape list what a plain reading of the whole document lists: in flat memory, on faulty servers."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from flows.extract.payer_listing import PayerListing, list_payer
from flows.settings.values import Fetching, PayerSource, ReadSettings
from flows.storage.layout import Layout
from tests.http_server import now_and_then, serve
from tests.large_indexes import SHAPES, plain_files, written
from tests.shared_files import REPOSITORY
from transforms.contents import found_files

NOVEMBER = date(2026, 11, 1)
QUICK = ReadSettings(fetching=Fetching(first_wait_seconds=0.001, longest_wait_seconds=0.002, attempts=20))
OFTEN = ("HealthSparq", "table of contents")  # of 100,000 entries; the others in `make soak`
LARGE = [pytest.param(shape, marks=() if shape in OFTEN else pytest.mark.soak) for shape in SHAPES]
CHOICES: dict[str, dict[str, Any]] = {
    "all": {},
    "include": {"include": ("file 7$", "Aetna 1.$", "Employer-1._", "2026-11/00000[12]._")},
    "exclude": {"exclude": ("[0-8]_in-network-rates|[^9]$",)},
    "plans": {"min_plans": 4},
    "types": {"plan_market_types": ("individual",), "plan_id_types": ("HIOS",)},
    "several": {"include": ("[1-4]",), "exclude": ("[02468]$",), "plan_id_types": ("ein",), "min_plans": 2},
}


def check_against_plain_reading(
    shape: str, count: int, wanted: dict[str, Any], listing: PayerListing, base: str
) -> None:
    plain = plain_files(b"".join(written(shape, count)), base)
    kept = [file for file in plain.values() if file.is_wanted(**wanted)]
    assert [source.location for source in listing.sources] == [file.location for file in kept]
    assert (listing.listed, listing.left_out, listing.refused) == (len(plain), len(plain) - len(kept), ())
    for source, file in zip(listing.sources, kept, strict=True):
        facts = source.facts
        assert facts is not None
        assert (facts.mentions, facts.plans.count) == (file.mentions, file.plans)
        assert (set(facts.plans.market_types.first), set(facts.plans.id_types.first)) == (file.markets, file.id_types)


@pytest.mark.parametrize("recent", [1, 40, 10_000])
@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("shape", SHAPES)
def test_files_chosen_are_those_of_a_plain_reading_wherever_the_others_are_stored(
    shape: str, choice: str, recent: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(found_files, "MOST_RECENT", recent)
    wanted = CHOICES[choice]
    with serve({"/mrf/index.json": b"".join(written(shape, 300))}) as server:
        index = f"{server.url}/mrf/index.json"
        payer = PayerSource("Acme", (index,), **wanted)
        for layout in (
            None,
            Layout(tmp_path),
            Layout(tmp_path),
        ):  # the third reads the cache, if addresses do not expire
            listing = list_payer(payer, NOVEMBER, layout, QUICK)
            check_against_plain_reading(shape, 300, wanted, listing, index)


@pytest.mark.slow
@pytest.mark.parametrize("shape", LARGE)
def test_a_hundred_thousand_entries_from_a_faulty_server_are_those_of_a_plain_reading(
    shape: str, tmp_path: Path
) -> None:
    count, wanted = 100_000, CHOICES["several"]
    with serve({"/mrf/index.json": b"".join(written(shape, count))}) as server:
        server.fault = now_and_then(3, 0.3, lambda page: replace(page, etag='"again"'))
        index = f"{server.url}/mrf/index.json"
        choice = wanted | {"exclude": (*wanted["exclude"], "[1-9][0-9]_index|[0-9]{4,}_index")}  # all indexes but a few
        listing = list_payer(PayerSource("Acme", (index,), **choice), NOVEMBER, Layout(tmp_path), QUICK)
        assert server.faults
        check_against_plain_reading(shape, count, wanted, listing, index)
        assert all("404" in reason for _, reason in listing.failed)
        assert bool(listing.failed) == (shape == "HealthSparq")
        assert set(listing.skipped) == {
            "HealthSparq": {"ALLOWED_AMOUNTS", "PRESCRIPTION_DRUGS", "without a fileSchema"},
            "UnitedHealthcare": {"allowed amounts", "of a name that says no kind"},
        }.get(shape, set())


MEASURE = """
import json, sys
from datetime import date
from flows.extract.payer_listing import list_payer
from flows.settings.values import PayerSource
from tests.peak_memory import peak_bytes
from tests.large_indexes import written
before = peak_bytes()
listing = list_payer(PayerSource("Acme", (sys.argv[1],), **json.loads(sys.argv[2])), date(2026, 11, 1))
print(json.dumps([len(listing.sources) + len(listing.refused), listing.left_out, peak_bytes() - before]))
"""


def peak_of(path: Path, wanted: dict[str, Any]) -> tuple[int, int, int]:
    """Files kept, files left out, bytes of memory, of a listing in a process of its own."""
    ended = subprocess.run(
        [sys.executable, "-c", MEASURE, str(path), json.dumps(wanted)],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=True,
    )
    kept, left_out, peak = json.loads(ended.stdout)
    return kept, left_out, peak


@pytest.mark.slow
@pytest.mark.parametrize("shape", LARGE)
def test_files_left_out_cost_no_memory_and_the_others_little(shape: str, tmp_path: Path) -> None:
    few: dict[str, Any] = {"include": ["nothing is named like this"], "exclude": ["_index"]}
    path = tmp_path / "index.json"
    peaks = []
    for count in (30_000, 120_000):
        with path.open("wb") as file:
            file.writelines(written(shape, count))
        kept, left_out, peak = peak_of(path, few)
        assert kept == 0 and left_out > count / 3
        peaks.append(peak)
    assert peaks[1] < peaks[0] + 20_000_000, f"{peaks[0]:,} bytes for 30,000 entries, {peaks[1]:,} for 120,000"
    kept, left_out, peak = peak_of(path, {"exclude": ["_index"]})
    assert (kept > 40_000, left_out) == (True, 0)
    assert peak < peaks[1] + kept * 1_500, f"{(peak - peaks[1]) / kept:.0f} bytes a file"
