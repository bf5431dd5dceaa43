"""A practice's published rows as its page shows them, and the csv of its own volumes.

Figures are rounded once, and sentences computed from what is shown.
"""

import csv
import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import polars as pl

from schemas.codes import EXCLUSIONS
from schemas.geographies import NATIONAL
from schemas.practices import VOLUMES
from transforms.report.figures import dollars, show_name, to_cents, to_tenth, usd
from transforms.report.sentences import Insight, join_names, make_insight

BENCHMARKS = ("p25", "p50", "p75", "medicare")
_ZERO = Decimal(0)
_NEEDED = ("billing_code", "units")
Place = tuple[str, str, str | None]  # billing code, geography, class
_MEANING = {rule.name: rule.meaning for rule in EXCLUSIONS}
_SAME = ("billing_code", "billing_class", "geography", "status", "n_npi", "rank", "n_market", "low_sample", "tin")


@dataclass(frozen=True)
class Gap:
    """Own rate less a benchmark, in dollars a service, in percent of it, and in dollars a year."""

    usd: Decimal
    percent: Decimal | None
    yearly: Decimal | None

    @property
    def text(self) -> str:
        """``-0.51 (-8.2%)``; ``0.00`` where it rounds to nothing."""
        return signed(self.usd) + (f" ({signed(self.percent)}%)" if self.usd and self.percent is not None else "")

    @property
    def yearly_text(self) -> str:
        """``-612.00``; nothing without units."""
        return "" if self.yearly is None else signed(self.yearly)


@dataclass(frozen=True)
class Standing:
    """One row of ``practices`` as shown: US dollars to the cent, percents to a tenth."""

    payer: str  # as shown
    network: str
    business_name: str
    locality: str
    exclusions: tuple[str, ...]
    billing_code: str
    billing_class: str | None
    geography: str
    status: str
    n_npi: int
    rank: int | None
    n_market: int
    low_sample: bool | None
    tin: str | None
    own: Decimal | None
    p25: Decimal | None
    p50: Decimal | None
    p75: Decimal | None
    medicare: Decimal | None
    percentile: Decimal | None
    units: Decimal | None
    gaps: Mapping[str, Gap | None]

    @property
    def amounts(self) -> list[Decimal]:
        """What a drawing of the row has to hold."""
        return [each for each in (self.own, self.p25, self.p50, self.p75, self.medicare) if each is not None]

    @property
    def place(self) -> Place:
        """Rows of one place are one table."""
        return self.billing_code, self.geography, self.billing_class


def make_standing(row: Mapping[str, Any]) -> Standing:
    """A row of ``schemas.PRACTICES`` as shown."""
    amounts: dict[str, Any] = {name: _cents(row[f"{name}_usd"]) for name in BENCHMARKS}
    return Standing(
        payer=show_name(row["payer"]),
        network=show_name(row["network_name"]) if row["network_name"] else "",
        business_name=show_name(row["business_name"]) if row["business_name"] else "",
        locality=row["locality"] or "",
        exclusions=tuple(row["exclusions"]),
        own=_cents(row["own_rate_usd"]),
        percentile=None if row["percentile"] is None else to_tenth(row["percentile"]),
        units=None if row["yearly_units"] is None else to_cents(row["yearly_units"]).normalize(),
        gaps={name: _gap(row, name) for name in BENCHMARKS},
        **amounts,
        **{name: row[name] for name in _SAME},
    )


def _cents(value: float | None) -> Decimal | None:
    return None if value is None else to_cents(value) + 0  # a zero without a sign


def _gap(row: Mapping[str, Any], name: str) -> Gap | None:
    amount, percent = _cents(row[f"gap_{name}_usd"]), row[f"gap_{name}_pct"]
    if amount is None:
        return None
    return Gap(amount, None if percent is None else to_tenth(percent) + 0, _cents(row[f"gap_{name}_yearly_usd"]))


def signed(amount: Decimal) -> str:
    """``+1,234.50``, with a sign unless it is zero."""
    return f"{amount:+,}" if amount else f"{amount:,}"


def explain(standing: Standing) -> str:
    """Why a practice is not in the comparison."""
    if standing.status == "absent":
        return "absent: the payer publishes the code, and none of its rows names the practice"
    if standing.status == "outlier":
        return f"outlier: ${usd(standing.own or _ZERO)} is below 10% or above 1000% of Medicare's national amount"
    return "excluded: " + "; ".join(f"{rule} ({_MEANING[rule]})" for rule in standing.exclusions)


def merge_networks(parts: Sequence[Standing]) -> list[tuple[Standing, list[str]]]:
    """The rates by contract holder, and with each the networks that have it; a network with another has its own line.

    Args: parts: rows of levels ``tin`` and ``network``, ``rated``.
    """
    whole = {(each.payer, each.place, each.tin): each for each in parts if not each.network}
    lines: dict[tuple[str, Place, str, Decimal | None], tuple[Standing, list[str]]] = {
        (*key[:2], key[2] or "", each.own): (each, []) for key, each in whole.items()
    }
    for each in sorted(parts, key=lambda each: each.network):
        if each.network:
            lines.setdefault((each.payer, each.place, each.tin or "", each.own), (each, []))[1].append(each.network)
    return [lines[key] for key in sorted(lines, key=lambda key: (key[1][:2], key[0], key[2], key[3] or _ZERO))]


def find_unrated(standings: Sequence[Standing]) -> dict[str, list[str]]:
    """Payers and codes that have no rate of the practice in any class, by the reason: ``Cigna (97026, 97028)``.

    With its state, where the practice has several. NPIs without a state count where no NPI has one.
    """
    rated = {(each.payer, *each.place[:2]) for each in standings if each.status == "rated"}
    states = {each.geography for each in standings} - {NATIONAL} or {NATIONAL}
    codes: dict[str, dict[str, list[str]]] = {}
    for each in standings:
        if each.geography in states and (each.payer, *each.place[:2]) not in rated:
            code = each.billing_code if len(states) == 1 else f"{each.billing_code} {each.geography}"
            found = codes.setdefault(explain(each), {}).setdefault(each.payer, [])
            found += [] if code in found else [code]
    return {why: [f"{payer} ({join_names(each)})" for payer, each in by.items()] for why, by in codes.items()}


def describe_place(rows: Sequence[Standing]) -> list[Insight]:
    """The sentences about the rates of one place, as shown.

    Args: rows: of one place, ``rated``.
    """
    known = [each for each in rows if each.p50 is not None]
    parts = (_against_median, _furthest, _against_medicare, _yearly) if known else ()
    return [
        make_insight(kind, [each.payer for each in subjects], (), text)
        for part in parts
        for kind, subjects, text in part(known)
    ]


Sentence = tuple[str, Sequence[Standing], str]  # kind, whom it names, text without full stop


def _against_median(rows: Sequence[Standing]) -> Iterator[Sentence]:
    if len(rows) == 1:
        yield "median", rows, f"{rows[0].payer} pays {_phrase(rows[0])}"
        return
    sides = Counter(_side(_gap_of(each, "p50")) for each in rows)
    words = ((-1, "below"), (0, "equal to"), (1, "above"))
    counts = join_names([f"{word} the median of {sides[side]}" for side, word in words if sides[side]])
    yield "median", rows, f"The rate is {counts} of {len(rows)} payers"


def _furthest(rows: Sequence[Standing]) -> Iterator[Sentence]:
    """The payer whose rate is furthest below its median, and the one furthest above; one, where several are equal."""
    for kind, choose, side in (("below", min, -1), ("above", max, 1)):
        row = choose(rows, key=lambda each: _gap_of(each, "p50"))
        if len(rows) > 1 and _side(_gap_of(row, "p50")) == side:
            yield kind, [row], f"Furthest {kind} the median is {row.payer}, which pays {_phrase(row)}"


def _against_medicare(rows: Sequence[Standing]) -> Iterator[Sentence]:
    known = [each for each in rows if each.gaps["medicare"] is not None]
    below = [each for each in known if _gap_of(each, "medicare") < 0]
    amounts = {each.medicare for each in known}
    what = f"Medicare's {dollars(amounts.pop() or _ZERO)} at its locality" if len(amounts) == 1 else "Medicare"
    if known and len(below) in (0, len(known)):
        yield "medicare", below, f"{'Every' if below else 'No'} payer pays less than {what}"
    elif known:
        names = join_names([each.payer for each in below])
        yield "medicare", below, f"{len(below)} of {len(known)} payers pay less than {what}: {names}"


def _yearly(rows: Sequence[Standing]) -> Iterator[Sentence]:
    gaps = ((each, gap.yearly) for each in rows if (gap := each.gaps["p50"]) is not None)
    losses = [(-yearly, each) for each, yearly in gaps if yearly is not None and yearly < 0]
    if losses:
        loss, row = max(losses, key=lambda each: each[0])
        what = f"the gap to the median of {row.payer} is {dollars(loss)} a year"
        yield "yearly", [row], f"At {row.units:,f} units a year, {what}"


def _side(amount: Decimal) -> int:
    return (amount > 0) - (amount < 0)


def _gap_of(row: Standing, benchmark: str) -> Decimal:
    gap = row.gaps[benchmark]
    return gap.usd if gap else _ZERO


def _phrase(row: Standing) -> str:
    """``$5.70: $0.51 (8.2%) below its median of $6.21, percentile 3.6 of 14 providers``."""
    gap = row.gaps["p50"]
    assert gap is not None and row.p50 is not None and row.own is not None
    share = "" if gap.percent is None else f" ({abs(gap.percent)}%)"
    where = f"{dollars(abs(gap.usd))}{share} {'below' if gap.usd < 0 else 'above'}" if gap.usd else "equal to"
    providers = f"{row.n_market:,} provider{'' if row.n_market == 1 else 's'}"
    return f"{dollars(row.own)}: {where} its median of {dollars(row.p50)}, percentile {row.percentile} of {providers}"


def read_volumes(
    lines: Iterable[str], npis: Collection[int], codes: Collection[str], payers: Collection[str]
) -> tuple[pl.DataFrame, int]:
    """``schemas.VOLUMES``, lines with one grain added up; and how many lines are of other codes, and left out.

    Args:
        lines: of the csv, the heading first.
        npis, codes, payers: those that a line may name.

    Raises:
        ValueError: a column is missing, or a line is wrong; names it and says what is expected.
    """
    reader = csv.DictReader(lines, skipinitialspace=True)
    reader.fieldnames = [name.strip().lower() for name in reader.fieldnames or ()]
    if missing := [name for name in _NEEDED if name not in reader.fieldnames]:
        found = ", ".join(reader.fieldnames) or "none"
        raise ValueError(f"column {', '.join(missing)} is missing; found: {found}; expected: npi, billing_code, units")
    rows, others = [], 0
    for row in reader:
        values = {name: (row.get(name) or "").strip() for name in ("payer", "npi", *_NEEDED)}
        if not any(values.values()):
            continue
        where = f"line {reader.line_num}"
        if values["billing_code"].upper() not in codes:
            others += 1
            continue
        rows.append(
            (
                _one_of(values["payer"], payers, f"{where}: payer"),
                _npi(values["npi"], npis, where),
                values["billing_code"].upper(),
                _units(values["units"], where),
            )
        )
    if not rows:
        raise ValueError(f"no line has one of the published codes {', '.join(sorted(codes))}; {others} have others")
    frame = pl.DataFrame(rows, schema=VOLUMES.polars, orient="row")
    return frame.group_by(VOLUMES.grain).agg(pl.col("units").sum()).select(VOLUMES.names).sort(VOLUMES.grain), others


def _one_of(text: str, known: Collection[str], where: str) -> str | None:
    if text and text not in known:
        raise ValueError(f"{where} {text!r} is not in the tables; there are: {', '.join(sorted(known))}")
    return text or None


def _npi(text: str, npis: Collection[int], where: str) -> int | None:
    if not text:
        return None
    if not text.isdecimal() or int(text) not in npis:
        raise ValueError(f"{where}: npi {text!r} is not of the practice; name it with --npi, or leave the line out")
    return int(text)


def _units(text: str, where: str) -> float:
    try:
        units = float(text.replace(",", ""))
    except ValueError:
        units = math.nan
    if not 0 <= units < math.inf:
        raise ValueError(f"{where}: units {text!r} is not a number of zero or more")
    return units
