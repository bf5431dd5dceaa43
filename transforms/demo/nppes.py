"""The demo's NPPES download: CMS's csv with all its columns, every value quoted, and its header-only twin."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from io import StringIO

from schemas.codes import GEOGRAPHIES
from transforms.demo.market import Market
from transforms.demo.providers import Provider

_DEACTIVATED_ON = "01/15/2024"
_REACTIVATED_ON = "06/03/2024"


def write_nppes(market: Market, columns: Sequence[str]) -> dict[str, bytes]:
    """The zip's members by name: the data, and the file that holds only its header."""
    stem = f"npidata_pfile_20050523-{market.month.replace(day=8):%Y%m%d}"
    listed = [provider for provider in market.providers.values() if provider.in_nppes]
    rows = [_row(provider, market.month) for provider in sorted(listed, key=lambda provider: provider.npi)]
    return {f"{stem}.csv": _csv(columns, rows), f"{stem}_fileheader.csv": _csv(columns, [])}


def _csv(columns: Sequence[str], rows: Iterable[Mapping[str, str]]) -> bytes:
    text = StringIO()
    writer = csv.DictWriter(text, columns, restval="", quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _row(provider: Provider, month: date) -> dict[str, str]:
    """CMS blanks everything but the number and the date of a deactivated provider."""
    if provider.exclusion == "npi_deactivated":
        return {"NPI": str(provider.npi), "NPI Deactivation Date": _DEACTIVATED_ON}
    row = {
        "NPI": str(provider.npi),
        "Provider Enumeration Date": "05/23/2007",
        "Last Update Date": f"{month:%m/%d/%Y}",
        **_who(provider),
        **_where(provider),
        **_what(provider),
    }
    if provider.reactivated:
        row |= {"NPI Deactivation Date": _DEACTIVATED_ON, "NPI Reactivation Date": _REACTIVATED_ON}
    return row


def _who(provider: Provider) -> dict[str, str]:
    if provider.is_organisation:
        name = f'The "Warm Light" Clinic, LLC No. {provider.npi % 1000}'
        return {"Entity Type Code": "2", "Provider Organization Name (Legal Business Name)": name}
    return {
        "Entity Type Code": "1",
        "Provider Last Name (Legal Name)": f"DEMO, {provider.npi % 1000}",
        "Provider First Name": "SYNTHIA",
        "Provider Credential Text": 'D.P.T., "OCS"',
        "Is Sole Proprietor": "N",
    }


def _where(provider: Provider) -> dict[str, str]:
    """The mailing address is in another state: only the practice location counts."""
    elsewhere = GEOGRAPHIES[provider.npi % len(GEOGRAPHIES)]
    mailing = _address("Mailing", elsewhere, "012345678", "US")
    return mailing | _address("Practice Location", provider.state, f"{provider.zip5}0001", provider.country)


def _address(kind: str, state: str, postal_code: str, country: str) -> dict[str, str]:
    return {
        f"Provider First Line Business {kind} Address": "1 LAMP STREET, SUITE 2",
        f"Provider Business {kind} Address City Name": "LIGHTON",
        f"Provider Business {kind} Address State Name": state,
        f"Provider Business {kind} Address Postal Code": postal_code,
        f"Provider Business {kind} Address Country Code (If outside U.S.)": country,
    }


def _what(provider: Provider) -> dict[str, str]:
    """Taxonomies in their numbered columns; the first is primary."""
    row = {}
    for place, taxonomy in enumerate(provider.taxonomies, start=1):
        row[f"Healthcare Provider Taxonomy Code_{place}"] = taxonomy
        row[f"Healthcare Provider Primary Taxonomy Switch_{place}"] = "Y" if place == 1 else "N"
    return row
