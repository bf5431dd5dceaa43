"""How the codes are used, in our own words: reviewed by hand in ``coding.json``, never derived."""

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any


@dataclass(frozen=True)
class Named:
    """A code of some list, or a source, with what it is."""

    code: str
    name: str


@dataclass(frozen=True)
class Coverage:
    """What a payer says of the service, and where it says so."""

    text: str
    source: str


@dataclass(frozen=True)
class Coding:
    """The coding panel of one code."""

    billing_code: str
    title: str
    what: str
    sister: str
    sister_note: str
    coverage: tuple[Coverage, ...]
    modifier: str
    place_of_service: str
    taxonomies: tuple[Named, ...]
    diagnoses: tuple[Named, ...]
    unit: str
    supervision: str
    checklist: tuple[str, ...]
    sources: tuple[Named, ...]
    reviewed_on: str


@cache
def coding_of(billing_code: str) -> Coding | None:
    """The panel of a code; None for one that nobody has reviewed."""
    reviewed = json.loads(resources.files("schemas").joinpath("coding.json").read_text(encoding="utf-8"))
    own: dict[str, Any] | None = reviewed["codes"].get(billing_code)
    if own is None:
        return None
    shared = reviewed["shared"]
    return Coding(
        billing_code=billing_code,
        title=own["title"],
        what=own["what"],
        sister=own["sister"],
        sister_note=own["sister_note"],
        coverage=tuple(Coverage(**note) for note in own["coverage"]),
        modifier=shared["modifier"],
        place_of_service=shared["place_of_service"],
        taxonomies=tuple(Named(**entry) for entry in shared["taxonomies"]),
        diagnoses=tuple(Named(**entry) for entry in shared["diagnoses"]),
        unit=shared["unit"],
        supervision=shared["supervision"],
        checklist=tuple(shared["checklist"]),
        sources=tuple(Named(entry["where"], entry["name"]) for entry in shared["sources"]),
        reviewed_on=reviewed["reviewed_on"],
    )
