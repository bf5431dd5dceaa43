"""The published geographies by name, and the place of each on a tile grid map (column, row), the usual US layout."""

from dataclasses import dataclass

from schemas.codes import GEOGRAPHIES, STATES

NATIONAL = "US"


@dataclass(frozen=True)
class Geography:
    """A state, DC or territory: USPS code, name, and its tile."""

    code: str
    name: str
    column: int
    row: int


_NAMES = {
    "AL": "Alabama", "AK": "Alaska", "AZ": "Arizona", "AR": "Arkansas", "CA": "California", "CO": "Colorado",
    "CT": "Connecticut", "DE": "Delaware", "FL": "Florida", "GA": "Georgia", "HI": "Hawaii", "ID": "Idaho",
    "IL": "Illinois", "IN": "Indiana", "IA": "Iowa", "KS": "Kansas", "KY": "Kentucky", "LA": "Louisiana",
    "ME": "Maine", "MD": "Maryland", "MA": "Massachusetts", "MI": "Michigan", "MN": "Minnesota",
    "MS": "Mississippi", "MO": "Missouri", "MT": "Montana", "NE": "Nebraska", "NV": "Nevada",
    "NH": "New Hampshire", "NJ": "New Jersey", "NM": "New Mexico", "NY": "New York", "NC": "North Carolina",
    "ND": "North Dakota", "OH": "Ohio", "OK": "Oklahoma", "OR": "Oregon", "PA": "Pennsylvania",
    "RI": "Rhode Island", "SC": "South Carolina", "SD": "South Dakota", "TN": "Tennessee", "TX": "Texas",
    "UT": "Utah", "VT": "Vermont", "VA": "Virginia", "WA": "Washington", "WV": "West Virginia",
    "WI": "Wisconsin", "WY": "Wyoming", "DC": "District of Columbia", "PR": "Puerto Rico",
    "VI": "US Virgin Islands", "GU": "Guam", "AS": "American Samoa", "MP": "Northern Mariana Islands",
}  # fmt: skip

_TILES = (
    "AK .. .. .. .. .. .. .. .. .. ME",
    ".. .. .. .. .. .. .. .. .. VT NH",
    "WA ID MT ND MN IL WI MI NY RI MA",
    "OR NV WY SD IA IN OH PA NJ CT ..",
    "CA UT CO NE MO KY WV VA MD DE ..",
    ".. AZ NM KS AR TN NC SC DC .. ..",
    ".. .. .. OK LA MS AL GA .. .. ..",
    "HI .. .. TX .. .. .. .. FL .. ..",
    "AS GU MP .. .. .. .. .. .. PR VI",
)

_PLACES = {
    code: (column, row)
    for row, line in enumerate(_TILES, start=1)
    for column, code in enumerate(line.split(), start=1)
    if code != ".."
}

STATES_IN_ORDER = tuple(sorted(STATES))  # AK comes before AL: the order of the codes, not of the names
OTHERS_IN_ORDER = ("DC", *sorted(set(GEOGRAPHIES) - {*STATES, "DC"}))
IN_ORDER = (*STATES_IN_ORDER, *OTHERS_IN_ORDER)
BY_CODE = {code: Geography(code, _NAMES[code], *_PLACES[code]) for code in IN_ORDER}


def name_of(code: str) -> str:
    """``Alaska``; ``United States`` for the national figures."""
    return "United States" if code == NATIONAL else BY_CODE[code].name


def position_of(code: str) -> str:
    """``AK 1 / 50``; DC and the territories, which come after, have a count of their own."""
    group, what = (STATES_IN_ORDER, "") if code in STATES_IN_ORDER else (OTHERS_IN_ORDER, ", DC and territories")
    return f"{code} {group.index(code) + 1} / {len(group)}{what}"
