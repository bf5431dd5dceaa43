"""Evidence: which providers bill Medicare for a code, from a utilization file (CONTRACT 4, Evidence).

The file states services per NPI and code in a year. An NPI that is not in it has null evidence: organisations rarely
are, and providers with fewer than 11 Medicare patients for a code are left out of it. So null is no proof of anything.
"""

import datetime
from collections.abc import Iterable, Sequence

import polars as pl

from schemas.code_families import family_of
from schemas.codes import BILLED, NEITHER, RELATED
from transforms.benchmark.percentiles import count_values

EVIDENCE_COLUMNS = {"npi": pl.Int64, "billing_code": pl.String, "evidence": pl.String, "services": pl.Float64}
NO_EVIDENCE = pl.DataFrame(schema=EVIDENCE_COLUMNS)


def evidence_year(years: Iterable[int], month: datetime.date) -> int | None:
    """The year that counts for a month: its own, or the latest one loaded before it; None where there is none."""
    return max((year for year in years if year <= month.year), default=None)


def find_evidence(utilization: pl.LazyFrame, npis: pl.Series, billing_codes: Sequence[str]) -> pl.DataFrame:
    """One row per NPI of the file and code: npi, billing_code, evidence, services (null unless ``billed``).

    Args:
        utilization: ``schemas.reference.UTILIZATION`` of one year, with the codes' families.
        npis: the NPIs that are wanted.
    """
    wanted = pl.LazyFrame({"npi": npis}, schema={"npi": pl.Int64})
    own = utilization.select("npi", "services", code=pl.col("billing_code")).join(wanted, on="npi", how="semi")
    found = own.collect()
    return pl.concat([NO_EVIDENCE, *(_of_code(found, billing_code) for billing_code in billing_codes)])


def _of_code(own: pl.DataFrame, billing_code: str) -> pl.DataFrame:
    code = pl.col("code")
    is_billed, is_of_family = (code == billing_code).any(), family_of(billing_code).holds(code).any()
    return own.group_by("npi").agg(
        billing_code=pl.lit(billing_code),
        evidence=pl.when(is_billed)
        .then(pl.lit(BILLED))
        .when(is_of_family)
        .then(pl.lit(RELATED))
        .otherwise(pl.lit(NEITHER)),
        services=pl.col("services").filter(code == billing_code).first(),
    )


def times_counted(services: pl.Expr) -> pl.Expr:
    """How often a provider counts in weighting ``services``: its services, rounded half up, at least once."""
    return (services + 0.5).floor().clip(lower_bound=1).cast(pl.Int64)


def repeat_by_services(npis: pl.DataFrame, billed: pl.DataFrame) -> pl.DataFrame:
    """``count_values`` of the NPIs' observations, each as often as its services (``times_counted``).

    Args:
        npis: of ``summarize.observe_npis``.
        billed: the providers that have services.
    """
    services = billed.select("stratum_no", "npi", times=times_counted(pl.col("services"))).unique()
    repeated = npis.lazy().join(services.lazy(), on=["stratum_no", "npi"])
    return count_values(repeated, ["stratum_no"], pl.col("times"))
