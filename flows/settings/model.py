"""The shape of `tic-rates.toml` as pydantic models: its keys, types, ranges and examples."""

import glob
import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import date, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    create_model,
    field_validator,
    model_validator,
)

from flows.settings import values
from flows.settings.addresses import REMOTE_SCHEMES, Location, location_of
from flows.settings.values import EVENTS, Cluster, Config, Fetching, Gates, HostLimits, Nightly, PayerSource
from schemas.codes import DEFAULT_CODES, parse_codes
from transforms.errors import UsageError
from transforms.limits import LIMITS, Limits, range_of

_HOST = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e]+")
_ADDRESS = "https://mrf.example.com/{month}_index.json.gz"
_SCHEDULER = "tcp://scheduler.example.com:8786"


# ---- Types of values ------------------------------------------------------------------------------------------------


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that is closest in spelling; None where none is close."""
    folded = {each.casefold(): each for each in known}
    return next((folded[close] for close in get_close_matches(word.casefold(), folded, 1)), None)


def _secret(value: object, info: ValidationInfo) -> object:
    """The text itself; of ``{ env = "NAME" }``, the environment variable's."""
    if not isinstance(value, dict) or set(value) != {"env"} or not isinstance(value["env"], str):
        return value
    assert info.context is not None
    text = info.context["environ"].get(value["env"], "").strip()
    if not text:
        raise ValueError(f"the environment variable {value['env']} is not set; set it where this runs")
    return text


def _is_url(text: str, schemes: Iterable[str]) -> bool:
    try:
        parts = urlsplit(text)
        host = bool(parts.hostname or parts.scheme == "file")
        return parts.scheme.lower() in schemes and host and (parts.port or 1) > 0
    except ValueError:
        return False


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        hint = "write a literal . * + ? ( ) [ with a backslash before it"
        raise ValueError(f"{text!r} is not a regular expression: {error}; {hint}") from None
    return text


def _address(text: str) -> str:
    if "{" in values.fill_month(text, date.min):
        raise ValueError(f"unknown placeholder in braces; use {', '.join(values.TEMPLATES)}")
    if "://" in text and not _is_url(text, REMOTE_SCHEMES):
        raise ValueError("unsupported address; write http(s)://HOST/..., s3://BUCKET/... or a path")
    return text


def _place(text: str) -> str:
    try:
        location_of(text)
    except UsageError as error:
        raise ValueError(str(error)) from None
    return text


def _codes(text: str) -> str:
    parse_codes(text)
    return text


def _header_value(text: str) -> str:
    if not _HEADER_VALUE.fullmatch(text):
        raise ValueError("invalid header value; write one line of ASCII text")
    return text


def _cron(text: str) -> str:
    try:
        CronSim(text, datetime(2025, 1, 1))
        problem = None if len(text.split()) == 5 else "Wrong number of fields"
    except CronSimError as error:
        problem = str(error)
    if problem:
        raise ValueError(f"{problem}; five fields are expected: minute, hour, day, month, day of the week")
    return text


def _timezone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (KeyError, ValueError, OSError):  # OSError: the name of a folder of zones, such as America
        meant = nearest(text, available_timezones()) or "America/New_York"
        raise ValueError(f'{text!r} is not a time zone; write a name such as "{meant}"') from None
    return text


def _url(*schemes: str, what: str) -> AfterValidator:
    """A URL of one of the schemes."""

    def check(text: str) -> str:
        if not _is_url(text, schemes):
            raise ValueError(f"not {what}")
        return text

    return AfterValidator(check)


class _FromEnvironment(BaseModel):
    """The environment variable that has a secret: for the JSON schema."""

    env: str


Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Secret = Annotated[Text, BeforeValidator(_secret, json_schema_input_type=str | _FromEnvironment)]
Address = Annotated[Secret, AfterValidator(_address), Field(examples=[_ADDRESS])]
Place = Annotated[Text, AfterValidator(_place)]
Pattern = Annotated[Text, AfterValidator(_pattern), Field(examples=["OHPH-Chiro"])]
Code = Annotated[Text, AfterValidator(_codes), Field(examples=["97026"])]
Seconds = Annotated[float, Field(ge=0, le=86_400)]
Timeout = Annotated[float, Field(ge=0.001, le=86_400)]
OFF = BeforeValidator(lambda value: None if value is False else value, json_schema_input_type=float | Literal[False])
Share = Annotated[Annotated[float, Field(ge=0, le=1)] | None, OFF]
Change = Annotated[Annotated[float, Field(ge=0, le=1_000)] | None, OFF]
RequestRate = Annotated[Annotated[float, Field(ge=0.001, le=10_000)] | None, OFF]
Days = Annotated[Annotated[int, Field(ge=1, le=3_660)] | None, OFF]
Connections = Annotated[int, Field(ge=1, le=256)]


# ---- Sections -------------------------------------------------------------------------------------------------------


class Section(BaseModel):
    """A table of the configuration: no unknown keys, no converted types; errors never hold what was written."""

    model_config = ConfigDict(strict=True, extra="forbid", hide_input_in_errors=True)


class Host(Section):
    """An exception for one host."""

    connections: Connections | None = None
    requests_per_second: RequestRate = None

    def value(self, standard: HostLimits) -> HostLimits:
        """The limits of this host; keys that it leaves out are those of ``standard``."""
        return replace(standard, **self.model_dump(exclude_unset=True))


class Http(Section):
    """How files are fetched."""

    user_agent: Annotated[Text, AfterValidator(_header_value)] = Fetching.user_agent
    connect_seconds: Timeout = Fetching.connect_seconds
    read_seconds: Timeout = Fetching.read_seconds
    attempts: Annotated[int, Field(ge=1, le=1_000)] = Fetching.attempts
    first_wait_seconds: Seconds = Fetching.first_wait_seconds
    longest_wait_seconds: Seconds = Field(default=Fetching.longest_wait_seconds, validate_default=True)
    connections_per_host: Connections = HostLimits.connections
    requests_per_second: RequestRate = HostLimits.requests_per_second
    allow_private: bool = Fetching.allow_private
    hosts: dict[str, Host] = {}

    @field_validator("longest_wait_seconds")
    @classmethod
    def _is_longest(cls, seconds: float, info: ValidationInfo) -> float:
        first = info.data.get("first_wait_seconds", 0.0)
        if seconds < first:
            raise ValueError(f"is below first_wait_seconds ({first:g}); write that or more")
        return seconds

    @field_validator("hosts")
    @classmethod
    def _are_names(cls, hosts: dict[str, Host]) -> dict[str, Host]:
        strange = [name for name in hosts if not _HOST.fullmatch(name.lower())]
        if strange:
            hint = "write it without scheme, port and path, such as mrf.example.com"
            raise ValueError(f"{strange[0]!r} is not a host name; {hint}")
        return hosts

    def value(self, bounds: Limits) -> Fetching:
        """How to fetch, within ``bounds``."""
        standard = HostLimits(self.connections_per_host, self.requests_per_second)
        hosts = {name.lower(): host.value(standard) for name, host in self.hosts.items()}
        same = {name: getattr(self, name) for name in Http.model_fields.keys() & Fetching.__dataclass_fields__.keys()}
        return Fetching(**same | {"limits": standard, "hosts": tuple(sorted(hosts.items())), "bounds": bounds})


_LIMITS: dict[str, Any] = {
    name: (int, Field(getattr(Limits, name), ge=range_of(name)[0], le=range_of(name)[1])) for name in LIMITS
}
LimitsSection = create_model(
    "Limits", __base__=Section, __doc__="Limits of what one file may use of this machine.", **_LIMITS
)


class GatesSection(Section):
    """What a month must pass before it is published; false turns a gate off."""

    min_files_read: Share = Gates.min_files_read
    max_rows_change: Change = Gates.max_rows_change
    max_median_change: Change = Gates.max_median_change
    min_nppes_share: Share = Gates.min_nppes_share
    withhold_vanished: bool = Gates.withhold_vanished


class NightlySection(Section):
    """The months that a night covers, and how long it waits for payers; false turns the check of age off."""

    months_back: Annotated[int, Field(ge=0, le=24)] = Nightly.months_back
    expect_by_day: Annotated[int, Field(ge=1, le=31)] = Nightly.expect_by_day
    stale_after_days: Days = Nightly.stale_after_days


class ReferenceSection(Section):
    """Files of coverage rules that nights fetch: for `reference coverage`, and for `reference ncci`."""

    coverage: list[Address] = []
    ncci: list[Address] = []

    def value(self, folder: Path) -> values.EditionAddresses:
        """The addresses with relative paths under ``folder``."""
        return values.EditionAddresses(_all_resolved(self.coverage, folder), _all_resolved(self.ncci, folder))


class Schedule(Section):
    """The schedule of the nightly."""

    cron: Annotated[Text, AfterValidator(_cron)] = Config.schedule
    timezone: Annotated[Text, AfterValidator(_timezone)] = Config.timezone


class Notify(Section):
    """Where the outcome of a run is reported."""

    webhook: Annotated[Secret, _url("http", "https", what="an http(s):// address")] | None = Field(
        default=None, examples=["https://hooks.example.com/..."]
    )
    events: list[Literal[tuple(EVENTS)]] = list(EVENTS)  # type: ignore[valid-type]
    metrics_file: Text | None = Field(default=None, examples=["/var/lib/node_exporter/textfile/tic-rates.prom"])


class ClusterSection(Section):
    """The machines that read files, if not this one."""

    dask: Annotated[Text, _url("tcp", "tls", "ws", "wss", what="the address of a Dask scheduler")] | None = Field(
        default=None, examples=[_SCHEDULER]
    )
    machines: Annotated[int, Field(ge=1, le=10_000)] = 1


class Payer(Section):
    """One payer's tables of contents and files."""

    name: Annotated[Text, Field(examples=["Aetna"])]
    contents: list[Address] = []
    files: list[Address] = []
    include: list[Pattern] = []
    exclude: list[Pattern] = []
    plan_market_types: list[Text] = Field(default=[], examples=[["group"]])
    plan_id_types: list[Text] = Field(default=[], examples=[["ein"]])
    min_plans: Annotated[int, Field(ge=0)] = 0
    headers: dict[str, Annotated[Secret, AfterValidator(_header_value)]] = {}
    undated: Literal["any"] | None = None

    @field_validator("headers")
    @classmethod
    def _are_names(cls, headers: dict[str, str]) -> dict[str, str]:
        if not all(map(_HEADER_NAME.fullmatch, headers)):
            raise ValueError('invalid header name; write headers = { Name = "value" }')
        return headers

    @model_validator(mode="after")
    def _has_sources(self) -> Self:
        if not self.contents and not self.files:
            raise ValueError(f'has neither contents nor files; write contents = ["{_ADDRESS}"]')
        return self

    def value(self, folder: Path) -> PayerSource:
        """The payer with its relative paths under ``folder``."""
        contents, files = _all_resolved(self.contents, folder), _all_resolved(self.files, folder)
        plain: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in self}
        return PayerSource(**plain | {"contents": contents, "files": files, "headers": tuple(self.headers.items())})


class Settings(Section):
    """A whole configuration, as it is written."""

    output: Place = "output"
    nppes: Place | None = Field(default=None, examples=["NPPES_Data_Dissemination.zip"])
    codes: Annotated[list[Code], Field(min_length=1)] = list(DEFAULT_CODES)
    delta: bool = Config.delta
    workers: Annotated[int, Field(ge=0, le=1_024)] = 0
    reader: Literal["scan", "ijson"] | None = None
    http: Http = Http()
    limits: LimitsSection = LimitsSection()  # type: ignore[valid-type]
    gates: GatesSection = GatesSection()
    notify: Notify = Notify()
    nightly: NightlySection = NightlySection()
    reference: ReferenceSection = ReferenceSection()
    schedule: Schedule = Schedule()
    cluster: ClusterSection = ClusterSection()
    payer: Annotated[list[Payer], Field(min_length=1)]

    @field_validator("payer")
    @classmethod
    def _are_named_once(cls, payers: list[Payer]) -> list[Payer]:
        names = [payer.name.casefold() for payer in payers]
        for number, name in enumerate(names):
            if name in names[:number]:
                raise ValueError(f"the name {payers[number].name!r} occurs twice; merge the two payers")
        return payers

    def value(self, path: Path) -> Config:
        """The configuration as plain values, relative paths under the folder of ``path``."""
        folder = path.parent
        return Config(
            path,
            tuple(payer.value(folder) for payer in self.payer),
            output=_located(self.output, folder),
            nppes=None if self.nppes is None else _located(self.nppes, folder),
            codes=tuple(sorted({code for text in self.codes for code in parse_codes(text)})),
            delta=self.delta,
            workers=self.workers,
            engine=self.reader,
            fetching=self.http.value(Limits(**dict(self.limits))),
            gates=Gates(**dict(self.gates)),
            nightly=Nightly(**dict(self.nightly)),
            reference=self.reference.value(folder),
            schedule=self.schedule.cron,
            timezone=self.schedule.timezone,
            webhook=self.notify.webhook,
            events=tuple(self.notify.events),
            metrics_file=None if self.notify.metrics_file is None else folder / self.notify.metrics_file,
            cluster=Cluster(**dict(self.cluster)),
        )


def _located(text: str, folder: Path) -> Location:
    return text if "://" in text else folder / text


def _all_resolved(texts: Iterable[str], folder: Path) -> tuple[str, ...]:
    return tuple(text if "://" in text else _resolved(text, folder) for text in texts)


def _resolved(text: str, folder: Path) -> str:
    return str((glob.escape(str(folder)) if glob.has_magic(text) else folder) / Path(text))
