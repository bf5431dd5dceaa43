"""The consumers' data dictionary: ``dictionary.md``, a template, with the tables and code lists of schemas/.

``python -m flows.cli.dictionary output/README.md`` writes it; `make docs` calls that.
"""

import sys
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from flows.storage.atomic_files import write_atomically
from schemas import codes, coverage
from schemas.published import PUBLISHED
from schemas.reference import MEDICARE_CONVERSION_FACTORS, PAYERS, load_reference
from schemas.table import Table


def describe_tables() -> str:
    """The dictionary as Markdown; a name in the template without a value is an error."""
    text = resources.files("flows.cli").joinpath("dictionary.md").read_text(encoding="utf-8")
    environment = Environment(
        undefined=StrictUndefined, keep_trailing_newline=True, trim_blocks=True, lstrip_blocks=True, autoescape=False
    )
    environment.filters["title"] = _title
    return environment.from_string(text).render(
        codes=codes,
        coverage=coverage,
        tables=PUBLISHED,
        payers=load_reference(PAYERS),
        years=load_reference(MEDICARE_CONVERSION_FACTORS)["year"],
    )


def _title(table: Table) -> str:
    """``summaries``, ``quality/files``: the path up to the partition, then the file's own name."""
    top, name = table.path.split("/")[0], table.path.split("/")[-1].removesuffix(".parquet")
    return top if top == name else f"{top}/{name}"


def main(arguments: Sequence[str]) -> int:
    """Write the dictionary to the one path given."""
    if len(arguments) != 1:
        print("usage: python -m flows.cli.dictionary PATH (the repository's is output/README.md)", file=sys.stderr)
        return 2
    write_atomically(Path(arguments[0]), describe_tables().encode())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
