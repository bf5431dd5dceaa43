"""100 million rate rows to summaries: ours beside the same steps as SQL in DuckDB, each in a process of its own.

    python -m tests.bench.summary [ROWS]

Ours: ``observe_providers`` over ranges of NPIs, then ``summarize``, as a run does after reading. DuckDB: the same
rates, representative rates, observations and cells. The figures of both are compared before times are told.
"""

import itertools
import json
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tests.peak_memory import peak_bytes

ROWS = 100_000_000
PAYERS = (
    "Aetna",
    "Blue Cross Blue Shield",
    "Cigna",
    "UnitedHealth Group",
    "Humana",
    "Kaiser Permanente",
    "Molina",
    "Centene",
    "Oscar",
    "Medica",
)
STATES = "AK AL AZ CA CO FL GA IL MA MI MN NC NJ NY OH OR PA TX VA WA".split()
TIERS = ("strict", "balanced", "other")
RATES_PER_NPI = 25
RANGE_ROWS = 2_000_000
MONTH = date(2025, 6, 1)
MEMORY = "8GiB"
SPILL = "30GiB"  # DuckDB filled 70 GB of disk in 8 GiB of memory, and everybody else's with it


def write_rates(folder: Path, rows: int) -> None:
    """One Parquet of eligible rate rows per payer, sorted by NPI as published; figures are invented."""
    per_payer = rows // len(PAYERS)
    for number, payer in enumerate(PAYERS):
        generator = np.random.default_rng(number)
        npis = np.sort(generator.choice(3_000_000, per_payer // RATES_PER_NPI, replace=False)) + 1_000_000_000
        npi = np.repeat(npis, RATES_PER_NPI)
        tin = generator.integers(0, 3, len(npi)) * 7 + npi // 40
        cents = np.round(np.clip(generator.normal(900, 250, len(npi)), 100, 5000)).astype(np.int64)
        frame = pl.DataFrame({"npi": npi, "tin": tin, "cents": cents}).with_columns(
            month=pl.lit(MONTH),
            payer=pl.lit(payer),
            billing_code=pl.when(pl.int_range(pl.len()) % 2 == 0).then(pl.lit("97026")).otherwise(pl.lit("97028")),
            billing_class=pl.lit("professional"),
            tin=pl.col("tin").cast(pl.String),
            state=(pl.col("npi") % len(STATES)).replace_strict(dict(enumerate(STATES)), return_dtype=pl.String),
            taxonomy_tier=(pl.col("npi") % 3).replace_strict(dict(enumerate(TIERS)), return_dtype=pl.String),
            negotiated_type=pl.when(pl.col("cents") % 5 == 0)
            .then(pl.lit("fee schedule"))
            .otherwise(pl.lit("negotiated")),
            negotiated_rate=pl.col("cents") / 100,
            exclusion=pl.lit(None, pl.String),
            source_ids=pl.concat_list(pl.lit(f"{number:064x}")),
        )
        frame.drop("cents").write_parquet(folder / f"{number}.parquet", row_group_size=250_000)


def ours(folder: Path) -> pl.DataFrame:
    """The pipeline's own functions."""
    from transforms.benchmark.rates import PLACES
    from transforms.benchmark.representative_rates import MedicareAmounts, list_files, observe_providers
    from transforms.benchmark.summarize import Comparison, Observed, summarize
    from transforms.cms.medicare import MedicareReference, medicare_year_for, national_amounts, price_localities

    month = MONTH
    reference = MedicareReference.packaged()
    codes = ("97026", "97028")
    national = national_amounts(reference, codes, month).select("billing_code", "amount_usd")
    local = pl.DataFrame(schema={"billing_code": pl.String, "locality": pl.String, "medicare_usd": pl.Float64})
    places, amounts = pl.DataFrame(schema=PLACES), MedicareAmounts(national, local)
    kept, files = folder / "observations", []
    kept.mkdir(exist_ok=True)
    for path in sorted(folder.glob("*.parquet")):
        bounds = pl.scan_parquet(path).select("npi").collect()["npi"]
        pieces = max(1, len(bounds) // RANGE_ROWS)
        cuts = [None, *sorted({bounds[len(bounds) * n // pieces] for n in range(1, pieces)}), None]
        frames = []
        for low, high in itertools.pairwise(cuts):
            in_range = [] if low is None else [pl.col("npi") >= low]
            in_range += [] if high is None else [pl.col("npi") < high]
            rates = pl.scan_parquet(path).filter(*in_range).collect()
            providers = observe_providers(rates, places, amounts)
            files.append(list_files(rates, providers))
            frames.append(providers)
        pl.concat(frames).write_parquet(kept / path.name)
    observed = Observed(pl.scan_parquet(kept / "*.parquet"), pl.concat(files).unique().lazy())
    medicare = Comparison(
        price_localities(reference, codes, month).select("billing_code", "state", "amount_usd"),
        medicare_year_for(reference, month),
    )
    return summarize(observed, month, medicare, with_nppes=True).filter(pl.col("payer_kind") != "benchmark")


PROVIDERS = """
WITH ranked AS (
    SELECT payer, billing_code, billing_class, tin, npi, state, taxonomy_tier, negotiated_rate AS rate,
        CASE negotiated_type WHEN 'negotiated' THEN 0 WHEN 'derived' THEN 1 ELSE 2 END AS rank
    FROM read_parquet('{files}') WHERE exclusion IS NULL
), typed AS (
    SELECT payer, billing_code, billing_class, tin, npi, rank, any_value(state) AS state,
        any_value(taxonomy_tier) AS tier, median(DISTINCT rate) AS rate, count(*) AS n
    FROM ranked GROUP BY ALL
), providers AS (
    SELECT payer, billing_code, billing_class, tin, npi, any_value(state) AS state, any_value(tier) AS tier,
        arg_min(rate, rank) AS rate, sum(n) AS n_rates
    FROM typed GROUP BY payer, billing_code, billing_class, tin, npi
), counted AS (
    SELECT p.* FROM providers p JOIN (VALUES ('97026', 6.79), ('97028', 8.09)) m(code, amount) ON billing_code = code
    WHERE rate BETWEEN amount * 0.1 AND amount * 10
)
"""
CELLS = """
pooled AS (
    SELECT * FROM observed
    UNION ALL SELECT * REPLACE ('All commercial' AS payer) FROM observed
    UNION ALL SELECT * REPLACE ('BUCA' AS payer) FROM observed
        WHERE payer IN ('Aetna', 'Blue Cross Blue Shield', 'Cigna', 'UnitedHealth Group')
)
SELECT payer, billing_code, billing_class, tier_shown AS taxonomy_tier, geography, weighting, avg(rate) AS mean_usd,
    min(rate) AS min_usd, quantile_cont(rate, 0.1) AS p10_usd, quantile_cont(rate, 0.25) AS p25_usd,
    quantile_cont(rate, 0.5) AS p50_usd, quantile_cont(rate, 0.75) AS p75_usd, quantile_cont(rate, 0.9) AS p90_usd,
    max(rate) AS max_usd
FROM pooled GROUP BY ALL
"""
AT_ONCE = f"""
{PROVIDERS}, tiered AS (
    SELECT *, 'all' AS tier_shown FROM counted
    UNION ALL SELECT *, 'balanced' FROM counted WHERE tier IN ('strict', 'balanced')
    UNION ALL SELECT *, 'strict' FROM counted WHERE tier = 'strict'
), placed AS (
    SELECT *, 'US' AS geography FROM tiered UNION ALL SELECT *, state FROM tiered
), observed AS (
    SELECT payer, billing_code, billing_class, tier_shown, geography, 'npi' AS weighting, median(rate) AS rate
    FROM placed GROUP BY payer, billing_code, billing_class, tier_shown, geography, npi
    UNION ALL
    SELECT payer, billing_code, billing_class, tier_shown, geography, 'tin', median(rate)
    FROM placed GROUP BY payer, billing_code, billing_class, tier_shown, geography, tin
), {CELLS}
"""
ONE_KIND = f"""
WITH observed AS (
    SELECT payer, billing_code, billing_class, '{{tier}}' AS tier_shown, {{geography}} AS geography,
        '{{holder}}' AS weighting, median(rate) AS rate
    FROM counted WHERE tier IN {{tiers}}
    GROUP BY payer, billing_code, billing_class, {{geography}}, {{holder}}
), {CELLS}
"""
TIERS_IN = {"strict": "('strict')", "balanced": "('strict', 'balanced')", "all": "('strict', 'balanced', 'other')"}


def _settings(folder: Path) -> str:
    return (
        f"SET temp_directory = '{folder}/spill'; SET memory_limit = '{MEMORY}'; SET max_temp_directory_size = '{SPILL}'"
    )


def duckdb_at_once(folder: Path) -> pl.DataFrame:
    """The same in SQL, without the counts: one statement."""
    import duckdb

    with duckdb.connect() as connection:
        connection.execute(_settings(folder))
        return pl.DataFrame(connection.execute(AT_ONCE.format(files=f"{folder}/*.parquet")).to_arrow_table())


def duckdb_in_stages(folder: Path) -> pl.DataFrame:
    """Likewise, as somebody would write it who knows that it is much: payer by payer, then each kind of cell."""
    import duckdb

    with duckdb.connect(folder / "stages.duckdb") as connection:
        connection.execute(_settings(folder))
        create = "CREATE TABLE counted AS"
        for path in sorted(folder.glob("*.parquet")):
            connection.execute(f"{create} {PROVIDERS.format(files=path)} SELECT * FROM counted")
            create = "INSERT INTO counted"
        found = []
        for tier, geography, holder in itertools.product(TIERS_IN, ("'US'", "state"), ("npi", "tin")):
            sql = ONE_KIND.format(tier=tier, tiers=TIERS_IN[tier], geography=geography, holder=holder)
            found.append(pl.DataFrame(connection.execute(sql).to_arrow_table()))
        return pl.concat(found)


ENGINES = {"ours": ours, "duckdb_at_once": duckdb_at_once, "duckdb_in_stages": duckdb_in_stages}


def measure(engine: str, folder: Path) -> dict[str, Any]:
    """Time and peak memory of one engine in a fresh process; ``error`` where it gave up."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.summary", "--engine", engine, str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = (line for line in done.stderr.splitlines() if "Error: " in line or "Exception: " in line)
        return {"error": next(said, f"ended by {done.returncode}")[:200]}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def run_engine(engine: str, folder: Path) -> None:
    started = time.perf_counter()
    found = ENGINES[engine](folder)
    seconds = time.perf_counter() - started
    found.write_parquet(folder / f"{engine}.result")
    print(json.dumps({"seconds": seconds, "rss_mib": peak_bytes() / 2**20, "cells": found.height}))


def differences(folder: Path, other: str) -> float:
    """The largest relative difference between both engines' figures; their cells must be the same."""
    key = ["payer", "billing_code", "billing_class", "taxonomy_tier", "geography", "weighting"]
    figures = ["mean_usd", "min_usd", "p10_usd", "p25_usd", "p50_usd", "p75_usd", "p90_usd", "max_usd"]
    mine, theirs = (pl.read_parquet(folder / f"{engine}.result") for engine in ("ours", other))
    both = mine.join(theirs, on=key, suffix="_there")
    assert both.height == mine.height == theirs.height, (both.height, mine.height, theirs.height)
    apart = [((pl.col(name) - pl.col(f"{name}_there")) / pl.col(name)).abs().max() for name in figures]
    return float(both.select(pl.max_horizontal(*apart)).item())


def main(rows: int) -> dict[str, Any]:
    """Every engine, interleaved nowhere: one run each, since a run takes minutes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_rates(folder, rows)
        found: dict[str, Any] = {"rows": rows}
        for engine in ENGINES:
            found[engine] = measure(engine, folder)
            print(engine, found[engine], file=sys.stderr, flush=True)
        others = [engine for engine in list(ENGINES)[1:] if "seconds" in found[engine]]
        if others:
            found["largest_difference"] = max(differences(folder, engine) for engine in others)
        return found


if __name__ == "__main__":
    if sys.argv[1:2] == ["--engine"]:
        run_engine(sys.argv[2], Path(sys.argv[3]))
    else:
        print(json.dumps(main(int(sys.argv[1]) if sys.argv[1:] else ROWS), indent=1))
