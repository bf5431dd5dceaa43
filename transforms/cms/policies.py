"""A csv of payers' coverage policies that a user writes, as ``COVERAGE_EDITION``: payer, billing_code, state, ..."""

from collections.abc import Collection, Iterator

from schemas.codes import GEOGRAPHIES
from schemas.coverage import POLICY, POLICY_STANCES
from transforms.cms.coverage_rules import Rules, date_of
from transforms.cms.sheets import find_columns
from transforms.errors import UsageError

COLUMNS = ("payer", "billing_code", "state", "effective_date", "title", "url", "stance")


def read_policies(rows: Iterator[tuple[int, list[str]]], codes: Collection[str]) -> Rules:
    """The policies on wanted codes; each payer is a part. A policy is known by its payer and title.

    Args: rows: line number and cells, the header first.

    Raises:
        UsageError: a column is missing, or a value can't be used; the text names its line.
    """
    _, header = next(rows, (0, list[str]()))
    names = [cell.strip().upper() for cell in header]
    columns = find_columns(names, {name: name.upper() for name in COLUMNS}, "csv of policies")
    rules = Rules(POLICY)
    for line, cells in rows:
        if any(cells):
            row = {name: cells[at] if at < len(cells) else "" for name, at in columns.items()}
            try:
                _add(rules, row, codes)
            except ValueError as error:
                raise UsageError(f"line {line}: {error}") from error
    return rules


def _add(rules: Rules, row: dict[str, str], codes: Collection[str]) -> None:
    state, stance, url = row["state"].upper() or "US", row["stance"].lower() or None, row["url"] or None
    if blank := [name for name in ("payer", "billing_code", "title") if not row[name]]:
        raise ValueError(f"{', '.join(blank)}: blank")
    if state not in (*GEOGRAPHIES, "US"):
        raise ValueError(f"state {row['state']!r}: expected a two-letter USPS code, or US")
    if stance not in (*POLICY_STANCES, None):
        raise ValueError(f"stance {row['stance']!r}: expected {', '.join(POLICY_STANCES)}, or blank")
    if url is not None and not url.lower().startswith(("https://", "http://")):
        raise ValueError(f"url {url!r}: expected http(s)://")
    effective = date_of(row["effective_date"])
    rules.parts.add(row["payer"])
    if row["billing_code"].upper() in codes:
        rules.add(
            [state],
            row["payer"],
            billing_code=row["billing_code"].upper(),
            authority=row["payer"],
            document_id=row["title"],
            version="",
            title=row["title"],
            effective_date=effective,
            stance=stance,
            source_url=url,
        )
