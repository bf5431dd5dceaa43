"""Texts to start from: FIELD-NOTES cases, generated documents, our corpus, and parts of shared real files and examples.

The real files and CMS's examples are read where they stand, if they are there, and never copied.
"""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from tests.field_notes import CASES
from tests.generated_documents import build_document
from tests.json_text import Token, json_bytes
from tests.shared_files import shared_folder

CORPUS = Path(__file__).parent / "corpus"
MAX_SEED_BYTES = 6_000
PLAIN = "plain"


def field_note_seeds() -> list[bytes]:
    return [case.data for case in CASES if case.container == PLAIN and len(case.data) <= MAX_SEED_BYTES]


def corpus_seeds() -> list[bytes]:
    return [path.read_bytes() for path in sorted(CORPUS.glob("*.json"))]


def generated_seed(random: Random) -> bytes:
    """A new document: odd or plain, or one of many elements that can be passed over at a stretch."""
    if random.random() < 0.4:
        return skimmable(random)
    oddness = random.choice((0.0, 0.0, 0.02, 0.1))
    return build_document(random, random.choice((1, 1, 2)), oddness, plain=random.random() < 0.7)


def skimmable(random: Random) -> bytes:
    """Elements most of which are plainly unwanted, as real files write them."""

    def padding() -> str:
        return "x" * random.randrange(70)

    items = [
        {
            "negotiation_arrangement": "ffs",
            "billing_code_type": "CPT",
            "billing_code": random.choice(("99213", "97026", "J1100", "970", "97140")),
            "description": padding(),
            "negotiated_rates": [
                {"negotiated_prices": [{"negotiated_rate": 1.5}], "provider_references": [random.randrange(9)]}
            ],
        }
        for _ in range(random.randrange(1, 9))
    ]
    references = [
        {
            "provider_group_id": number,
            "provider_groups": [{"npi": [1000000004], "tin": {"type": "ein", "value": padding()}}],
        }
        for number in range(random.randrange(1, 9))
    ]
    sections = [("in_network", items), ("provider_references", references)]
    random.shuffle(sections)
    indent = random.choice((None, None, None, 1))
    separators = random.choice(((",", ":"), (", ", ": ")))
    return json.dumps({"version": "1.0", **dict(sections)}, separators=separators, indent=indent).encode()


def shared_seeds() -> Iterator[bytes]:
    """Small documents made of a few items and references of each real file, and CMS's examples as they are."""
    folder = shared_folder()
    if folder is None:
        return
    for path in sorted(folder.glob("cms/*/examples/*/*.json")):
        yield path.read_bytes()
    for path in sorted(folder.glob("real/*/*rates.json*")) + sorted(folder.glob("real/*/innetwork*.json*")):
        yield from _parts(path)


def _parts(path: Path) -> Iterator[bytes]:
    data = path.read_bytes()
    root = json.loads(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data, parse_float=Token)
    random = Random(path.name)
    items = [item for item in root.get("in_network", ()) if item.get("billing_code") in ("97026", "97028")]
    others = root.get("in_network", ())
    references = root.get("provider_references", ())
    for _ in range(6):
        chosen = random.sample(items, min(1, len(items))) + random.sample(others, min(2, len(others)))
        if not items and chosen:
            chosen[0] = {**chosen[0], "billing_code": "97026"}
        part = {
            key: _cut(random, chosen) if key == "in_network" else _cut(random, random.sample(references, 3))
            if key == "provider_references" and len(references) > 3
            else value if isinstance(value, str) else []
            for key, value in root.items()
        }  # fmt: skip
        written = json_bytes(part)
        if len(written) <= MAX_SEED_BYTES:
            yield written


def _cut(random: Random, value: Any) -> Any:
    """The same with at most two elements in every array."""
    if isinstance(value, dict):
        return {key: _cut(random, inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_cut(random, inner) for inner in (value if len(value) <= 3 else random.sample(value, 2))]
    return value


def all_seeds(random: Random, generated: int) -> list[bytes]:
    """Everything there is, and so many generated documents."""
    return [*field_note_seeds(), *corpus_seeds(), *shared_seeds(), *(generated_seed(random) for _ in range(generated))]
