"""The command that removes what is not needed any more: prune. It imports what it uses when it runs."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import click

from flows.cli.options import POSITIVE, Result, command, output_option


@command("prune", example="prune --keep-months 24 --cache-days 90 --dry-run")
@click.option(
    "--keep-months",
    type=POSITIVE,
    metavar="N",
    help="Keep the newest N published months, remove the others (default: keep all).",
)
@click.option(
    "--cache-days",
    type=POSITIVE,
    metavar="D",
    help="Remove cache entries that no run used for D days (default: keep all).",
)
@click.option("--dry-run", is_flag=True, help="Change nothing; say what would go, and how many bytes.")
@output_option
def prune_command(*, keep_months: int | None, cache_days: int | None, dry_run: bool, output: Path | str) -> Result:
    """Remove published months beyond a number, unused cache entries, and leftovers of killed runs.

    Without --keep-months no month goes, without --cache-days no cache entry; only leftovers of killed runs do. A month
    goes with its tables, practices, pages and manifest entry; the report and datapackage.json are then rebuilt.

    Never removed: the newest published month; a month with the last rows of a payer that is withheld or awaited in a
    month that stays; reference data; Delta tables. Give at least [nightly] months_back + 1 months, because a night
    publishes those again. Refused (exit code 2) while a run uses the output or its cache.
    """
    from flows.operations.prune import prune
    from flows.storage.layout import Layout

    found = prune(Layout.at(output), keep_months, cache_days, dry_run=dry_run)
    return Result(found, partial(_print_pruned, found))


def _print_pruned(found: Mapping[str, Any]) -> None:
    """What went by kind, the months that stay and go, and what is never removed."""
    goes = "would go" if found["dry_run"] else "removed"
    for kind, counts in found["kinds"].items():
        if counts["entries"]:
            print(f"{kind.replace('_', ' '):<18}{counts['entries']:>7,} {goes}{counts['bytes']:>18,} bytes")
    print(f"{'in all':<18}{'':>7} {goes}{found['bytes']:>18,} bytes")
    for name, months in (("Months that stay", found["months_kept"]), (f"Months {goes}", found["months_removed"])):
        print(f"{name}: {', '.join(months) or 'none'}")
    for month, why in found["months_needed"].items():
        print(f"{month} stays beyond --keep-months: it has {why}")
    for name, why in found["untouched"].items():
        print(f"Untouched: {name} ({why})")
    if found["report"]:
        print(f"Report: {found['report']}")
    if found["keep_months"] is None and found["cache_days"] is None:
        print("Only leftovers of killed runs were looked for: --keep-months N and --cache-days D ask for more")
