"""The demo's providers: synthetic NPIs and TINs in every geography, and the few providers that must not count."""

from dataclasses import dataclass
from itertools import count
from random import Random

from schemas.codes import DEFAULT_CODES, GEOGRAPHIES
from transforms.demo.places import practice_zip

_NPI_PREFIX = "80840"  # ISO/IEC 7812 prefix of US health identifiers: part of the check digit, not of the NPI
_FIRST_NPI = 2_00_000_001  # nine digits; CMS has issued only NPIs that begin with 1, so these belong to no provider
_FIRST_TIN = 1_000_001  # after prefix 00, which the IRS doesn't issue, and which becomes shorter as a number

_LARGE = {"CA": 30, "TX": 26, "FL": 24, "NY": 24, "IL": 22, "WA": 18}
_UNPRICED = 40  # in NPPES, in no price

# The first seven are in every geography, so that each tier has a provider in each of them.
TAXONOMIES: tuple[tuple[str, ...], ...] = (
    ("225100000X",),
    ("225X00000X",),
    ("207N00000X",),
    ("207Q00000X",),
    ("261QP2000X",),
    ("2251X0800X",),
    ("111N00000X",),
    ("207Q00000X", "225100000X"),
    ("225200000X",),
    ("207Q00000X", "207ND0101X"),
    ("193200000X", "225XH1200X"),
)
_STRICT = frozenset({"225100000X", "2251X0800X", "261QP2000X"})
_BALANCED = frozenset({"225X00000X", "225XH1200X", "111N00000X"})
_ULTRAVIOLET_ONLY = frozenset({"207N00000X", "207ND0101X"})
_ULTRAVIOLET = DEFAULT_CODES[1]


@dataclass(frozen=True)
class Provider:
    """One synthetic NPI; ``exclusion`` is the rule that excludes its rows; null when they count."""

    npi: int
    state: str
    taxonomies: tuple[str, ...]
    exclusion: str | None = None
    country: str = "US"
    reactivated: bool = False

    @property
    def zip5(self) -> str:
        """The practice location's ZIP code."""
        return practice_zip(self.state, self.npi)

    @property
    def is_organisation(self) -> bool:
        """Whether it is a clinic or a group."""
        return self.taxonomies[0].startswith(("261Q", "193"))

    @property
    def in_nppes(self) -> bool:
        """Whether CMS's file has a row for it."""
        return self.exclusion not in {"npi_unknown", "npi_invalid", "no_npi"}

    def tiers(self, billing_code: str) -> tuple[str, ...]:
        """The summaries' taxonomy tiers that this provider is part of, for one code."""
        held = frozenset(self.taxonomies)
        if held & _STRICT:
            return ("strict", "balanced", "all")
        if held & _BALANCED or (held & _ULTRAVIOLET_ONLY and billing_code == _ULTRAVIOLET):
            return ("balanced", "all")
        return ("all",)


@dataclass(frozen=True)
class Tin:
    """A contract holder: digits, ``ein`` or ``npi``, and the business name that 2.x files add."""

    value: str
    kind: str
    name: str


@dataclass(frozen=True)
class Member:
    """One NPI under one TIN: what a contract pays."""

    tin: Tin
    npi: int


@dataclass(frozen=True)
class Roster:
    """All providers: by NPI, and by home state the members that payers contract with there.

    ``outlier_members`` are under TINs of their own, for contracts whose rate is an outlier.
    """

    providers: dict[int, Provider]
    members: dict[str, tuple[Member, ...]]
    outlier_members: tuple[Member, ...]


def check_digit(nine_digits: str) -> int:
    """The NPI's last digit: Luhn over 80840 and the first nine."""
    total = 0
    for place, digit in enumerate(reversed(_NPI_PREFIX + nine_digits)):
        doubled = int(digit) * (2 if place % 2 == 0 else 1)
        total += doubled - 9 if doubled > 9 else doubled
    return -total % 10


def make_roster(random: Random) -> Roster:
    """Providers in all 56 geographies, their TINs, chains across states, and the few that must not count."""
    numbers = _Numbers()
    local = {state: _local_providers(random, numbers, state) for state in GEOGRAPHIES}
    members = {state: _local_members(random, numbers, state, found) for state, found in local.items()}
    for home, span in (("CA", ("NV", "AZ", "OR", "HI")), ("IL", ("IN", "WI", "IA")), ("NY", ("NJ", "PR", "VI"))):
        members[home] += _chain(random, numbers, home, [local[state] for state in (home, *span)])
    specials = _specials(numbers)
    for state in ("CA", "IL", "WA", "PR"):
        hosts = members[state][0].tin, members[state][-1].tin
        members[state] += tuple(Member(hosts[place % 2], special.npi) for place, special in enumerate(specials))
    outlier_members = tuple(
        Member(numbers.tin(f"Spare Change Clinic of {state}"), local[state][0].npi) for state in ("TX", "OH")
    )
    unpriced = [Provider(numbers.npi(), random.choice(GEOGRAPHIES), TAXONOMIES[0]) for _ in range(_UNPRICED)]
    providers = [*(provider for found in local.values() for provider in found), *specials, *unpriced]
    return Roster({provider.npi: provider for provider in providers}, members, outlier_members)


class _Numbers:
    """Fresh NPIs and TINs, in order."""

    def __init__(self) -> None:
        self._npis = count(_FIRST_NPI)
        self._tins = count(_FIRST_TIN)

    def npi(self) -> int:
        nine_digits = str(next(self._npis))
        return int(f"{nine_digits}{check_digit(nine_digits)}")

    def tin(self, name: str) -> Tin:
        return Tin(f"{next(self._tins):09d}", "ein", name)


def _local_providers(random: Random, numbers: _Numbers, state: str) -> tuple[Provider, ...]:
    size = _LARGE.get(state) or random.randint(8, 13)
    return tuple(
        Provider(
            npi=numbers.npi(),
            state=state,
            taxonomies=TAXONOMIES[place] if place < 7 else random.choice(TAXONOMIES),
            country="PR" if state == "PR" and place == 0 else "US",
        )
        for place in range(size)
    )


def _local_members(
    random: Random, numbers: _Numbers, state: str, providers: tuple[Provider, ...]
) -> tuple[Member, ...]:
    """Every provider under one TIN of its state, every fifth under a second one as well."""
    tins = [numbers.tin(f'{state} "Warm Light" Therapy, Group {place}') for place in range(max(3, len(providers) // 3))]
    clinic = next(provider for provider in providers if provider.taxonomies == ("261QP2000X",))
    tins.append(Tin(str(clinic.npi), "npi", f"{state} Clinic {{under its own NPI}}"))
    found: list[Member] = []
    for place, provider in enumerate(providers):
        own = random.sample(tins, 2 if place % 5 == 0 else 1)
        found.extend(Member(tin, provider.npi) for tin in own)
    return tuple(found)


def _chain(random: Random, numbers: _Numbers, home: str, local: list[tuple[Provider, ...]]) -> tuple[Member, ...]:
    """One TIN with providers of several states: it is one observation only in ``tin`` weighting of the US."""
    tin = numbers.tin(f"Lamps & Beyond Holdings of {home}")
    return tuple(Member(tin, provider.npi) for found in local for provider in random.sample(found, 3))


def _specials(numbers: _Numbers) -> tuple[Provider, ...]:
    """One provider for each rule about providers, and one that was deactivated, reactivated, and counts."""
    therapist = TAXONOMIES[0]
    right = numbers.npi()
    return (
        Provider(numbers.npi(), "CA", therapist, "npi_unknown"),
        Provider(numbers.npi(), "CA", therapist, "npi_deactivated"),
        Provider(numbers.npi(), "CA", therapist, reactivated=True),
        Provider(numbers.npi(), "ONTARIO", therapist, "outside_us", country="CA"),
        Provider(numbers.npi(), "AE", therapist, "outside_us"),
        Provider(right - right % 10 + (right + 1) % 10, "CA", therapist, "npi_invalid"),
        Provider(0, "CA", therapist, "no_npi"),
    )
