"""The demo's known answers: every summaries cell, from the market's contracts alone, in plain Python.

Nothing here reads a file or calls the pipeline's transforms, so agreement with it is independent evidence.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from itertools import chain, product, repeat, starmap
from operator import attrgetter
from statistics import fmean, median
from typing import NamedTuple

import polars as pl

from schemas.codes import BUCA, COMPOSITE_ALL, COMPOSITE_BUCA, MEDICARE, PERCENTILES
from transforms.demo.market import LANTERN, Market
from transforms.demo.places import local_usd
from transforms.demo.prices import LAST_RULE, Price
from transforms.demo.providers import Member, Provider

COUNTS = ("n_npi", "n_tin")
LOCAL = "pct_of_local_medicare"
FIGURES = ("mean_usd", "min_usd", *(f"p{p}_usd" for p in PERCENTILES), "max_usd", LOCAL)
IN_NETWORKS = {LANTERN.payer: LANTERN.networks}  # payers whose every rate is of all of these networks
_CLOSE = 1e-9  # relative: allows another order of summation, not another rule


class Cell(NamedTuple):
    """One row of summaries, within a month."""

    billing_code: str
    billing_class: str
    payer: str
    geography: str
    taxonomy_tier: str
    weighting: str


class RowKind(NamedTuple):
    """Rate rows that share payer, code and exclusion; ``exclusion`` is empty for eligible rows."""

    payer: str
    billing_code: str
    exclusion: str


@dataclass(frozen=True)
class Answers:
    """What the pipeline must find in a month: counts and figures by cell, distinct rate rows by exclusion."""

    month: date
    cells: Mapping[Cell, Mapping[str, float]]
    rows: Mapping[RowKind, int]


@dataclass(frozen=True)
class CheckResult:
    """The number of comparisons, and a description of each difference."""

    cells: int
    wrong: tuple[str, ...]


class _Rate(NamedTuple):
    """A member's representative rate with one payer.

    times: by its services of the code, 0 where it billed none. percent: of Medicare's amount at its ZIP code.
    """

    payer: str
    tin: str
    npi: int
    usd: float
    times: int
    percent: float | None


def answer(market: Market) -> Answers:
    """The known answers of a market."""
    cells = {}
    for pool, rates in _pools(market).items():
        billed = [rate for rate in rates if rate.times]
        for weighting, counted in (("npi", rates), ("tin", rates), ("services", billed)):
            if counted:
                counts = {"n_npi": len({rate.npi for rate in counted}), "n_tin": len({rate.tin for rate in counted})}
                figures = _figures(_observations(counted, weighting))
                cells[Cell(*pool, weighting)] = counts | figures | _local(counted, weighting)
    return Answers(market.month, cells, Counter(_row_kinds(market)))


def check_answers(answers: Answers, summaries: pl.DataFrame) -> CheckResult:
    """Every cell of the answers' month, in both directions; Medicare's rows and other months are left alone."""
    grain = len(Cell._fields)
    found = summaries.filter(pl.col("month") == answers.month, pl.col("payer") != MEDICARE)
    published = {Cell(*row[:grain]): row[grain:] for row in found.select(*Cell._fields, *COUNTS, *FIGURES).rows()}
    wrong = [f"{found.height - len(published)} cells are published twice"] if len(published) < found.height else []
    for cell in sorted(answers.cells.keys() | published.keys()):
        wrong.extend(_differences(cell, answers.cells.get(cell), published.get(cell)))
    return CheckResult(len(answers.cells), tuple(wrong))


def check_networks(answers: Answers, network_summaries: pl.DataFrame) -> CheckResult:
    """The networks' cells of the payers of ``IN_NETWORKS``: those of the payer, weighted by NPI."""
    cells, wrong = 0, []
    for payer, networks in IN_NETWORKS.items():
        own = {cell: each for cell, each in answers.cells.items() if (cell.payer, cell.weighting) == (payer, "npi")}
        found = network_summaries.filter(pl.col("payer") == payer)
        for network, rows in ((name, found.filter(pl.col("network_name") == name)) for name in networks):
            checked = check_answers(Answers(answers.month, own, {}), rows)
            cells += checked.cells
            wrong += [f"{network}, {difference}" for difference in checked.wrong]
    return CheckResult(cells, tuple(wrong))


def check_rows(answers: Answers, rates: pl.DataFrame) -> CheckResult:
    """Distinct rate rows by payer, code and exclusion, of one month's ``rates``."""
    kinds = rates.select("payer", "billing_code", pl.col("exclusion").fill_null(""))
    found = Counter(RowKind(*row) for row in kinds.rows())
    wrong = [
        f"{kind.payer}, {kind.billing_code}, {kind.exclusion or 'eligible'}: "
        f"{found[kind]} rows published, {answers.rows.get(kind, 0)} expected"
        for kind in sorted(answers.rows.keys() | found.keys())
        if found[kind] != answers.rows.get(kind, 0)
    ]
    return CheckResult(len(answers.rows), tuple(wrong))


def _pools(market: Market) -> Mapping[tuple[str, str, str, str, str], list[_Rate]]:
    """Representative rates by (code, class, payer or composite, geography, tier)."""
    pools = defaultdict(list)
    for contract in market.contracts:
        code, payer = contract.billing_code, contract.payer
        payers = (payer, COMPOSITE_BUCA, COMPOSITE_ALL) if payer in BUCA else (payer, COMPOSITE_ALL)
        for member in () if contract.outlier else contract.members:
            provider = market.providers[member.npi]
            if not provider.exclusion:
                usd, times = contract.representative_cents / 100, _times(market, member.npi, code)
                medicare = local_usd(code, provider.zip5, market.month.year)
                percent = None if medicare is None else 100 * usd / medicare
                rate = _Rate(payer, member.tin.value, member.npi, usd, times, percent)
                tiers = (*provider.tiers(code), *(["billed"] if _has_evidence(market, member.npi) else []))
                for pool in product(payers, ("US", provider.state), tiers):
                    pools[code, contract.billing_class, *pool].append(rate)
    return pools


def _has_evidence(market: Market, npi: int) -> bool:
    """Whether the provider billed one of the codes or another one of their family."""
    return any("97010" <= code <= "97799" for code in market.services.get(npi, ()))


def _times(market: Market, npi: int, code: str) -> int:
    """The services of the code, rounded half up, at least 1; 0 for a provider that billed none."""
    services = market.services.get(npi, {}).get(code)
    return 0 if services is None else max(1, int(services + Decimal("0.5")))


def _observations(
    rates: list[_Rate], weighting: str, figure: Callable[[_Rate], float] = attrgetter("usd")
) -> list[float]:
    """The median figure of each provider or contract holder (``tin``) of each payer, sorted.

    Each once; for ``services``, each provider as often as it billed the code.
    """
    grouped, times = defaultdict(list), {}
    for rate in rates:
        who = rate.payer, rate.tin if weighting == "tin" else rate.npi
        grouped[who].append(figure(rate))
        times[who] = rate.times if weighting == "services" else 1
    counted = sorted((group[0] if len(group) == 1 else median(group), times[who]) for who, group in grouped.items())
    return list(chain.from_iterable(starmap(repeat, counted)))


def _local(rates: list[_Rate], weighting: str) -> dict[str, float]:
    """The median percent of Medicare's amount at the provider's ZIP code, but for weighting ``tin``."""
    located = [] if weighting == "tin" else [rate for rate in rates if rate.percent is not None]
    return {LOCAL: median(_observations(located, weighting, attrgetter("percent")))} if located else {}


def _figures(ordered: list[float]) -> dict[str, float]:
    percentiles = {f"p{p}_usd": _percentile(ordered, p) for p in PERCENTILES}
    return {"mean_usd": fmean(ordered), "min_usd": ordered[0], "max_usd": ordered[-1]} | percentiles


def _percentile(ordered: list[float], percent: int) -> float:
    """Hyndman and Fan's type 7: linear between order statistics."""
    below, hundredths = divmod((len(ordered) - 1) * percent, 100)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * hundredths / 100


def _row_kinds(market: Market) -> Iterator[RowKind]:
    """One for each distinct rate row, by CONTRACT's grain: an offer's prices times its members."""
    seen = set()
    for offer in market.offers:
        for price, member in product(offer.prices, (*offer.members, *([None] if offer.unresolved else []))):
            row = (offer.publisher, offer.billing_code, offer.billing_code_type, offer.arrangement, price, member)
            if row not in seen:
                seen.add(row)
                yield RowKind(offer.publisher.payer, offer.billing_code, _exclusion(price, member, market.providers))


def _exclusion(price: Price, member: Member | None, providers: Mapping[int, Provider]) -> str:
    """The first rule the row fails: those about prices come before those about providers, but for the last one."""
    if price.exclusion and price.exclusion != LAST_RULE:
        return price.exclusion
    of_provider = providers[member.npi].exclusion if member else "provider_unresolved"
    return of_provider or price.exclusion or ""


def _differences(
    cell: Cell, expected: Mapping[str, float] | None, published: tuple[float | None, ...] | None
) -> Iterator[str]:
    if expected is None or published is None:
        yield f"{', '.join(cell)}: {'missing' if published is None else 'published, not expected'}"
        return
    for name, value in zip((*COUNTS, *FIGURES), published, strict=True):
        known = expected.get(name)
        same = value is known if value is None or known is None else math.isclose(value, known, rel_tol=_CLOSE)
        if not same:
            yield f"{', '.join(cell)}: {name} is {value}, {known} expected"
