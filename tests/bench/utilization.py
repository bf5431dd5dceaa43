"""A year of Medicare's services as large as CMS's (10 million rows, 3 GB of csv) to the utilization lookup.

    python -m tests.bench.utilization [ROWS]

The building runs in a process of its own. Promised: at most 2 minutes and 1 GiB.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import polars as pl

from tests.peak_memory import peak_bytes

ROWS = 10_000_000
NAME = "MUP_PHY_R25_P05_V20_D23_Prov_Svc.csv"
ROWS_OF_AN_NPI = 8  # as in CMS's file: 1.2 million NPIs
IN_THE_FAMILY = 20  # one row in so many
PIECE = 400_000


def write_services(path: Path, rows: int) -> None:
    """The file in CMS's layout: all its columns, some 300 bytes a row, sorted by NPI."""
    with path.open("wb") as file:
        for first in range(0, rows, PIECE):
            piece(first, min(PIECE, rows - first)).write_csv(file, include_header=first == 0)


def piece(first: int, size: int) -> pl.DataFrame:
    """So many rows, from a row number on."""
    row = pl.int_range(first, first + size)
    number = row // ROWS_OF_AN_NPI
    code = pl.when(row % IN_THE_FAMILY == 0).then(97010 + row // IN_THE_FAMILY * 7 % 790).otherwise(99202 + row % 500)
    name, street = pl.lit("Synthetic, Example-Provider"), pl.lit("1200 Example Boulevard, Suite 300")
    return pl.select(
        Rndrng_NPI=1_000_000_000 + number * 37,
        Rndrng_Prvdr_Last_Org_Name=name,
        Rndrng_Prvdr_First_Name=pl.lit("Synthia"),
        Rndrng_Prvdr_MI=pl.lit("A"),
        Rndrng_Prvdr_Crdntls=pl.lit("D.P.T."),
        Rndrng_Prvdr_Ent_Cd=pl.lit("I"),
        Rndrng_Prvdr_St1=street,
        Rndrng_Prvdr_St2=pl.lit(""),
        Rndrng_Prvdr_City=pl.lit("San Francisco"),
        Rndrng_Prvdr_State_Abrvtn=pl.lit("CA"),
        Rndrng_Prvdr_State_FIPS=pl.lit("06"),
        Rndrng_Prvdr_Zip5=pl.lit("94110"),
        Rndrng_Prvdr_RUCA=pl.lit("1"),
        Rndrng_Prvdr_RUCA_Desc=pl.lit("Metropolitan area core"),
        Rndrng_Prvdr_Cntry=pl.lit("US"),
        Rndrng_Prvdr_Type=pl.lit("Physical Therapist in Private Practice"),
        Rndrng_Prvdr_Mdcr_Prtcptg_Ind=pl.lit("Y"),
        HCPCS_Cd=code,
        HCPCS_Desc=pl.lit("Some service, described by the code set at some length"),
        HCPCS_Drug_Ind=pl.lit("N"),
        Place_Of_Srvc=pl.when(row % 3 == 0).then(pl.lit("F")).otherwise(pl.lit("O")),
        Tot_Benes=11 + row % 100,
        Tot_Srvcs=(11 + row % 997) / 2,
        Tot_Bene_Day_Srvcs=11 + row % 300,
        Avg_Sbmtd_Chrg=(40 + row % 700 / 7).round(2),
        Avg_Mdcr_Alowd_Amt=(20 + row % 700 / 9).round(2),
        Avg_Mdcr_Pymt_Amt=(15 + row % 700 / 11).round(2),
        Avg_Mdcr_Stdzd_Amt=(15 + row % 700 / 13).round(2),
    )


def main(path: str) -> None:
    """Build the lookup and print its figures and this process's peak memory."""
    from flows.tables.utilization_lookup import build_utilization

    found = build_utilization([Path(path)], Path(path).parent / "utilization", ["97026", "97028"])
    print(json.dumps(found | {"mib": peak_bytes() / 2**20, "cpu": time.process_time()}))


def build_lookup(rows: int) -> str:
    """A sentence on a generated file of so many rows."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / NAME
        write_services(path, rows)
        command = [sys.executable, "-m", "tests.bench.utilization", str(path)]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    megabytes = found["bytes"] / 1e6
    return (
        f"Utilization: {rows:,} rows, {megabytes:,.0f} MB of csv, in {found['seconds']:.1f} s "
        f"({found['cpu']:.1f} of CPU): {megabytes / found['seconds']:,.0f} MB/s, {found['mib']:,.0f} MiB at most."
    )


if __name__ == "__main__":
    words = sys.argv[1:] or [str(ROWS)]
    if words[0].isdecimal():
        print(build_lookup(int(words[0])))
    else:
        main(words[0])
