"""The coding panel: reviewed sentences on a code, without those that a published rule contradicts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from schemas.coding import Claim, Coding, Named, Note
from schemas.coverage import IN_FORCE, POLICY_STANCES

Row = Mapping[str, Any]  # of COVERAGE


@dataclass(frozen=True)
class Panel:
    """The reviewed sentences on a code that no published rule contradicts."""

    coding: Coding
    lines: list[tuple[str, Note]]
    coverage: list[Note]
    diagnoses: list[Named]
    left_out: int


def make_panel(coding: Coding | None, rows: Sequence[Row]) -> Panel | None:
    """The coding panel beside these rows of ``COVERAGE``; None for a code that is not reviewed."""
    if coding is None:
        return None
    lines = [
        ("Modifier", coding.modifier),
        ("Place of service", coding.place_of_service),
        ("Related code", coding.sister_note),
        ("Units", coding.unit),
        ("Supervision", coding.supervision),
    ]
    refused = {each for row in rows if row["status"] == IN_FORCE for each in row["diagnoses_not_covered"]}
    diagnoses = coding.diagnoses.codes
    panel = Panel(
        coding,
        [(label, note) for label, note in lines if not _is_contradicted(note, rows)],
        [note for note in coding.coverage if not _is_contradicted(note, rows)],
        [each for each in diagnoses if not any(code.startswith(each.code.rstrip("x")) for code in refused)],
        0,
    )
    kept = len(panel.lines) + len(panel.coverage) + len(panel.diagnoses)
    return replace(panel, left_out=len(lines) + len(coding.coverage) + len(diagnoses) - kept)


def _is_contradicted(note: Note, rows: Sequence[Row]) -> bool:
    return any(_contradicts(claim, rows) for claim in note.claims)


def _contradicts(claim: Claim, rows: Sequence[Row]) -> bool:
    named = claim.document_id or claim.partner_code
    own = [
        row
        for row in rows
        if row["kind"] in claim.kinds
        and claim.document_id in ("", row["document_id"])
        and claim.partner_code in ("", row["partner_code"])
    ]
    in_force = [row for row in own if row["status"] == IN_FORCE]
    if named and own and not in_force:
        return True
    return any(
        (row["stance"] in POLICY_STANCES and claim.stances and row["stance"] not in claim.stances)
        or (claim.effective_date and row["effective_date"] and str(row["effective_date"]) != claim.effective_date)
        or (claim.unit_limit is not None and row["unit_limit"] != claim.unit_limit)
        for row in in_force
    )
