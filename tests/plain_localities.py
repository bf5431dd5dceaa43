"""The plain reading of Medicare's localities: CMS's ZIP to locality file and the localities' amounts, row by row."""

import csv
import gzip
import io
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from importlib import resources


@dataclass(frozen=True)
class PlainLocalities:
    """Localities by ZIP code, such as ``CA 05``, and Medicare's amounts by code and locality."""

    by_zip: Mapping[str, str]
    amounts_usd: Mapping[tuple[str, str], float]

    def usd(self, code: str, locality: str | None) -> float | None:
        """Medicare's amount for a code at a locality."""
        return self.amounts_usd.get((code, locality or ""))


NO_LOCALITIES = PlainLocalities({}, {})


def _rows(name: str) -> list[dict[str, str]]:
    content = resources.files("schemas.reference").joinpath(name).read_bytes()
    text = (gzip.decompress(content) if name.endswith(".gz") else content).decode()
    return list(csv.DictReader(io.StringIO(text)))


@cache
def localities_of_2026() -> PlainLocalities:
    """As the package has them."""
    places = {(row["mac"], row["locality"]): row for row in _rows("medicare_gpcis.csv") if row["year"] == "2026"}
    names = {place: f"{row['state']} {row['locality']}" for place, row in places.items()}
    by_zip = {row["zip5"]: names[row["mac"], row["locality"]] for row in _rows("zip_localities.csv.gz")}
    amounts = {}
    for values in _rows("medicare_rvus.csv"):
        for place, row in places.items() if values["year"] == "2026" else ():
            units = (
                Decimal(values["work_rvu"]) * Decimal(row["work_gpci"])
                + Decimal(values["pe_nonfacility_rvu"]) * Decimal(row["pe_gpci"])
                + Decimal(values["mp_rvu"]) * Decimal(row["mp_gpci"])
            )
            usd = (units * Decimal("33.4009")).quantize(Decimal("0.01"), ROUND_HALF_UP)
            amounts[values["billing_code"], names[place]] = float(usd)
    return PlainLocalities(by_zip, amounts)
