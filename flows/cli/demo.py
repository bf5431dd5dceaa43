"""The demo: a synthetic market written to disk, run as any other source, every cell checked against its own answers.

Its two editions of coverage rules are loaded into its own folder, apart from editions that are not made up. It ends
with one provider's page: of the providers whom most payers list, the one with the lowest NPI.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date

import polars as pl

from flows.cli.demo_files import DemoFiles, write_market
from flows.cli.options import Result
from flows.cli.show import print_result
from flows.download.open_source import expand
from flows.extract.worker_processes import WorkerProcesses
from flows.orchestration.month_report import MonthReport
from flows.orchestration.run import RunRequest
from flows.report.practice import compare_with_market
from flows.storage.layout import Layout
from flows.storage.object_sync import upload
from flows.storage.threads import Threads, wait_for_result
from flows.tables.coverage_editions import build_coverage, build_ncci
from flows.tables.utilization_lookup import build_utilization
from schemas.codes import DEFAULT_CODES
from transforms.benchmark.practice import Practice
from transforms.demo.answers import Answers, answer, check_answers, check_networks, check_rows
from transforms.demo.market import Market, make_market
from transforms.demo.rule_answers import check_rules
from transforms.errors import TicRatesError

MOST_SHOWN = 20


class WrongAnswerError(TicRatesError):
    """The pipeline's figures are not the market's: a bug."""


def run_demo(layout: Layout, month: date, run: Callable[[RunRequest], MonthReport]) -> Result:
    """Write the market under ``output/demo``, run it into ``output``, check every published cell.

    Raises:
        WrongAnswerError: a cell, a row count or a coverage rule differs from the known answer; names the first ones.
    """
    market = make_market(month)
    with _answers_beside(market) as answers:
        files = write_market(layout.root / "demo", market)
        result = _run_market(layout, month, files, run)
        return _check(layout, month, files, answers(), result)


@contextmanager
def _answers_beside(market: Market) -> Iterator[Callable[[], Answers]]:
    """The market's known answers, found by another process meanwhile: they see nothing of the run."""
    with Threads(1) as threads, WorkerProcesses(1) as processes:
        answers = threads.submit(processes.run, answer, market)
        yield lambda: wait_for_result(answers)


def _run_market(layout: Layout, month: date, files: DemoFiles, run: Callable[[RunRequest], MonthReport]) -> MonthReport:
    """A run of the market's files, as of any others."""
    upload(layout, *files.sources, files.nppes, *files.utilization)
    reference = layout.root / "demo" / "reference"
    coverage = reference / f"coverage-{month:%Y-%m}"
    for edition in files.editions:
        upload(layout, *edition.coverage, *edition.ncci)
        build_coverage(edition.coverage, coverage, DEFAULT_CODES)
        build_ncci(edition.ncci, coverage, DEFAULT_CODES)
    utilization = reference / "utilization"
    build_utilization(files.utilization, utilization, DEFAULT_CODES)
    sources = expand(layout.name_of(path) for path in files.sources)
    nppes = layout.name_of(files.nppes) if layout.store else files.nppes
    request = RunRequest(
        sources, month, DEFAULT_CODES, layout.location, nppes, utilization=utilization, coverage=coverage
    )
    return run(request)


def _check(layout: Layout, month: date, files: DemoFiles, answers: Answers, result: MonthReport) -> Result:
    """Every published cell, row count and rule against the known answers; then a practice's page."""
    summaries = pl.read_parquet(layout.month("summaries", month) / "summaries.parquet")
    by_network = pl.read_parquet(layout.month("network_summaries", month) / "network_summaries.parquet")
    rates = pl.read_parquet(layout.month("rates", month) / "*" / "*.parquet")
    cells = check_answers(answers, summaries)
    rows = check_rows(answers, rates)
    networks = check_networks(answers, by_network)
    rules = check_rules(month, pl.read_parquet(layout.month("coverage", month) / "coverage.parquet"))
    wrong = (*cells.wrong, *networks.wrong, *rows.wrong, *rules.wrong)
    n_cells = cells.cells + networks.cells
    if wrong:
        shown = "\n  ".join(wrong[:MOST_SHOWN])
        raise WrongAnswerError(f"{len(wrong)} of {n_cells + rows.cells + rules.cells} known answers differ:\n  {shown}")
    practice = compare_with_market(layout, _choose_practice(layout, month), month, files.volumes)
    counts = {"cells_checked": n_cells, "row_counts_checked": rows.cells, "rules_checked": rules.cells}
    checked = counts | {"wrong": 0, "practice": practice["page"]}

    def show() -> None:
        print_result(result)
        print(f"Practice: {practice['page']}")
        checked_all = f"{n_cells:,} summary cells, {rows.cells:,} row counts and {rules.cells:,} coverage rules"
        print(f"All {checked_all} are the market's known answers.")

    return Result(result.as_json() | checked, show, result.exit_code)


def _choose_practice(layout: Layout, month: date) -> Practice:
    providers = pl.read_parquet(layout.month("providers", month) / "providers.parquet")
    listed = providers.filter(pl.col("exclusion").is_null(), pl.col("taxonomy_tier") == "strict")
    payers = listed.group_by("npi").agg(pl.col("payer").n_unique()).sort("payer", -pl.col("npi"))
    return Practice((payers["npi"][-1],))
