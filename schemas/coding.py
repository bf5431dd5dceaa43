"""How the codes are used, in our own words: reviewed by hand in ``coding.json``, never derived."""

import json
from functools import cache
from importlib import resources
from typing import Any

import msgspec


class Named(msgspec.Struct, frozen=True):
    """A code of some list, or a source, with what it is."""

    code: str
    name: str


class Claim(msgspec.Struct, frozen=True):
    """What a sentence says of published rules; a rule in force that says otherwise contradicts the sentence.

    kinds: of ``schemas.coverage``. document_id, partner_code: with one of them, the rule must be in force, too.
    """

    kinds: tuple[str, ...]
    document_id: str = ""
    partner_code: str = ""
    stances: tuple[str, ...] = ()
    effective_date: str = ""
    unit_limit: int | None = None


class Note(msgspec.Struct, frozen=True):
    """A sentence, where it comes from, and when it was reviewed."""

    text: str
    source: str
    reviewed_on: str
    claims: tuple[Claim, ...] = ()


class Codes(msgspec.Struct, frozen=True):
    """Codes of a published list, and when they were reviewed."""

    codes: tuple[Named, ...]
    source: str
    reviewed_on: str


class Coding(msgspec.Struct, frozen=True):
    """The coding panel of one code."""

    billing_code: str
    title: str
    what: Note
    sister: str
    sister_note: Note
    coverage: tuple[Note, ...]
    modifier: Note
    place_of_service: Note
    taxonomies: Codes
    diagnoses: Codes
    unit: Note
    supervision: Note
    checklist: tuple[Note, ...]
    sources: tuple[Named, ...]
    reviewed_on: str
    ncd_sections: tuple[str, ...] = ()  # of the NCD manual: where NCDs are looked for, no statement on coverage


@cache
def coding_of(billing_code: str) -> Coding | None:
    """The panel of a code; None for one that is not reviewed."""
    reviewed = json.loads(resources.files("schemas").joinpath("coding.json").read_text(encoding="utf-8"))
    own = reviewed["codes"].get(billing_code)
    if own is None:
        return None
    stated = {"billing_code": billing_code, "reviewed_on": reviewed["reviewed_on"]}
    return msgspec.convert(_dated(reviewed["shared"] | own | stated, reviewed["reviewed_on"]), Coding)


def _dated(value: Any, day: str) -> Any:
    """The same with a date for each sentence that has none of its own."""
    if isinstance(value, list):
        return [_dated(each, day) for each in value]
    if isinstance(value, dict):
        dated = {name: _dated(each, day) for name, each in value.items()}
        return {"reviewed_on": day} | dated if "source" in dated else dated
    return value
