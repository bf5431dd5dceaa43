"""The plain reading, 4 of 4: representative rates, outliers, observations and their percentiles."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import product
from statistics import median
from typing import NamedTuple

import numpy as np

from tests.plain_evidence import NO_SERVICES, Services, plain_evidence, times
from tests.plain_localities import NO_LOCALITIES, PlainLocalities
from tests.plain_rates import DOLLARS, GEOGRAPHIES, PROFESSIONAL, PlainRate


class ProviderKey(NamedTuple):
    """The grain of ``providers``."""

    payer: str
    billing_code: str
    billing_class: str | None
    tin: str | None
    npi: int


@dataclass(frozen=True)
class PlainProvider:
    """One row of ``providers``, and the files behind it."""

    key: ProviderKey
    state: str | None
    zip5: str | None
    locality: str | None
    taxonomy_tier: str | None
    evidence: str | None
    services: float | None
    representative_rate_usd: float
    medicare_usd: float | None
    n_rates: int
    exclusion: str | None
    source_ids: frozenset[str]


def plain_providers(
    rates: Iterable[PlainRate],
    national_amount_by_code: Mapping[str, float],
    localities: PlainLocalities = NO_LOCALITIES,
    services: Services = NO_SERVICES,
) -> dict[ProviderKey, PlainProvider]:
    """The representative rate of each (payer, code, class, tin, npi) among the eligible rows."""
    eligible: dict[ProviderKey, list[PlainRate]] = defaultdict(list)
    for rate in rates:
        if rate.exclusion is None:
            eligible[_provider_key(rate)].append(rate)
    return {
        key: _provider(key, group, national_amount_by_code, localities, services) for key, group in eligible.items()
    }


def _provider_key(rate: PlainRate) -> ProviderKey:
    row = rate.row
    billing_class = "professional" if row.billing_class in PROFESSIONAL else row.billing_class
    return ProviderKey(rate.payer, row.billing_code, billing_class, row.tin, row.npi or 0)


def _provider(
    key: ProviderKey,
    group: list[PlainRate],
    national: Mapping[str, float],
    localities: PlainLocalities,
    services: Services,
) -> PlainProvider:
    evidence, billed = plain_evidence(services, key.npi, key.billing_code)
    locality = localities.by_zip.get(group[0].zip5 or "")
    best = min((rate.row.negotiated_type for rate in group), key=lambda kind: DOLLARS.index(kind or ""))
    representative = median({rate.row.negotiated_rate or 0.0 for rate in group if rate.row.negotiated_type == best})
    return PlainProvider(
        key=key,
        state=group[0].state,
        zip5=group[0].zip5,
        locality=locality,
        taxonomy_tier=group[0].taxonomy_tier,
        evidence=evidence,
        services=billed,
        representative_rate_usd=representative,
        medicare_usd=localities.usd(key.billing_code, locality),
        n_rates=len(group),
        exclusion="outlier" if is_outlier(representative, national.get(key.billing_code)) else None,
        source_ids=frozenset().union(*(rate.source_ids for rate in group)),
    )


def is_outlier(rate: float, national: float | None) -> bool:
    """Below 10% or above 1000% of the national amount, in decimals: 0.698 is exactly 10% of 6.98, hence none."""
    if national is None:
        return False
    amount = Decimal(repr(float(national)))
    return not amount / 10 <= Decimal(repr(rate)) <= amount * 10


BUCA = {"Aetna", "Blue Cross Blue Shield", "Cigna", "UnitedHealth Group"}
WEIGHTINGS = ("npi", "tin", "services")
TIERS: dict[str, set[str | None]] = {
    "strict": {"strict"},
    "balanced": {"strict", "balanced"},
    "all": {"strict", "balanced", "other", None},
    "billed": {"strict", "balanced", "other", None},  # with evidence
}


class SummaryKey(NamedTuple):
    """The grain of ``summaries`` within a month."""

    billing_code: str
    billing_class: str
    payer: str
    geography: str
    taxonomy_tier: str
    weighting: str


@dataclass(frozen=True)
class PlainSummary:
    """One row of ``summaries`` of a payer or a composite."""

    key: SummaryKey
    payer_kind: str
    n_npi: int
    n_tin: int
    n_rates: int
    n_files: int
    mean_usd: float
    min_usd: float
    p10_usd: float
    p25_usd: float
    p50_usd: float
    p75_usd: float
    p90_usd: float
    max_usd: float
    iqr_usd: float
    pct_of_medicare: float | None
    pct_of_local_medicare: float | None
    low_sample: bool


def plain_summaries(
    providers: Iterable[PlainProvider],
    medicare_p50: Mapping[tuple[str, str], float],
    with_nppes: bool = True,
) -> dict[SummaryKey, PlainSummary]:
    """Every payer's and composite's summaries; Medicare's own p50 comes by (code, geography).

    Without an NPPES reference there is no state row and no tier but ``all``.
    """
    counted = [provider for provider in providers if provider.exclusion is None]
    return {key: _summary(key, members, medicare_p50) for key, members in _cells(counted, with_nppes) if members}


def plain_network_summaries(
    rates: Iterable[PlainRate],
    national_amount_by_code: Mapping[str, float],
    medicare_p50: Mapping[tuple[str, str], float],
    localities: PlainLocalities = NO_LOCALITIES,
    with_nppes: bool = True,
    services: Services = NO_SERVICES,
) -> dict[tuple[str, SummaryKey], PlainSummary]:
    """By payer, and by ``SummaryKey`` with a network for its payer: each network's rates as if it were a payer."""
    by_payer: dict[str, list[PlainRate]] = defaultdict(list)
    for rate in rates:
        by_payer[rate.payer] += [replace(rate, payer=network) for network in rate.network_names]
    return {
        (payer, key): summary
        for payer, own in by_payer.items()
        for key, summary in plain_summaries(
            plain_providers(own, national_amount_by_code, localities, services).values(), medicare_p50, with_nppes
        ).items()
        if key.weighting == "npi" and summary.payer_kind == "payer"
    }


def _cells(counted: list[PlainProvider], with_nppes: bool) -> Iterator[tuple[SummaryKey, list[PlainProvider]]]:
    codes = sorted({provider.key.billing_code for provider in counted})
    payers = [*sorted({provider.key.payer for provider in counted}), "BUCA", "All commercial"]
    places = ["US", *sorted({provider.state or "" for provider in counted} & GEOGRAPHIES)] if with_nppes else ["US"]
    tiers = list(TIERS) if with_nppes else ["all"]
    for code, billing_class, payer in product(codes, ("institutional", "professional"), payers):
        pool = [p for p in counted if (p.key.billing_code, p.key.billing_class) == (code, billing_class)]
        pooled = [provider for provider in pool if _is_of(provider.key.payer, payer)]
        for geography, tier, weighting in product(places, tiers, WEIGHTINGS):
            members = [provider for provider in pooled if _is_member(provider, geography, tier, weighting)]
            yield SummaryKey(code, billing_class, payer, geography, tier, weighting), members


def _is_of(payer: str, payer_or_composite: str) -> bool:
    if payer_or_composite == "All commercial":
        return True
    return payer in BUCA if payer_or_composite == "BUCA" else payer == payer_or_composite


def _is_member(provider: PlainProvider, geography: str, tier: str, weighting: str) -> bool:
    """Without a TIN there is no contract holder, without services nothing to weigh by."""
    here = geography in ("US", provider.state) and provider.taxonomy_tier in TIERS[tier]
    has_evidence = tier != "billed" or provider.evidence in ("billed", "related")
    counts = {"npi": True, "tin": provider.key.tin is not None, "services": provider.services is not None}
    return here and has_evidence and counts[weighting]


def observations(members: Iterable[PlainProvider], weighting: str) -> list[float]:
    """``npi``: per payer and NPI the median over its TINs; ``tin``: per payer and TIN the median over its NPIs.

    ``services``: the ``npi`` values, each as often as the NPI's services.
    """
    values: dict[tuple[str, int | str | None], list[float]] = defaultdict(list)
    repeated: dict[tuple[str, int | str | None], int] = {}
    for member in members:
        who = member.key.payer, member.key.tin if weighting == "tin" else member.key.npi
        values[who].append(member.representative_rate_usd)
        repeated[who] = times(member.services) if weighting == "services" else 1
    return [value for who, group in values.items() for value in [median(group)] * repeated[who]]


def _local_percent(members: Sequence[PlainProvider], weighting: str) -> float | None:
    """The median over each payer's NPIs with a known locality of 100 x rate / Medicare's amount there."""
    if weighting == "tin":
        return None
    rates: dict[tuple[str, int], list[float]] = defaultdict(list)
    amounts: dict[tuple[str, int], float] = {}
    for member in members:
        if member.medicare_usd is not None:
            who = member.key.payer, member.key.npi
            rates[who].append(member.representative_rate_usd)
            amounts[who] = member.medicare_usd
    repeated = {(m.key.payer, m.key.npi): times(m.services) if weighting == "services" else 1 for m in members}
    percents = [
        percent for who, group in rates.items() for percent in [100 * median(group) / amounts[who]] * repeated[who]
    ]
    return median(percents) if percents else None


def _summary(
    key: SummaryKey, members: list[PlainProvider], medicare_p50: Mapping[tuple[str, str], float]
) -> PlainSummary:
    values = np.array(observations(members, key.weighting))
    p10, p25, p50, p75, p90 = (float(np.quantile(values, p, method="linear")) for p in (0.10, 0.25, 0.50, 0.75, 0.90))
    n_npi = len({member.key.npi for member in members})
    n_tin = len({member.key.tin for member in members} - {None})
    medicare = medicare_p50.get((key.billing_code, key.geography))
    return PlainSummary(
        key=key,
        payer_kind="composite" if key.payer in ("BUCA", "All commercial") else "payer",
        n_npi=n_npi,
        n_tin=n_tin,
        n_rates=sum(member.n_rates for member in members),
        n_files=len(frozenset().union(*(member.source_ids for member in members))),
        mean_usd=float(np.mean(values)),
        min_usd=float(np.min(values)),
        p10_usd=p10,
        p25_usd=p25,
        p50_usd=p50,
        p75_usd=p75,
        p90_usd=p90,
        max_usd=float(np.max(values)),
        iqr_usd=p75 - p25,
        pct_of_medicare=None if medicare is None else 100 * p50 / medicare,
        pct_of_local_medicare=_local_percent(members, key.weighting),
        low_sample=n_npi < 11 or n_tin < 3,
    )
