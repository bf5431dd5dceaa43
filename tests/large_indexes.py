"""Generated indexes of any length in each shape, and what they list by a plain reading of the whole document.

With relative and absolute paths, twins under other signatures and schemes, wrong market types, words for kinds of files
that are not in any schema, and indexes that answer 404 with an HTML page.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit, urlunsplit

Json = Any
MARKETS = ("group", "Group", "individual", "")
WORDS = ("IN_NETWORK_RATES",) * 6 + (
    "ALLOWED_AMOUNTS",
    "TABLE_OF_CONTENTS",
    "PRESCRIPTION_DRUGS",
    "in_network_rates",
    "",
)
SIGNING = {"Expires", "Signature", "Key-Pair-Id", "sig", "se", "sv"}


def locations(number: int, count: int, random: Random) -> str:
    """One of the spellings of a file's address; every fourth entry is a twin of an earlier one."""
    file = number if number % 4 or not number else random.randrange(number)
    path = f"2026-11/{file:07}_in-network-rates.json.gz"
    if file % 3 == 0:
        return path
    if file % 3 == 1:
        scheme = random.choice(("http", "https"))
        return f"{scheme}://mrf.example.com/{path}?Expires={number}&Signature=s{number}~&Key-Pair-Id=K"
    return f"/download?file={file}&sig=%2Fs{number}"


def plans(number: int, random: Random, prefix: str = "plan_") -> list[Json]:
    """One to three plans; the market type is often wrong."""
    camel = prefix == "plan"
    keys = ("planName", "planIdType", "planMarketType", "planId") if camel else (
        "plan_name", "plan_id_type", "plan_market_type", "plan_id"
    )  # fmt: skip
    id_type = "EIN" if number % 7 else "hios"
    return [
        dict(zip(keys, (f"Employer {number} & Söhne, plan {n}", id_type, random.choice(MARKETS), str(n)), strict=True))
        for n in range(1 + number % 3)
    ]


def healthsparq(count: int, random: Random) -> Iterator[Json]:
    """Entries of ``files``."""
    for number in range(count):
        word = WORDS[number % len(WORDS)]
        path = f"gone/{number}_index.json" if word == "TABLE_OF_CONTENTS" else locations(number, count, random)
        entry = {"reportingEntityName": "Aetna", "fileSchema": word, "fileName": f"Aetna {number}", "filePath": path}
        yield entry | {"reportingPlans": plans(number, random, "plan"), "lastUpdatedOn": "2026-11-05"}


def blobs(count: int, random: Random) -> Iterator[Json]:
    """Entries of ``blobs``."""
    for number in range(count):
        kind = ("in-network-rates.json.gz", "allowed-amounts.json", "notes.txt")[max(0, number % 9 - 6)]
        yield {
            "name": f"2026-11-01_Employer-{number}_{kind}",
            "downloadUrl": locations(number, count, random),
            "size": number,
        }


def structures(count: int, random: Random, each: int = 5) -> Iterator[Json]:
    """Reporting structures of so many files."""
    for first in range(0, count, each):
        numbers = range(first, min(first + each, count))
        listed = [{"description": f"file {n % 50}", "location": locations(n, count, random)} for n in numbers]
        own = plans(first // each, random)
        if first % 2:
            yield {"in_network_files": listed, "reporting_plans": own}
        else:
            yield {
                "reporting_plans": own,
                "allowed_amount_file": {"location": "https://x/a"},
                "in_network_files": listed,
            }


SHAPES: dict[str, tuple[str, Callable[[int, Random], Iterator[Json]]]] = {
    "HealthSparq": ("files", healthsparq),
    "UnitedHealthcare": ("blobs", blobs),
    "table of contents": ("reporting_structure", structures),
    "one structure": ("reporting_structure", lambda count, random: structures(count, random, count)),
}


def written(shape: str, count: int, seed: int = 1) -> Iterator[bytes]:
    """The document in parts."""
    key, make = SHAPES[shape]
    yield b'{"version": "2.0.0", "last_updated_on": "2026-11-01", "%b": [' % key.encode()
    for number, each in enumerate(make(count, Random(seed))):
        yield (b"," if number else b"") + json.dumps(each, ensure_ascii=number % 2 == 0).encode()
    yield b"]}"


@dataclass
class PlainFile:
    """What a plain reading knows of a file."""

    location: str
    texts: list[str] = field(default_factory=list)
    mentions: int = 0
    plans: int = 0
    markets: set[str] = field(default_factory=set)
    id_types: set[str] = field(default_factory=set)

    def is_wanted(
        self,
        include: tuple[str, ...] = (),
        exclude: tuple[str, ...] = (),
        plan_market_types: tuple[str, ...] = (),
        plan_id_types: tuple[str, ...] = (),
        min_plans: int = 0,
    ) -> bool:
        """As a payer's block says."""

        def among(stated: set[str], named: tuple[str, ...]) -> bool:
            return not named or bool({each.lower() for each in stated} & {each.lower() for each in named})

        def found(patterns: tuple[str, ...]) -> bool:
            return any(re.search(pattern, text) for pattern in patterns for text in self.texts)

        own = among(self.markets, plan_market_types) and among(self.id_types, plan_id_types)
        return own and self.plans >= min_plans and (not include or found(include)) and not found(exclude)


def plain_files(data: bytes, base: str) -> dict[str, PlainFile]:
    """The in-network files of a document by what identifies them, in order of first mention."""
    root = json.loads(data)
    files: dict[str, PlainFile] = {}
    for listed, stated in _mentions(root):
        mentioned = set()
        for location, text in listed:
            whole = urljoin(base, location)
            parts = urlsplit(whole)
            query = urlencode([(k, v) for k, v in parse_qsl(parts.query) if k not in SIGNING])
            key = urlunsplit(("https", parts.netloc, parts.path, query, ""))
            file = files.setdefault(key, PlainFile(whole))
            file.location = whole
            file.texts += (text, urlunsplit((*parts[:3], "", "")))
            file.mentions += 1
            mentioned.add(key)
        for key in mentioned:
            files[key].plans += len(stated)
            for plan in stated:
                market, id_type = (plan.get(f"plan_{k}") or plan.get(f"plan{own}") or "" for k, own in _TYPES)
                files[key].markets |= {market} - {""}
                files[key].id_types |= {id_type} - {""}
    return files


_TYPES = (("market_type", "MarketType"), ("id_type", "IdType"))


def _mentions(root: Json) -> Iterator[tuple[list[tuple[str, str]], list[Json]]]:
    """(location, text) of each file, and the plans, by structure or entry."""
    for each in root.get("reporting_structure", ()):
        yield [(file["location"], file["description"]) for file in each["in_network_files"]], each["reporting_plans"]
    for each in root.get("files", ()):
        if each["fileSchema"].upper() == "IN_NETWORK_RATES":
            yield [(each["filePath"], each["fileName"])], each["reportingPlans"]
    for each in root.get("blobs", ()):
        if "in-network" in each["name"]:
            yield [(each["downloadUrl"], each["name"])], []
