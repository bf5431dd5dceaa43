"""Payers' own indexes: HealthSparq's files, UnitedHealthcare's blobs, pages that name them, indexes of indexes."""

import io
import json
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from random import Random
from typing import Any, BinaryIO, cast

import pytest

from flows.download.sources import Source
from flows.extract.payer_listing import PayerListing, list_payer, renewal, sources_of
from flows.settings.values import Fetching, PayerSource, ReadSettings
from flows.storage.layout import Layout
from tests.http_server import Page, Server, now_and_then, serve
from transforms.contents import complete_children, read_index
from transforms.contents.index_values import ListedFile, StructureEnd
from transforms.contents.kinds import IN_NETWORK, INDEX, kind_of_name
from transforms.contents.listing import Choice, Listing
from transforms.contents.read_page import read_page

Json = Any
NOVEMBER = date(2026, 11, 1)
QUICK = ReadSettings(fetching=Fetching(first_wait_seconds=0.001, longest_wait_seconds=0.002, attempts=20))


def plan(number: int = 1, market: str = "group", id_type: str = "EIN") -> Json:
    return {"planId": f"{number:09}", "planIdType": id_type, "planMarketType": market, "planName": f"plan {number}"}


def entry(path: str | None, schema: str | None = "IN_NETWORK_RATES", *plans: Json, **more: Json) -> Json:
    stated = {"fileSchema": schema, "filePath": path, "fileName": path and path.rpartition("/")[2]}
    known = {key: value for key, value in stated.items() if value is not None}
    return {"reportingEntityName": "Acme", "reportingPlans": [*plans], "lastUpdatedOn": "2026-11-05"} | known | more


def table(*locations: str, plans: Json = (), **more: Json) -> Json:
    files = [{"location": location, "description": f"of {location}"} for location in locations]
    return {"reporting_structure": [{"reporting_plans": [*plans], "in_network_files": files}]} | more


def generated_entries(random: Random, count: int) -> list[Json]:
    """Entries in all spellings: relative and absolute paths, schema words of any kind, wrong market types, twins."""
    schemas = ("IN_NETWORK_RATES", "IN_NETWORK_RATES", " in_network_rates", "TABLE_OF_CONTENTS", "ALLOWED_AMOUNTS")
    paths = ("2026-11/{}.json.gz", "https://mrf.example.com/{}.json.gz?sig={}", "/root/{}.json", "a b/{}.json")
    entries = []
    for number in range(count):
        path = random.choice(paths).format(random.randrange(max(count // 2, 1)), number)
        plans = [plan(random.randrange(99), random.choice(("group", "Group ", "individual", ""))) for _ in range(3)]
        made = entry(path, random.choice((*schemas, "PRESCRIPTION_DRUGS", "", None)), *plans[: random.randrange(4)])
        if random.random() < 0.1:
            made.pop(random.choice([*made]))
        entries.append(dict(random.sample([*made.items()], len(made))))
    return entries


def read(document: Json, block_bytes: int = 1 << 20) -> tuple[list[ListedFile], list[StructureEnd]]:
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    found = [*read_index.read_index(io.BytesIO(data), strict=True, overlap=False, block_bytes=block_bytes)]
    files = [file for each in found if isinstance(each, list) for file in each]
    return files, [each for each in found if isinstance(each, StructureEnd)]


# ---- What one document lists ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("block_bytes", [1, 100, 5_000, 1 << 20])
@pytest.mark.parametrize("seed", range(5))
def test_files_listed_are_those_of_a_plain_reading(seed: int, block_bytes: int) -> None:
    entries = generated_entries(Random(seed), 40)
    document = {"lastUpdated": "x", "files": entries, "note": {"files": [{"filePath": "decoy"}]}}
    files, ends = read(document, block_bytes)
    kinds = {"IN_NETWORK_RATES": IN_NETWORK, "TABLE_OF_CONTENTS": INDEX}
    expected = []
    for each in entries:
        word = (each.get("fileSchema") or "").strip()
        kind = kinds.get(word.upper(), word or "without a fileSchema")
        path, name = each.get("filePath"), each.get("fileName")
        if path is None:
            path, kind = name or "", "without a filePath"
        expected.append((path, name, kind, each.get("lastUpdatedOn")))
    assert [(file.location, file.description, file.kind, file.updated) for file in files] == expected
    for end, each in zip(ends, entries, strict=True):
        plans = each.get("reportingPlans", [])
        markets = {stated["planMarketType"].strip() for stated in plans} - {""}
        assert (end.plans.count, set(end.plans.market_types.first)) == (len(plans), markets)
        assert set(end.plans.id_types.first) == {stated["planIdType"] for stated in plans}


@pytest.mark.parametrize("block_bytes", [1, 64, 1 << 20])
def test_blobs_lead_to_indexes_and_in_network_files_by_their_names(
    block_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = [
        {"name": "2026-11-01_ACME_index.json", "downloadUrl": "https://a.example.com/1"},
        {"downloadUrl": "download/?fd=1&fn=2", "name": "2026-11-01_ACME_in-network-rates.json.gz", "size": 9},
        {"name": "2026-11-01_ACME_allowed-amounts.json.gz", "downloadUrl": "3"},
        {"name": "readme.txt", "downloadUrl": "4"},
        {"name": "2026-11-01_X_in-network-rates.json.gz", "downloadUrl": None},
        {"name": "x"},
    ]
    expected = [
        ("https://a.example.com/1", INDEX, None),
        ("download/?fd=1&fn=2", IN_NETWORK, 9),
        ("3", "allowed amounts", None),
        ("4", "of a name that says no kind", None),
        ("2026-11-01_X_in-network-rates.json.gz", "without a downloadUrl", None),
        ("x", "without a downloadUrl", None),
    ]
    assert [(file.location, file.kind, file.bytes) for file in read({"blobs": blobs}, block_bytes)[0]] == expected
    monkeypatch.setattr(read_index, "finder", lambda: complete_children.find_plainly)
    assert [(file.location, file.kind, file.bytes) for file in read({"blobs": blobs}, block_bytes)[0]] == expected


def test_an_entry_larger_than_a_block_and_repeated_keys_lose_nothing() -> None:
    large = entry("a.json", "IN_NETWORK_RATES", *map(plan, range(500)))
    for block_bytes in (100, 1 << 20):
        (file,), (end,) = read({"files": [large]}, block_bytes)
        assert (file.location, end.plans.count, end.plans.names.cut) == ("a.json", 500, True)
        twice = b'{"files": [%b], "files": [%b]}' % ((json.dumps(entry("b.json")).encode(),) * 2)
        assert len(read(twice, block_bytes)[0]) == 2
    assert read({"files": []}) == ([], [])


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("2026-11-01_United-HealthCare-Services--Inc-_index.json", INDEX),
        ("https://a.example.com/x/latest_metadata.json", INDEX),
        ("/mrf/2026-11_table-of-contents.json.gz", INDEX),
        ("https://transparency-in-coverage.uhc.com/api/v1/uhc/blobs/", INDEX),
        ("2026-11-01_UMR_OHPH-Chiro_in-network-rates.json.gz?index.json", IN_NETWORK),
        ("innetwork_index.json", INDEX),
        ("x_In_Network_1_of_2.zip", IN_NETWORK),
        ("out-of-network.json", "allowed amounts"),
        ("index.html", "of a name that says no kind"),
        ("toc.json", INDEX),
        ("stock.json", "of a name that says no kind"),
    ],
)
def test_a_name_says_what_a_file_is(name: str, kind: str) -> None:
    assert kind_of_name(name) == kind


def test_a_page_names_files_in_links_addresses_and_words_wherever_pieces_end() -> None:
    text = """<html><a href="/x/latest_metadata.json">index</a><a href='a_index.json?x=1&amp;y=2'>a</a><a href=b.html>
    <a href="#top"> mrf-url: https://a.example.com/é/in-network.json.gz
    rates/2026-11_in-network.zip, mailto:x@example.com</html>"""
    expected = ["/x/latest_metadata.json", "a_index.json?x=1&y=2", "b.html"]
    expected += ["https://a.example.com/é/in-network.json.gz", "rates/2026-11_in-network.zip"]
    for padding in (0, 65_400, 65_500, 65_530):
        data = (" " * padding + text).encode()
        assert [file.location for part in read_page(io.BytesIO(data)) for file in part] == expected


# ---- Indexes on servers ---------------------------------------------------------------------------------------------


def payer(*contents: str, **more: Any) -> PayerSource:
    return PayerSource("Acme", contents, **more)


def paths(listing: PayerListing, server: Server) -> list[str]:
    return [source.location.removeprefix(server.url) for source in listing.sources]


def site() -> dict[str, Page | bytes]:
    """A page that names an index of files, which lists a table of contents."""
    page = b"""<!doctype html><html><a href="mrf/latest_metadata.json">files</a> <a href="/about.html">about</a>
    <a href="https://elsewhere.example.com/x_index.json">others</a></html>"""
    own = [
        entry("2026-11/a_in-network.json", "IN_NETWORK_RATES", plan(1), plan(2)),
        entry("2026-11/toc.json", "TABLE_OF_CONTENTS"),
        entry("/b.json", "IN_NETWORK_RATES", plan(3, "individual", "HIOS")),
        entry("c.json", "ALLOWED_AMOUNTS"),
        entry("../gone_index.json", "TABLE_OF_CONTENTS"),
        entry("2026-11/a_in-network.json?sig=2", "IN_NETWORK_RATES", plan(4)),
    ]
    plans = [{"plan_name": "x", "plan_id_type": "EIN", "plan_market_type": "group"}]
    return {
        "/": page,
        "/mrf/latest_metadata.json": json.dumps({"files": own}).encode(),
        "/mrf/2026-11/toc.json": json.dumps(table("/b.json", "d.json", plans=plans)).encode(),
    }


def test_indexes_are_followed_and_what_is_not_read_is_counted(tmp_path: Path) -> None:
    with serve(site()) as server:
        listing = list_payer(payer(server.url + "/"), NOVEMBER, Layout(tmp_path), QUICK)
        assert paths(listing, server) == ["/mrf/2026-11/a_in-network.json?sig=2", "/b.json", "/mrf/2026-11/d.json"]
        assert [each.facts.plans.count for each in listing.sources if each.facts] == [3, 2, 1]
        assert listing.sources[1].facts is not None
        assert listing.sources[1].facts.plans.market_types.first == ("group", "individual")
        assert listing.skipped == {
            "ALLOWED_AMOUNTS": 1,
            "of a name that says no kind": 1,
            "on another host than the page that names them": 1,
        }
        ((gone, reason),) = listing.failed
        assert gone.location == server.url + "/gone_index.json" and "404" in reason
        assert listing.undated == frozenset(), "lastUpdatedOn of each entry, or of its index, lies in the month"


def test_indexes_that_have_not_changed_are_not_read_again(tmp_path: Path) -> None:
    with serve(site()) as server:
        layout = Layout(tmp_path)
        first = list_payer(payer(server.url + "/"), NOVEMBER, layout, QUICK)
        server.forget()
        assert list_payer(payer(server.url + "/"), NOVEMBER, layout, QUICK) == first
        assert server.body_bytes["/mrf/2026-11/toc.json"] == 0
        assert server.body_bytes["/"] == 0
        server.pages["/mrf/2026-11/toc.json"] = Page(json.dumps(table("/e.json")).encode())
        assert "/e.json" in paths(list_payer(payer(server.url + "/"), NOVEMBER, layout, QUICK), server)


@pytest.mark.parametrize("seed", range(4))
def test_a_faulty_server_changes_nothing_of_what_is_listed(seed: int, tmp_path: Path) -> None:
    pages = site()
    pages["/mrf/2026-11/toc.json"] = json.dumps(table("/b.json", *(f"{n}.json" for n in range(500)))).encode()
    with serve(pages) as server:
        expected = paths(list_payer(payer(server.url + "/"), NOVEMBER, None, QUICK), server)
        server.fault = now_and_then(seed, 0.5, lambda page: replace(page, etag='"other"'))
        listing = list_payer(payer(server.url + "/"), NOVEMBER, Layout(tmp_path), QUICK)
        assert paths(listing, server) == expected and len(expected) == 502
        assert len(listing.failed) == 1
        assert server.faults


def test_a_page_that_names_nothing_is_a_failure_and_a_404_is_missing() -> None:
    with serve({"/": b"<html><a href=/login.html>Access denied</a></html>"}) as server:
        ((_, said),) = list_payer(payer(server.url + "/"), NOVEMBER, None, QUICK).failed
        assert "an HTML page" in said
        ((_, said),) = list_payer(payer(server.url + "/2026-10_index.json"), NOVEMBER, None, QUICK).missing
        assert "404" in said


def test_indexes_in_a_circle_or_too_deep_end(tmp_path: Path) -> None:
    for name, following in (("1", "2"), ("2", "3"), ("3", "4"), ("4", "1")):
        listed = [
            entry(f"{following}.json", "TABLE_OF_CONTENTS"),
            entry("1.json", "TABLE_OF_CONTENTS"),
            entry("x.json"),
        ]
        (tmp_path / f"{name}.json").write_text(json.dumps({"files": listed}))
    (tmp_path / "x.json").touch()
    listing = list_payer(payer(str(tmp_path / "1.json")), NOVEMBER)
    assert [source.location for source in listing.sources] == [str(tmp_path / "x.json")]
    ((source, reason),) = listing.failed
    assert source.location == str(tmp_path / "4.json") and "name it under contents" in reason


def test_a_signed_file_of_a_signed_index_is_renewed_from_the_index_that_does_not_expire(tmp_path: Path) -> None:
    blobs = [{"name": "a_index.json", "downloadUrl": "/toc?sig=1"}]
    pages: dict[str, Page | bytes] = {
        "/blobs": json.dumps({"blobs": blobs}).encode(),
        "/toc": Page(json.dumps(table("/f.json?sig=1")).encode(), signature="1"),
    }
    with serve(pages) as server:
        (source,) = sources_of(Source(server.url + "/blobs"), None, QUICK).sources
        server.pages["/blobs"] = Page(json.dumps({"blobs": [blobs[0] | {"downloadUrl": "/toc?sig=2"}]}).encode())
        server.pages["/toc"] = Page(json.dumps(table("/f.json?sig=2")).encode(), signature="2")
        assert renewal(Layout(tmp_path), QUICK)(source) == server.url + "/f.json?sig=2"


# ---- Filters --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "kept"),
    [
        ({}, "abcd"),
        ({"plan_market_types": ("Group",)}, "ab"),
        ({"plan_id_types": ("hios",)}, "bc"),
        ({"min_plans": 2}, "b"),
        ({"plan_market_types": ("group",), "plan_id_types": ("ein",), "min_plans": 1}, "ab"),
        ({"exclude": ("a.json",), "plan_id_types": ("EIN",)}, "b"),
    ],
)
def test_files_are_chosen_by_their_plans(wanted: Any, kept: str, tmp_path: Path) -> None:
    entries = [
        entry("a.json", "IN_NETWORK_RATES", plan(1)),
        entry("b.json", "IN_NETWORK_RATES", plan(1, "group "), plan(2, "individual", "HIOS")),
        entry("c.json", "IN_NETWORK_RATES", plan(3, "individual", "HIOS")),
        entry("d.json"),
    ]
    for each in entries:
        (tmp_path / each["filePath"]).touch()
    index = tmp_path / "latest_metadata.json"
    index.write_text(json.dumps({"files": entries}))
    for listing in (
        list_payer(payer(str(index), **wanted), NOVEMBER, Layout(tmp_path / "out")),
        list_payer(payer(str(index), **wanted), NOVEMBER, Layout(tmp_path / "out")),  # from the cache
        sources_of(Source(str(index)), choice=Choice.of(**wanted)),
    ):
        assert "".join(Path(source.location).stem for source in listing.sources) == kept
        assert listing.left_out == 4 - len(kept)


def test_a_choice_can_be_made_again_from_its_keys() -> None:
    choice = Choice.of(("a",), ("b", "c"), ("Group ",), ("EIN",), 3)
    assert Choice.of(**choice.as_keys()) == choice


def test_files_named_themselves_need_no_plans(tmp_path: Path) -> None:
    (tmp_path / "a.json").touch()
    listing = list_payer(PayerSource("Acme", files=(str(tmp_path / "a.json"),), min_plans=5), NOVEMBER)
    assert len(listing.sources) == 1


# ---- Memory ---------------------------------------------------------------------------------------------------------


class Written(io.RawIOBase):
    """A stream of what an iterator gives."""

    def __init__(self, parts: Iterator[str]) -> None:
        self._parts = parts
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            part = next(self._parts, None)
            if part is None:
                return 0
            self._rest = part.encode()
        size = min(len(buffer), len(self._rest))
        buffer[:size], self._rest = self._rest[:size], self._rest[size:]
        return size


def many_entries(count: int, distinct: int) -> Iterator[str]:
    made = json.dumps(entry("NUMBER_in-network.json.gz", "IN_NETWORK_RATES", plan(1), plan(2)))
    yield '{"files": [{}'
    for number in range(count):
        yield "," + made.replace("NUMBER", f"{number % distinct:08}")
    yield "]}"


def peak_of(count: int, distinct: int) -> int:
    listing = Listing()
    seen: Counter[str] = Counter()
    tracemalloc.start()
    try:
        stream = cast("BinaryIO", io.BufferedReader(Written(many_entries(count, distinct)), 1 << 16))
        for found in read_index.read_index(stream, strict=True, overlap=False):
            if isinstance(found, list):
                seen["files"] += len(found)
                listing.add_files(found, lambda location: (location, location), "index")
            elif isinstance(found, StructureEnd):
                listing.end_structure(found)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (seen["files"], len(listing.files)) == (count + 1, distinct)
    return peak


@pytest.mark.slow
def test_memory_is_flat_with_a_hundred_thousand_entries() -> None:
    peak_of(2_000, 10)  # imports and caches
    small, large = peak_of(5_000, 500), peak_of(100_000, 500)
    assert large < small + 2_000_000, f"{small:,} bytes for 5,000 entries, {large:,} for 100,000"
    distinct = peak_of(100_000, 100_000)
    assert distinct < large + 100_000 * 900, f"{(distinct - large) / 100_000:.0f} bytes a distinct file"
