"""What the page of an orchestrated run shows, as markdown: the national table, what did not count and what to do."""

from collections.abc import Iterable, Sequence
from datetime import date

import polars as pl

from flows.settings.addresses import Location
from flows.storage.layout import Layout, month_name

MOST_SHOWN = 200  # a page, not an archive: all of it is in quality/files
_DOLLARS = ("p25_usd", "p50_usd", "p75_usd")


def national_markdown(output: Location, month: date) -> str | None:
    """The month's national figures by code and payer, each provider once; None where the month is not published."""
    path = Layout.at(output).month("summaries", month) / "summaries.parquet"
    if not path.exists():
        return None
    national = pl.read_parquet(path).filter(
        (pl.col("geography") == "US") & pl.col("weighting").is_in(["npi", "locality"])
    )
    tier = "balanced" if "balanced" in national["taxonomy_tier"] else "all"  # without NPPES there is no other
    shown = national.filter((pl.col("taxonomy_tier") == tier) | (pl.col("payer_kind") == "benchmark"))
    header = ("month", "code", "class", "payer", "p25", "p50", "p75", "n")
    rows = [_national_row(row) for row in shown.sort("billing_code", "billing_class", "payer").iter_rows(named=True)]
    notes = f"US dollars per service; n: providers (* small sample), or Medicare's localities; taxonomy tier {tier}."
    return f"# National rates, {month_name(month)}\n\n{_table(header, rows)}\n\n{notes}\n"


def _national_row(row: dict[str, object]) -> tuple[str, ...]:
    counted = row["n_rates"] if row["n_npi"] is None else row["n_npi"]
    star = "*" if row["low_sample"] else ""
    dollars = ("" if row[name] is None else f"{row[name]:,.2f}" for name in _DOLLARS)
    named = (str(row[name]) for name in ("billing_code", "billing_class", "payer"))
    return (f"{row['month']:%Y-%m}", *named, *dollars, f"{counted:,}{star}")


def quarantine_markdown(
    month: date, quarantined: Sequence[tuple[str, str]], withheld: Sequence[tuple[str, str]], config: str
) -> str | None:
    """What did not count in a month, why, and the next steps; None where all of it did."""
    if not quarantined and not withheld:
        return None
    name = month_name(month)
    again = f"`tic-rates backfill --config {config} --from {name} --to {name}`"
    force = f"`tic-rates nightly --config {config} --month {name} --no-gates`"
    parts = [f"# Not published, {name}"]
    if quarantined:
        steps = (
            f"Next: do what the reason says (`tic-rates inspect SOURCE` shows more), then {again}: only these are read."
        )
        parts += [f"## {len(quarantined):,} source(s) quarantined", _table(("source", "reason"), quarantined), steps]
    if withheld:
        steps = f"Their last good figures stand. Next: look at `quality/`; if the new ones are right, {force}."
        parts += [f"## {len(withheld):,} payer(s) withheld", _table(("payer", "reason"), withheld), steps]
    return "\n\n".join(parts) + "\n"


def _table(header: Sequence[str], rows: Sequence[Iterable[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows[:MOST_SHOWN]]
    table = "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)
    more = len(rows) - MOST_SHOWN
    return f"{table}\n\n{more:,} more." if more > 0 else table


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
