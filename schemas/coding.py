"""How the codes are used, in our own words: reviewed by hand in ``coding.json``, never derived."""

import json
from functools import cache
from importlib import resources

import msgspec


class Named(msgspec.Struct, frozen=True):
    """A code of some list, or a source, with what it is."""

    code: str
    name: str


class Coverage(msgspec.Struct, frozen=True):
    """What a payer says of the service, and where it says so."""

    text: str
    source: str


class Coding(msgspec.Struct, frozen=True):
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
    ncd_sections: tuple[str, ...] = ()  # of the NCD manual: where NCDs are looked for, no statement on coverage


@cache
def coding_of(billing_code: str) -> Coding | None:
    """The panel of a code; None for one that is not reviewed."""
    reviewed = json.loads(resources.files("schemas").joinpath("coding.json").read_text(encoding="utf-8"))
    own = reviewed["codes"].get(billing_code)
    stated = {"billing_code": billing_code, "reviewed_on": reviewed["reviewed_on"]}
    return None if own is None else msgspec.convert(reviewed["shared"] | own | stated, Coding)
