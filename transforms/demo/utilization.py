"""The demo's utilization files: who billed how many services, in CMS's layout, for three years of which one counts.

``make_services`` decides what each provider billed; ``write_utilization`` writes it as CMS does.
"""

import csv
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from io import StringIO
from random import Random

from schemas.codes import DEFAULT_CODES
from transforms.demo.providers import Provider

Services = Mapping[int, Mapping[str, Decimal]]  # by NPI that is in the file, by code

YEARS_BEFORE = 2  # CMS publishes a year's services some 17 months after its end
_RELATED = ("97035", "97110", "97799")
_OTHER = ("99213", "98940", "97802")  # outside the family, the last of them just behind it
_HEADER = (
    *("Rndrng_NPI", "Rndrng_Prvdr_Last_Org_Name", "Rndrng_Prvdr_Ent_Cd", "Rndrng_Prvdr_Type", "HCPCS_Cd", "HCPCS_Desc"),
    *("Place_Of_Srvc", "Tot_Benes", "Tot_Srvcs", "Avg_Mdcr_Alowd_Amt"),
)


def make_services(random: Random, providers: Iterable[Provider]) -> Services:
    """What each provider billed in the year that counts; organisations and one in six individuals are absent."""
    return {
        provider.npi: dict(_billed(random))
        for provider in providers
        if not provider.is_organisation and provider.npi and random.random() < 5 / 6
    }


def _billed(random: Random) -> Iterator[tuple[str, Decimal]]:
    """One in two billed at least one of the codes, one in four others of the family, the rest neither."""
    yield random.choice(_OTHER), _amount(random)
    kind = random.random()
    if kind < 0.75:
        yield random.choice(_RELATED), _amount(random)
    if kind < 0.5:
        for code in random.choice((DEFAULT_CODES, DEFAULT_CODES[:1], DEFAULT_CODES[1:])):
            yield code, _amount(random)


def _amount(random: Random) -> Decimal:
    """Whole for most; some have a fraction, of which a half counts as one more, and few are less than one."""
    if random.random() < 0.05:
        return Decimal("0.3")
    return random.randint(11, 240) + random.choice((Decimal(0), Decimal(0), Decimal("0.5"), Decimal("0.4")))


def write_utilization(services: Services, month_year: int) -> dict[str, bytes]:
    """Files by name: the year that counts, one before, in which other providers billed, and one after the month."""
    counted = month_year - YEARS_BEFORE
    everyone = {npi: dict.fromkeys(DEFAULT_CODES, Decimal(500)) for npi in services}
    of_years = {counted - 1: everyone, counted: services, month_year + 1: everyone}
    return {_name(year): _csv(of_year) for year, of_year in of_years.items()}


def _name(year: int) -> str:
    return f"MUP_PHY_R{(year + YEARS_BEFORE) % 100:02}_P05_V10_D{year % 100:02}_Prov_Svc.csv"


def _csv(services: Services) -> bytes:
    """A row for each place of service; Latin-1, as CMS has published it."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(_HEADER)
    for npi, billed in sorted(services.items()):
        for code, amount in sorted(billed.items()):
            for place, part in _places(npi, amount):
                what = (npi, f'Peña, "{npi % 100}"', "I", "Physical Therapist in Private Practice", code, "a service")
                writer.writerow((*what, place, 11, part, "7.5"))
    return text.getvalue().encode("latin-1")


def _places(npi: int, amount: Decimal) -> list[tuple[str, Decimal]]:
    """Every third provider billed a part of it in a facility."""
    part = amount // 3
    return [("F", part), ("O", amount - part)] if npi % 3 == 0 and part else [("O", amount)]
