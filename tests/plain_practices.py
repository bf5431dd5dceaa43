"""The plain reading of a practice: its rates and their places in the market, from rows of ``rates``."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from tests.plain_benchmarks import is_outlier
from tests.plain_rates import DOLLARS, GEOGRAPHIES, PROFESSIONAL

Row = Mapping[str, Any]
Key = tuple[Any, ...]  # payer, code, class, geography, level, npi, tin, network_name
RULES = (
    *("arrangement", "not_dollars", "bad_rate", "modifier", "place_of_service", "expired", "provider_unresolved"),
    *("no_npi", "npi_invalid", "npi_unknown", "npi_deactivated", "outside_us", "billing_class"),
)


@dataclass(frozen=True)
class PlainStanding:
    """One row of ``practices`` in one tier."""

    status: str
    exclusions: list[str]
    n_rates: int
    n_rates_excluded: int
    n_npi: int
    own_rate_usd: float | None = None
    medicare_usd: float | None = None
    rank: int | None = None
    percentile: float | None = None
    n_market: int = 0
    p25_usd: float | None = None
    p50_usd: float | None = None
    p75_usd: float | None = None


@dataclass
class PlainMarket:
    """A month: its rate rows, the fees to compare with, and the observations of every market."""

    rates: Sequence[Row]
    national: Mapping[str, float]
    local: Mapping[tuple[int, str], float | None]  # by NPI and code
    members: Set[tuple[int, str]]  # NPIs and codes of the tier

    def __post_init__(self) -> None:
        by_npi: dict[Key, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
        for (cell, npi, _), rate in representatives(self.rates).items():
            if not is_outlier(rate, self.national.get(cell[1])):
                for place in {cell[3], "US"}:
                    by_npi[*cell[:3], place][npi].append(rate)
        self.markets = {
            cell: [median(rates) for npi, rates in found.items() if (npi, cell[1]) in self.members]
            for cell, found in by_npi.items()
        }
        self.rows_of: dict[int | None, list[Row]] = defaultdict(list)
        for row in self.rates:
            self.rows_of[row["npi"]].append(row)
        self.offered: dict[tuple[str, str], str] = {}
        for payer, code, billing_class, _ in sorted(by_npi):
            self.offered[payer, code] = billing_class  # professional comes last

    def standings(self, npis: Iterable[int], tins: Sequence[str] = ()) -> dict[Key, PlainStanding]:
        """All rows of one practice."""
        rows = [row for npi in npis for row in self.rows_of[npi] if not tins or row["tin"] in tins]
        groups: dict[Key, list[Row]] = defaultdict(list)
        for row in rows:
            cell = cell_of(row)
            groups[*cell, "practice", None, None, None].append(row)
            groups[*cell, "npi", row["npi"], None, None].append(row)
            groups[*cell, "tin", None, row["tin"], None].append(row)
            for network in row["network_names"]:
                groups[*cell, "network", None, row["tin"], network].append(row)
        found = {key: self._standing(key[:4], group) for key, group in groups.items()}
        counting = {key[3] for key, standing in found.items() if standing.status != "excluded"}
        states = counting or {key[3] for key in found}
        for (payer, code), billing_class in self.offered.items():
            for state in states - {"US"} or states:
                if not any((key[0], key[1], key[3]) == (payer, code, state) for key in found):
                    market = self._figures((payer, code, billing_class, state))
                    key = (payer, code, billing_class, state, "practice", None, None, None)
                    found[key] = PlainStanding("absent", [], 0, 0, 0, **market)
        return found

    def _standing(self, cell: Key, rows: list[Row]) -> PlainStanding:
        counts: dict[str, Any] = {
            "exclusions": sorted({row["exclusion"] for row in rows} - {None}, key=RULES.index),
            "n_rates": sum(row["exclusion"] is None for row in rows),
            "n_rates_excluded": sum(row["exclusion"] is not None for row in rows),
        }
        rates = [(npi, rate) for (_, npi, _), rate in representatives(rows).items()]
        counted = [(npi, rate) for npi, rate in rates if not is_outlier(rate, self.national.get(cell[1]))]
        market = self._figures(cell)
        if not rates:
            return PlainStanding(
                "excluded", n_npi=len({row["npi"] for row in rows} - {None, 0, -1}), **counts, **market
            )
        by_npi: dict[int, list[float]] = defaultdict(list)
        for npi, rate in counted or rates:
            by_npi[npi].append(rate)
        own = median(map(median, by_npi.values()))
        fees = [fee for npi in by_npi if (fee := self.local[npi, cell[1]]) is not None]
        more: dict[str, Any] = {
            "n_npi": len(by_npi),
            "own_rate_usd": own,
            "medicare_usd": median(fees) if fees else None,
        }
        observed = self.markets.get(cell, []) if counted else []
        if observed:
            more["rank"] = 1 + sum(value > own for value in observed)
            below, equal = sum(value < own for value in observed), sum(value == own for value in observed)
            more["percentile"] = 100 * (below + equal / 2) / len(observed)
        return PlainStanding("rated" if counted else "outlier", **counts, **more, **market)

    def _figures(self, cell: Key) -> dict[str, Any]:
        observed = self.markets.get(cell, [])
        if not observed:
            return {}
        quartiles = (float(np.quantile(observed, p / 100)) for p in (25, 50, 75))
        return {"n_market": len(observed), **dict(zip(("p25_usd", "p50_usd", "p75_usd"), quartiles, strict=True))}


def cell_of(row: Row) -> Key:
    """payer, code, class, geography."""
    billing_class = "professional" if row["billing_class"] in PROFESSIONAL else row["billing_class"]
    return row["payer"], row["billing_code"], billing_class, row["state"] if row["state"] in GEOGRAPHIES else "US"


def representatives(rows: Iterable[Row]) -> dict[tuple[Key, int, str | None], float]:
    """The representative rate of each cell, NPI and TIN."""
    groups: dict[tuple[Key, int, str | None], list[Row]] = defaultdict(list)
    for row in rows:
        if row["exclusion"] is None:
            groups[cell_of(row), row["npi"], row["tin"]].append(row)
    found = {}
    for key, group in groups.items():
        best = min((row["negotiated_type"] for row in group), key=DOLLARS.index)
        found[key] = median({row["negotiated_rate"] for row in group if row["negotiated_type"] == best})
    return found
