"""FIELD-NOTES as named cases, one or more for every line about content; and the generated documents beside them."""

from tests.field_note_case import Case
from tests.field_notes_bytes import BYTES_CASES
from tests.field_notes_november import NOVEMBER_CASES
from tests.field_notes_shape import SHAPE_CASES
from tests.field_notes_values import VALUE_CASES
from tests.generated_documents import GENERATED_REMOTE, generated_documents, malformed_documents, truncated_documents

CASES: tuple[Case, ...] = (*SHAPE_CASES, *VALUE_CASES, *BYTES_CASES, *NOVEMBER_CASES)
CASES_BY_NAME = {case.name: case for case in CASES}

__all__ = [
    "CASES",
    "CASES_BY_NAME",
    "GENERATED_REMOTE",
    "Case",
    "generated_documents",
    "malformed_documents",
    "truncated_documents",
]
