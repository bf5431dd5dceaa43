"""The plain reading of utilization: services by NPI and code to evidence, with the family written a second time."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from decimal import ROUND_HALF_UP, Decimal

Services = Mapping[int, Mapping[str, Decimal]]  # by NPI that is in the file, by code
NO_SERVICES: Services = {}


def plain_services(rows: Iterable[tuple[int, str, Decimal]]) -> Services:
    """The services of all rows of an NPI and code together."""
    found: dict[int, dict[str, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    for npi, code, services in rows:
        found[npi][code] += services
    return found


def plain_evidence(services: Services, npi: int, billing_code: str) -> tuple[str | None, float | None]:
    """Evidence and services of an NPI for 97026 or 97028."""
    if npi not in services:
        return None, None
    billed = services[npi]
    if billing_code in billed:
        return "billed", float(billed[billing_code])
    return ("related" if any(97010 <= int(code) <= 97799 for code in billed if code.isdecimal()) else "none"), None


def times(services: float | None) -> int:
    """How often a provider counts: its services, halves rounded up, at least once; not at all without services."""
    if services is None:
        return 0
    return max(1, int(Decimal(repr(services)).quantize(Decimal(1), ROUND_HALF_UP)))
