"""What an operator does next, for each thing that needs attention: one text for `status`, events and messages."""

from pathlib import Path

STEPS = {
    "published": "nothing to do",
    "failed": "do what the reason says, then run {repeat}; the last good tables stand",
    "crashed": "read the run's log, then run {repeat}: what was read is kept",
    "interrupted": "run {repeat}: it resumes",
    "withheld": (
        "compare the payer's rows in `quality/` and `rates/` with the month before; if the new figures are right, run "
        "{accept}; if a file can't be read, correct its source"
    ),
    "late": (
        "look at the address in the reason on the payer's page; correct it in {config}, or raise `expect_by_day` under "
        "[nightly]; each night asks again"
    ),
    "awaited": "nothing to do: each night asks again",
    "stale": "look for newer files on the payer's page, and correct its addresses in {config}",
    "quarantined": "do what the reason says (`tic-rates inspect SOURCE` shows more), then run {repeat}",
    "references": "run {repeat} later: the host of the provider references failed",
    "delta": "do what the reason says; {repeat} repeats the commit",
    "coverage": "do what the reason says; the next night fetches the file again",
    "changed": "read `coverage` of the month; `tic-rates reference coverage --changes` lists all changes",
    "unpublished": "run `tic-rates nightly` or `tic-rates run` with this --output",
}


def next_step(what: str, month: str, config: Path | str | None = None) -> str:
    """The next step, with the commands for a month of a configuration, or of a run of named sources."""
    if config is None:
        repeat = accept = "the same command again"
    else:
        repeat = f"`tic-rates nightly --config {config} --month {month}`"
        accept = f"`tic-rates nightly --config {config} --month {month} --no-gates`"
    return STEPS[what].format(repeat=repeat, accept=accept, config=config or "the configuration")
