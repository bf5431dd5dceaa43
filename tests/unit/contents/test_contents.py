"""Tables of contents in every shape seen, and a payer's listing of a month made of them."""

import gzip
import json
import random
import re
import tracemalloc
import zipfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from flows.download.open_source import open_source
from flows.download.sources import Source
from flows.extract.payer_listing import PayerListing, list_payer, sources_of
from flows.settings.values import Fetching, PayerSource, ReadSettings
from flows.storage.redaction import redact_url
from tests.contents_readings import Flat, plainly, scanned
from tests.shared_files import shared_path
from transforms.contents.index_values import NO_PLANS, IndexFacts, Plans, StructureEnd
from transforms.contents.names import NO_NAMES, Names
from transforms.limits import Limits

Json = Any
JUNE = date(2025, 6, 1)
PLAN = {"plan_name": "one", "plan_id_type": "EIN", "plan_id": "1", "plan_market_type": "group"}
ONE = {"description": "rates", "location": "https://mrf.example.com/one.json.gz"}
TWO = {"description": "more rates", "location": "https://mrf.example.com/two.json.gz"}
STRUCTURE = {"reporting_plans": [PLAN, PLAN], "in_network_files": [ONE, TWO]}


def table(*structures: Json) -> Json:
    return {"reporting_entity_name": "x", "reporting_structure": [*structures], "version": "2.0.0"}


def write(path: Path, document: Json) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))
    return str(path)


def payer_of(*contents: str, files: tuple[str, ...] = (), **more: tuple[str, ...]) -> PayerSource:
    return PayerSource("Aetna", contents, files, **more)  # type: ignore[arg-type]


def listed(tmp_path: Path, document: Json, **more: tuple[str, ...]) -> PayerListing:
    return list_payer(payer_of(write(tmp_path / "index.json", document), **more), JUNE)


def facts_of(source: Source) -> IndexFacts:
    assert source.facts is not None
    return source.facts


def plans_of(count: int) -> Plans:
    return Plans(count, Names(("one",)), Names(("group",)), Names(("EIN",))) if count else NO_PLANS


def found_in(document: Json, *, strict: bool = True) -> Flat:
    """What the streaming reading says, as the plain one."""
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    plain = plainly(data, strict=strict)
    assert scanned(data, strict=strict) == plain
    assert not isinstance(plain, str), plain
    return plain


def locations(document: Json) -> list[str]:
    return [found[0] for found in found_in(document) if isinstance(found, tuple)]


def names(listing: PayerListing) -> list[str]:
    return [source.name.rpartition("/")[2] for source in listing.sources]


# ---- Shapes of a table ----------------------------------------------------------------------------------------------

BOTH = [ONE["location"], TWO["location"]]
SHAPES = {
    "as the schema has it": table(STRUCTURE),
    "wrapped in TOC_Files": {"TOC_Files": [table(STRUCTURE)]},
    "an array at the root": [STRUCTURE],
    "files at the root": {"in_network_files": [ONE, TWO]},
    "files after other keys, header last": {"reporting_structure": [STRUCTURE], "reporting_entity_name": "x"},
    "structures without reporting_plans": table({"in_network_files": [ONE, TWO]}),
    "a structure where an array belongs": {"reporting_structure": STRUCTURE},
    "an object where the array of files belongs": table({"in_network_files": ONE}, {"in_network_files": TWO}),
    "addresses where objects belong": table({"in_network_files": BOTH}),
    "nulls and scalars in between": table(None, 3, {"in_network_files": [None, ONE, 7, [TWO], {}, TWO]}),
    "null files": table({"in_network_files": None}, STRUCTURE),
    "allowed amounts as an object": table(STRUCTURE | {"allowed_amount_file": {"location": "https://x/a"}}),
    "allowed amounts as an array": table({"allowed_amount_file": [{"location": "https://x/a"}]}, STRUCTURE),
    "blank and missing locations": table({"in_network_files": [{"location": " "}, {"description": "x"}, ONE, TWO]}),
    "decoys in other keys": table(STRUCTURE | {"note": {"location": "https://x/in_network_files"}}),
    "keys nobody knows": table({"x": [[{"y": 1}]]} | STRUCTURE | {"z": {"reporting_plans": 1}}),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_each_shape_lists_the_same_files(shape: str) -> None:
    assert locations(SHAPES[shape]) == BOTH


@pytest.mark.parametrize("shape", ["a structure where an array belongs", "as the schema has it"])
def test_plans_are_counted_once_their_structure_ends(shape: str) -> None:
    assert found_in(SHAPES[shape])[-1] == StructureEnd(plans_of(2))


@pytest.mark.parametrize(
    ("plans", "count"), [([PLAN] * 3, 3), (PLAN, 1), (None, 0), ([None, 3, PLAN], 1), ([], 0), ("x", 0)]
)
def test_plans_count_wherever_and_however_they_stand(plans: Json, count: int) -> None:
    files = {"in_network_files": [ONE]}
    for structure in ({"reporting_plans": plans} | files, files | {"reporting_plans": plans}):
        (end,) = found_in(table(structure))[1:]
        assert end == StructureEnd(plans_of(count))


def test_network_names_of_files_and_structures_are_taken() -> None:
    structure = {"network_name": "Choice", "in_network_files": [ONE | {"network_names": ["B ", "", "A", "B"]}]}
    file = (ONE["location"], "rates", Names(("A", "B")))
    assert found_in(table(structure)) == [file, StructureEnd(NO_PLANS, Names(("Choice",)))]


def test_lone_surrogates_and_byte_order_of_keys_do_no_harm() -> None:
    text = rb'{"reporting_structure": [{"in_network_files": [{"description": "\ud83d", "location": "https://a/b"}]}]}'
    assert found_in(text)[0] == ("https://a/b", "\ufffd", NO_NAMES)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (json.dumps(table(STRUCTURE)).encode()[:-9], "the file is truncated, fetch it again"),
        (json.dumps(table(STRUCTURE)).encode()[:-4], "the file is truncated, fetch it again"),
        (json.dumps(table(STRUCTURE)).encode() + b"{}", "something follows the closed JSON root"),
        (b'{"in_network_files": [{"location": "https://a/\xff"}]}', "not well-formed JSON"),
        (b'{"in_network_files": [{"location": "https://a/b" "description": 1}]}', "not well-formed JSON"),
        (
            b'{"reporting_structure": ' + b'[{"a":' * 600 + b"1" + b"}]" * 600 + b"}",
            "limit json_depth is 500;",
        ),
        (
            b'{"reporting_structure": ' + b"9" * 5_000 + b"}",
            "limit number_digits is 1,000;",
        ),
    ],
)
def test_what_is_not_whole_is_refused_with_the_place(text: bytes, reason: str) -> None:
    for said in (scanned(text), scanned(text, 64)):
        assert isinstance(said, str) and reason in said
        assert "json_depth" in reason or "at or before JSON byte" in said


def test_what_is_no_table_of_contents_is_refused_and_prices_at_once() -> None:
    assert "no table of contents" in scanned(b'{"error": "not found"}')
    endless = b'{"reporting_entity_name": "x", "in_network": [' + b'{"a": 1},' * 50_000
    for said in (scanned(endless), scanned(endless, 1_000)):
        assert said == "an in-network file, not a table of contents; name it under files"
    assert found_in({"error": "not found"}, strict=False) == []
    assert found_in(table({"allowed_amount_file": {}})) == [], "nothing listed is an answer"


# ---- One table of contents ------------------------------------------------------------------------------------------


def test_the_real_table_lists_586_files_in_4124_references() -> None:
    path = shared_path("real/toc/2025-07-23_bcbs-oklahoma_index.json.gz")
    references = [
        (file["location"], structure)
        for structure in json.loads(gzip.decompress(path.read_bytes()))["reporting_structure"]
        for file in structure["in_network_files"]
    ]
    found = sources_of(Source(str(path)))
    assert (len(references), len(found.sources), found.refused) == (4_124, 586, ())
    assert sum(facts_of(source).mentions for source in found.sources) == 4_124
    latest = {redact_url(location): location for location, _ in references}
    plans = dict.fromkeys(latest, 0)
    for name, structure in {
        (redact_url(location), id(structure)): structure for location, structure in references
    }.items():
        plans[name[0]] += len(structure["reporting_plans"])
    assert {each.name: (each.location, facts_of(each).plans.count) for each in found.sources} == {
        name: (latest[name], plans[name]) for name in latest
    }


def test_a_file_counts_once_and_keeps_its_latest_signature(tmp_path: Path) -> None:
    signed = [ONE | {"location": f"{ONE['location']}?Expires={n}&Signature=s{n}#x"} for n in (2, 9, 5)]
    plain = ONE | {"location": "http://MRF.example.com/one.json.gz?Expires=7"}
    index = write(
        tmp_path / "index.json",
        table(
            {"reporting_plans": [PLAN], "in_network_files": signed[:2], "network_name": "B"},
            {"in_network_files": [signed[2], TWO], "reporting_plans": [PLAN] * 10, "network_name": ["A", "B"]},
            {"in_network_files": [plain]},
        ),
    )
    found = sources_of(Source(index, "Aetna", headers=(("A", "b"),)))
    assert facts_of(found.sources[0]) == IndexFacts("rates", 4, plans_of(11), Names(("A", "B")))
    assert found.sources[0].location == plain["location"]
    assert [(each.payer, each.contents, each.headers) for each in found.sources] == [
        ("Aetna", index, (("A", "b"),))
    ] * 2


def test_networks_are_bounded(tmp_path: Path) -> None:
    structures = [{"in_network_files": [ONE], "network_name": f"n{n:02}"} for n in range(99)]
    (file,) = map(facts_of, sources_of(Source(write(tmp_path / "index.json", table(*structures)))).sources)
    assert file.networks == Names(tuple(f"n{n:02}" for n in range(20)), cut=True)


def test_relative_locations_lie_beside_the_table_and_nowhere_else(tmp_path: Path) -> None:
    beside = tmp_path / "toc" / "rates" / "a.json"
    write(beside, {})
    write(tmp_path / "outside.json", {})
    wrong = ["../outside.json", "absent.json", "ftp://a.example.com/x", "file:///etc/passwd", "https://[::x/y?sig=1"]
    wrong += ["x\0y", "z" * 1_000, "https://a.example.com:x/y?sig=2"]
    files = [
        {"location": location} for location in ["rates/a.json", "rates/a.json?sig=3", "./rates/../rates/a.json", *wrong]
    ]
    found = sources_of(Source(write(tmp_path / "toc" / "index.json", table({"in_network_files": files}))))
    assert found.sources == (Source(str(beside.resolve())),)
    assert {source.location for source in found.refused} >= {*wrong[:4], *wrong[5:7]}
    assert "sig=" not in repr(found)


def test_relative_addresses_begin_at_the_tables_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stated = [
        "a.json?sig=1",
        "a.json?sig=2",
        "../b.json",
        "/c.json#x?y",
        "//other.example.com/d.json?z",
        "e?f=1",
        "e?f=2/",
    ]
    local = Source(write(tmp_path / "x", table({"in_network_files": [{"location": each} for each in stated]})))
    monkeypatch.setattr("flows.extract.index_listing.open_source", lambda *_, **__: open_source(local))
    found = sources_of(Source("https://toc.example.com/d/index.json?sig=3"))
    assert [source.location for source in found.sources] == [
        "https://toc.example.com/d/a.json?sig=2",
        "https://toc.example.com/b.json",
        "https://toc.example.com/c.json#x?y",
        "https://other.example.com/d.json?z",
        "https://toc.example.com/d/e?f=1",
        "https://toc.example.com/d/e?f=2/",
    ]
    assert {source.contents for source in found.sources} == {"https://toc.example.com/d/index.json?sig=3"}


def test_all_tables_of_a_zip_are_read(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "index.zip", "w") as archive:
        archive.writestr("1.json", json.dumps(table({"in_network_files": [ONE]})))
        archive.writestr("2.json", json.dumps(table(STRUCTURE)))
    found = sources_of(Source(str(tmp_path / "index.zip")))
    assert [(facts.mentions, facts.plans.count) for facts in map(facts_of, found.sources)] == [(2, 2), (1, 2)]


# ---- A payer's month ------------------------------------------------------------------------------------------------


def test_a_listing_knows_payer_table_and_headers(tmp_path: Path) -> None:
    index = write(tmp_path / "index.json", table(STRUCTURE))
    payer = PayerSource("Aetna", (index,), headers=(("A", "b"),))
    listing = list_payer(payer, JUNE)
    assert listing == PayerListing(listing.sources, payer="Aetna", refused=(), listed=2)
    assert [source.location for source in listing.sources] == BOTH
    assert {(each.payer, each.contents, each.headers) for each in listing.sources} == {("Aetna", index, (("A", "b"),))}


def test_months_are_filled_in_wherever_they_stand(tmp_path: Path) -> None:
    write(tmp_path / "2025" / "06" / "2025-06-01_index.json", table({"in_network_files": [ONE]}))
    write(tmp_path / "2025" / "07" / "2025-07-01_index.json", table({"in_network_files": [TWO]}))
    payer = payer_of(f"{tmp_path}/{{year}}/{{mm}}/{{month}}-01_index.json", files=("https://a.example.com/{month}.gz",))
    assert names(list_payer(payer, JUNE)) == ["one.json.gz", "2025-06.gz"]
    assert names(list_payer(payer, date(2025, 7, 1))) == ["two.json.gz", "2025-07.gz"]


CARVE_OUTS = [
    {"description": description, "location": f"https://uhc.example.com/public-mrf/{name}?sig=OHPH-Chiro"}
    for description, name in [
        ("UMR, OHPH-Chiro", "1.json"),
        ("UMR", "2_OPH-Optum-Physical-Health_in-network-rates.json"),
        ("Choice Plus", "3.json"),
        ("OHPH-Chiro, dental", "4.json"),
        (None, "5.json"),
    ]
]


@pytest.mark.parametrize(
    ("include", "exclude", "kept"),
    [
        ((), (), "12345"),
        (("OHPH-Chiro", "OPH-Optum-Physical-Health"), (), "124"),
        (("OHPH-Chiro", "OPH-Optum-Physical-Health"), ("(?i)DENTAL",), "12"),
        ((), ("dental", r"[35]\.json$"), "12"),
        (("^UMR",), (), "12"),
        (("sig=",), (), ""),
        (("uhc.example.com/public",), (r"\.json",), ""),
    ],
)
def test_patterns_are_searched_in_description_and_address_without_query(
    tmp_path: Path, include: tuple[str, ...], exclude: tuple[str, ...], kept: str
) -> None:
    listing = listed(tmp_path, table({"in_network_files": CARVE_OUTS}), include=include, exclude=exclude)
    assert "".join(name[0] for name in names(listing)) == kept
    assert (listing.listed, listing.left_out) == (5, 5 - len(kept))


def test_patterns_see_every_description_of_a_file_whatever_their_order(tmp_path: Path) -> None:
    mentions = [ONE | {"description": text} for text in ("a", "chiro", "dental", "a")]
    for seed in range(5):
        shuffled = table({"in_network_files": random.Random(seed).sample(mentions, 4)})
        assert len(listed(tmp_path, shuffled, include=("chiro",)).sources) == 1
        assert len(listed(tmp_path, shuffled, include=("chiro",), exclude=("dental",)).sources) == 0


def test_locations_that_cannot_be_followed_are_refused_unless_they_were_left_out(tmp_path: Path) -> None:
    files = [ONE, {"location": "ftp://a.example.com/x"}, {"location": "ftp://a.example.com/dental"}]
    listing = listed(tmp_path, table({"in_network_files": files}), exclude=("dental",))
    assert (listing.refused, listing.listed, listing.left_out) == ((Source("ftp://a.example.com/x"),), 3, 1)


def test_files_folders_and_globs_pass_the_patterns_by_path_and_are_not_opened(tmp_path: Path) -> None:
    for name in ("a/1.json", "a/2-dental.json", "b/3.json", "b/4.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch(0o600)
    files = (f"{tmp_path}/a", f"{tmp_path}/b/*.json", f"{tmp_path}/b/3.json", "s3://bucket/5.json")
    listing = list_payer(payer_of(files=files, exclude=("dental",)), JUNE)
    assert names(listing) == ["1.json", "3.json", "5.json"]
    assert (listing.listed, listing.left_out, listing.failed) == (4, 1, ())
    assert {(each.facts, each.contents, each.payer) for each in listing.sources} == {(None, None, "Aetna")}


def test_the_same_file_in_two_tables_and_in_files_counts_once(tmp_path: Path) -> None:
    again = ONE | {"location": ONE["location"] + "?sig=2", "description": "again"}
    tables = (write(tmp_path / "1.json", table(STRUCTURE)), write(tmp_path / "2.json", [{"in_network_files": [again]}]))
    listing = list_payer(payer_of(*tables, files=(TWO["location"],)), JUNE)
    assert listing.sources[0].location == again["location"]
    assert facts_of(listing.sources[0]) == IndexFacts("rates", 2, plans_of(2), NO_NAMES)
    assert [source.contents for source in listing.sources] == [tables[1], tables[0]]
    assert listing.listed == 2


def test_a_table_that_fails_lists_nothing_and_the_others_go_on(tmp_path: Path) -> None:
    good = write(tmp_path / "good.json", table({"in_network_files": [TWO]}))
    cut = tmp_path / "cut.json"
    cut.write_text(json.dumps(table(STRUCTURE))[:-5])
    page = tmp_path / "page.json"
    page.write_text("<html>Access denied</html>")
    prices = write(tmp_path / "prices.json", {"in_network": []})
    absent = f"{tmp_path}/{{month}}.json"
    gone = f"{tmp_path}/gone/*.gz"
    listing = list_payer(payer_of(str(cut), str(page), prices, absent, good, files=(gone,)), JUNE)
    assert names(listing) == ["two.json.gz"]
    assert [source.location for source, _ in listing.failed] == [
        str(cut), str(page), prices,
    ]  # fmt: skip
    assert [source.location for source, _ in listing.missing] == [f"{tmp_path}/2025-06.json", gone]
    reasons = "\n".join(reason for _, reason in (*listing.failed, *listing.missing))
    assert re.fullmatch(
        r".*truncated, fetch it again.*\n.*HTML page.*\nan in-network file.*\nno such file or folder; check the path\n"
        r"no file matches it; check the path",
        reasons,
    )


def test_a_table_that_inflates_beyond_the_limits_fails(tmp_path: Path) -> None:
    path = tmp_path / "index.json.gz"
    path.write_bytes(gzip.compress(json.dumps(table(STRUCTURE)).encode()))
    listing = list_payer(
        payer_of(str(path)), JUNE, settings=ReadSettings(fetching=Fetching(bounds=Limits(inflated_bytes=100)))
    )
    ((_, reason),) = listing.failed
    assert "limit inflated_bytes is 100; to change it, set [limits] inflated_bytes" in reason
    assert listing.sources == ()


# ---- Memory ---------------------------------------------------------------------------------------------------------


def large_table(references: int, distinct: int) -> Iterator[str]:
    """Structures of 200 plans and 500 signed references each."""
    plans = json.dumps([PLAN] * 200)
    yield '{"reporting_structure": [{}'
    for first in range(0, references, 500):
        files = [
            {
                "description": f"rates {n % distinct}",
                "location": f"https://a.example.com/{n % distinct}.json?sig={n:090}",
            }
            for n in range(first, first + 500)
        ]
        yield f', {{"in_network_files": {json.dumps(files)}, "reporting_plans": {plans}}}'
    yield "]}"


def peak_of_listing(path: Path, references: int, distinct: int) -> int:
    """Bytes, beyond what stood before."""
    with gzip.open(path, "wt", compresslevel=1) as file:
        file.writelines(large_table(references, distinct))
    tracemalloc.start()
    try:
        listing = list_payer(payer_of(str(path)), JUNE)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (len(listing.sources), listing.failed) == (distinct, ())
    return peak


@pytest.mark.slow
def test_memory_grows_with_distinct_files_only(tmp_path: Path) -> None:
    path = tmp_path / "index.json.gz"
    peak_of_listing(path, 500, 500)  # imports and caches
    small, long, wide = (peak_of_listing(path, *size) for size in ((10_000, 500), (30_000, 500), (30_000, 30_000)))
    assert long < small + 300_000, f"{small:,} bytes for 10,000 references, {long:,} for 30,000"
    assert wide > small + 1_500_000, "the measure sees what distinct files cost"
