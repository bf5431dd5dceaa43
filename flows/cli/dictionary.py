"""The consumers' data dictionary: ``dictionary.md`` with the tables and code lists of schemas/ put in.

``python -m flows.cli.dictionary output/README.md`` writes it; `make docs` calls that.
"""

import sys
from collections.abc import Callable, Iterable, Sequence
from importlib import resources
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from flows.storage.atomic_files import write_atomically
from schemas.codes import (
    ALLOWED_MODIFIERS,
    BUCA,
    COMPOSITE_ALL,
    COMPOSITE_BUCA,
    DEFAULT_CODES,
    EXCLUSIONS,
    FILE_STATUSES,
    GEOGRAPHIES,
    LOW_SAMPLE_NPI,
    LOW_SAMPLE_TIN,
    MEDICARE,
    METHODOLOGY,
    NEGOTIATED_TYPES,
    OFFICE_SERVICE_CODES,
    OUTLIER_HIGH,
    OUTLIER_LOW,
    PAYER_KINDS,
    STATES,
    TIERS,
    UNMAPPED_KINDS,
    WEIGHTINGS,
    Term,
)
from schemas.published import PUBLISHED
from schemas.reference import MEDICARE_CONVERSION_FACTORS, PAYERS, load_reference
from schemas.table import Table

TEMPLATE = "dictionary.md"


def describe_tables() -> str:
    """The dictionary as Markdown; a name in the template without a value is an error."""
    template = resources.files("flows.cli").joinpath(TEMPLATE).read_text(encoding="utf-8")
    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)
    return environment.from_string(template).render({name: describe() for name, describe in _VALUES.items()})


def _overview() -> str:
    rows = [(f"[{_title(table)}](#{_anchor(table)})", f"`{table.path}`", table.description) for table in PUBLISHED]
    return _grid(("table", "where", "what"), rows)


def _columns() -> str:
    return "\n\n".join(map(_table_section, PUBLISHED))


def _table_section(table: Table) -> str:
    rows = [
        (f"`{column.name}`", column.dtype, column.unit, "yes" if column.nullable else "", column.description)
        for column in table
    ]
    order = "the grain" if table.order == list(table.grain) else _names(table.order)
    return "\n\n".join(
        (
            f"### {_title(table)}",
            f"{table.description}.",
            f"File: `{table.path}`  \nOne row per: {_names(table.grain)}  \nSorted by: {order}, nulls first",
            _grid(("column", "type", "unit", "nullable", "meaning"), rows),
        )
    )


def _title(table: Table) -> str:
    """``summaries``, ``quality/files``: the path up to what is partitioned, then the file's own name."""
    top, name = table.path.split("/")[0], table.path.split("/")[-1].removesuffix(".parquet")
    return top if top == name else f"{top}/{name}"


def _anchor(table: Table) -> str:
    return _title(table).replace("/", "")


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _terms(terms: Iterable[Term]) -> str:
    return _grid(("value", "meaning"), [(f"`{term.name}`", term.meaning) for term in terms])


def _exclusions() -> str:
    numbered = enumerate(EXCLUSIONS, start=1)
    return _grid(("order", "exclusion", "when"), [(str(no), f"`{rule.name}`", rule.when) for no, rule in numbered])


def _fee_schedule_years() -> str:
    years = load_reference(MEDICARE_CONVERSION_FACTORS)["year"].unique().sort()
    return f"{years[0]} to {years[-1]}"


def _payers_known() -> str:
    known = load_reference(PAYERS)
    return f"{known.height:,} spellings of {known['payer'].n_unique():,} payers"


def _grid(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


_VALUES: dict[str, Callable[[], str]] = {
    "overview": _overview,
    "columns": _columns,
    "codes": lambda: _names(DEFAULT_CODES),
    "methodology": lambda: METHODOLOGY,
    "buca": lambda: ", ".join(BUCA),
    "composite_buca": lambda: COMPOSITE_BUCA,
    "composite_all": lambda: COMPOSITE_ALL,
    "medicare": lambda: MEDICARE,
    "payers_known": _payers_known,
    "payer_kinds": lambda: _terms(PAYER_KINDS),
    "states": lambda: " ".join(STATES),
    "other_geographies": lambda: " ".join(place for place in GEOGRAPHIES if place not in STATES),
    "tiers": lambda: _terms(TIERS),
    "weightings": lambda: _terms(WEIGHTINGS),
    "exclusions": _exclusions,
    "file_statuses": lambda: _terms(FILE_STATUSES),
    "unmapped_kinds": lambda: _terms(UNMAPPED_KINDS),
    "negotiated_types": lambda: ", then ".join(f"`{name}`" for name in NEGOTIATED_TYPES),
    "modifiers": lambda: ", ".join(ALLOWED_MODIFIERS),
    "office": lambda: " and ".join(OFFICE_SERVICE_CODES),
    "low_sample_npi": lambda: str(LOW_SAMPLE_NPI),
    "low_sample_tin": lambda: str(LOW_SAMPLE_TIN),
    "outlier_low": lambda: f"{OUTLIER_LOW:.0%}",
    "outlier_high": lambda: f"{OUTLIER_HIGH:.0%}",
    "fee_schedule_years": _fee_schedule_years,
}


def main(arguments: Sequence[str]) -> int:
    """Write the dictionary to the one path given."""
    if len(arguments) != 1:
        print("usage: python -m flows.cli.dictionary PATH (the repository's is output/README.md)", file=sys.stderr)
        return 2
    write_atomically(Path(arguments[0]), describe_tables().encode())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
