"""`tic-rates.toml`: which payers are read every night, where from, how, and what must hold before a month is published.

Checked strictly and at once: whatever is wrong is said by file and line, and secrets are never said.
"""

import glob
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import date
from importlib.resources import files
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, available_timezones

from flows.settings.addresses import REMOTE_SCHEMES, Location, is_object_url, split_url
from flows.settings.cron import cron_problem
from flows.settings.fetching import USER_AGENT, Cluster, Fetching, HostLimits
from flows.settings.protection import fetching_of, limits_of
from flows.settings.settings import Problems, Section, nearest
from flows.settings.toml_lines import Place, key_lines, line_of
from schemas.codes import DEFAULT_CODES, parse_codes
from transforms.errors import UsageError
from transforms.limits import LIMITS, Limits, range_of

DEFAULT_CONFIG = Path("tic-rates.toml")
DEFAULT_SCHEDULE = "0 2 * * *"
DEFAULT_TIMEZONE = "UTC"
Engine = Literal["scan", "ijson"]


@dataclass(frozen=True)
class PayerSource:
    """One payer's tables of contents and files. Locations may carry credentials, so they are not shown either."""

    name: str
    contents: tuple[str, ...] = field(default=(), repr=False)
    files: tuple[str, ...] = field(default=(), repr=False)
    include: tuple[str, ...] = ()  # regular expressions; none means all
    exclude: tuple[str, ...] = ()
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    undated: str | None = None  # "any": sources that no address or date places in a month count for every past one


@dataclass(frozen=True)
class Gates:
    """What must hold before a night's month replaces the published one; None or False turns one off."""

    min_files_read: float | None = 0.9  # of the files listed, the share that was read to its end
    max_rows_change: float | None = 0.5  # of the month before, more or fewer
    max_median_change: float | None = 0.25  # of the month before, up or down
    min_nppes_share: float | None = 0.8  # of the NPIs, the share that NPPES knows
    withhold_vanished: bool = True  # a payer that was published before and has no rows now


@dataclass(frozen=True)
class Config:
    """A whole configuration; relative paths are resolved already."""

    path: Path
    payers: tuple[PayerSource, ...]
    output: Location = Path("output")
    nppes: Location | None = None
    codes: tuple[str, ...] = DEFAULT_CODES
    workers: int = 0  # 0: as many as there are cores
    engine: Engine | None = None
    fetching: Fetching = field(default_factory=Fetching)
    gates: Gates = Gates()
    limits: Limits = field(default_factory=Limits)
    schedule: str = DEFAULT_SCHEDULE
    timezone: str = DEFAULT_TIMEZONE
    webhook: str | None = field(default=None, repr=False)
    cluster: Cluster = field(default_factory=Cluster)


_KNOWN = {
    "": tuple("output nppes codes workers reader http limits gates notify schedule cluster payer".split()),
    "http": tuple(
        "user_agent connect_seconds read_seconds attempts first_wait_seconds longest_wait_seconds connections_per_host "
        "requests_per_second allow_private hosts".split()
    ),
    "http.hosts": ("connections", "requests_per_second"),
    "limits": LIMITS,
    "gates": tuple(each.name for each in fields(Gates)),
    "notify": ("webhook",),
    "schedule": ("cron", "timezone"),
    "cluster": tuple(each.name for each in fields(Cluster)),
    "[payer]": ("name", "contents", "files", "include", "exclude", "headers", "undated"),
}

_HOST = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e]+")
_TEMPLATES = {"{month}": "%Y-%m", "{year}": "%Y", "{mm}": "%m"}
_LOCATION = "https://mrf.example.com/{month}_index.json.gz"
_SCHEDULER = "tcp://scheduler.example.com:8786"
_DASK_SCHEMES = ("tcp", "tls", "ws", "wss")
_ONE_DAY = 86_400.0


def load_config(path: Path, environ: Mapping[str, str] = os.environ) -> Config:
    """Read and check a configuration; limits that the environment sets go before.

    Raises:
        UsageError: one line ``tic-rates.toml:12: what is wrong; what to write`` for each thing wrong.
    """
    text = _read(path)
    try:
        values, lines = tomllib.loads(text), key_lines(text)
    except RecursionError:
        raise UsageError(f"{path}:1: nested too deeply") from None
    except ValueError as error:  # TOMLDecodeError, and Python's own for numbers of thousands of digits
        raise UsageError(_placed(path, str(error), text)) from None
    problems = Problems(path, lines)
    config = _config(Section(values, (), problems, environ), path.absolute())
    problems.check()
    return replace(config, limits=limits_of(environ, config.limits), fetching=fetching_of(environ, config.fetching))


def example_text() -> str:
    """The whole configuration with every key explained: what `tic-rates nightly --example` prints."""
    return files("flows.settings").joinpath("example.toml").read_text(encoding="utf-8")


def fill_month(location: str, month: date) -> str:
    """``{month}`` as 2025-06, ``{year}`` as 2025, ``{mm}`` as 06."""
    for name, form in _TEMPLATES.items():
        location = location.replace(name, month.strftime(form))
    return location


def asks_for_month(location: str) -> bool:
    """Whether what ``fill_month`` puts into it says year and month."""
    return "{month}" in location or ("{year}" in location and "{mm}" in location)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{path}:{line}: not UTF-8 text; save it as UTF-8") from None
    except OSError as error:
        hint = "name one with --config, or write one from `tic-rates nightly --example`"
        raise UsageError(f"{path}: {error.strerror}; {hint}") from None


def _placed(path: Path, message: str, text: str) -> str:
    """tomllib's message with its line where our messages have theirs."""
    match = re.fullmatch(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", message, re.DOTALL)
    if match is None:
        return f"{path}:1: not TOML: {message}"
    line, column = match[2] or text.count("\n") + 1, f" (column {match[3]})" if match[3] else ""
    return f"{path}:{line}: not TOML: {match[1]}{column}"


def _config(top: Section, path: Path) -> Config:
    top.expect(_KNOWN, "")
    folder = path.parent
    notify, schedule = (_known_section(top, name) for name in ("notify", "schedule"))
    limits = _limits(_known_section(top, "limits"))
    nppes = top.text("nppes", None, "NPPES_Data_Dissemination.zip")
    return Config(
        path,
        _payers(top, folder),
        output=_place(top, "output", top.text("output", "output", "output"), folder),
        nppes=None if nppes is None else _place(top, "nppes", nppes, folder),
        codes=_codes(top),
        workers=top.whole("workers", 0, 0, 1_024),
        engine=_engine(top),
        fetching=replace(_fetching(_known_section(top, "http")), bounds=limits),
        gates=_gates(_known_section(top, "gates")),
        limits=limits,
        schedule=_cron(schedule),
        timezone=_timezone(schedule),
        webhook=_webhook(notify),
        cluster=_cluster(_known_section(top, "cluster")),
    )


def _known_section(top: Section, name: str) -> Section:
    section = top.section(name)
    section.expect(_KNOWN, name)
    return section


def _place(top: Section, key: str, text: str, folder: Path) -> Location:
    """A path beside the configuration, or a place in object storage."""
    if "://" not in text:
        return folder / text
    if is_object_url(text):
        try:
            split_url(text)
            return text
        except UsageError as error:
            top.problem(key, str(error))
    else:
        top.problem(key, "no place that can be used; write a path, or s3://BUCKET/..., gs:// or az://")
    return folder


def _codes(top: Section) -> tuple[str, ...]:
    found = top.texts("codes", "97026")
    codes: set[str] = set()
    for place, text in found:
        try:
            codes.update(parse_codes(text))
        except ValueError as error:
            top.problems.add(place, str(error))
    if top.values.get("codes") == []:
        top.problem("codes", 'is empty; write codes = ["97026", "97028"], or leave it out')
    return tuple(sorted(codes)) or DEFAULT_CODES


def _engine(top: Section) -> Engine | None:
    text = top.text("reader", None, "scan")
    if text == "scan":
        return "scan"
    if text == "ijson":
        return "ijson"
    if text is not None:
        top.problem("reader", f'{text!r} is no reader; write "scan" or "ijson", or leave it out')
    return None


def _fetching(http: Section) -> Fetching:
    first = http.number("first_wait_seconds", Fetching.first_wait_seconds, 0, _ONE_DAY)
    longest = http.number("longest_wait_seconds", Fetching.longest_wait_seconds, 0, _ONE_DAY)
    if first > longest:
        http.problem("longest_wait_seconds", f"is below first_wait_seconds ({first:g}); write that or more")
    limits = _host_limits(http, "connections_per_host", HostLimits())
    return Fetching(
        user_agent=_user_agent(http),
        connect_seconds=http.number("connect_seconds", Fetching.connect_seconds, 0.001, _ONE_DAY),
        read_seconds=http.number("read_seconds", Fetching.read_seconds, 0.001, _ONE_DAY),
        attempts=http.whole("attempts", Fetching.attempts, 1, 1_000),
        first_wait_seconds=first,
        longest_wait_seconds=longest,
        limits=limits,
        hosts=tuple(sorted(_hosts(http.section("hosts"), limits).items())),
        allow_private=http.flag("allow_private", default=False),
    )


def _user_agent(http: Section) -> str:
    text = http.text("user_agent", USER_AGENT, USER_AGENT)
    if _HEADER_VALUE.fullmatch(text):
        return text
    http.problem("user_agent", "holds what a header can't: write it on one line, in ASCII")
    return USER_AGENT


def _host_limits(section: Section, connections: str, default: HostLimits) -> HostLimits:
    return HostLimits(
        section.whole(connections, default.connections, 1, 256),
        section.number_or_off("requests_per_second", default.requests_per_second, 0.001, 10_000),
    )


def _hosts(hosts: Section, default: HostLimits) -> dict[str, HostLimits]:
    found = {}
    for name in hosts.values:
        host = hosts.section(name)
        if not _HOST.fullmatch(name.lower()):
            hosts.problem(name, "no host name; write it without scheme, port and path, such as mrf.example.com")
            continue
        host.expect(_KNOWN, "http.hosts")
        found[name.lower()] = _host_limits(host, "connections", default)
    return found


def _gates(gates: Section) -> Gates:
    return Gates(
        min_files_read=gates.number_or_off("min_files_read", Gates.min_files_read, 0, 1),
        max_rows_change=gates.number_or_off("max_rows_change", Gates.max_rows_change, 0, 1_000),
        max_median_change=gates.number_or_off("max_median_change", Gates.max_median_change, 0, 1_000),
        min_nppes_share=gates.number_or_off("min_nppes_share", Gates.min_nppes_share, 0, 1),
        withhold_vanished=gates.flag("withhold_vanished", default=Gates.withhold_vanished),
    )


def _limits(limits: Section) -> Limits:
    standard = Limits()
    return Limits(**{name: limits.whole(name, getattr(standard, name), *range_of(name)) for name in LIMITS})


def _cluster(cluster: Section) -> Cluster:
    dask = cluster.text("dask", None, _SCHEDULER)
    if dask is not None and not _is_url(dask, _DASK_SCHEMES):
        cluster.problem("dask", f'no address of a Dask scheduler; write it such as "{_SCHEDULER}"')
    return Cluster(dask, cluster.whole("machines", 1, 1, 10_000))


def _cron(schedule: Section) -> str:
    text = schedule.text("cron", DEFAULT_SCHEDULE, DEFAULT_SCHEDULE)
    problem = cron_problem(text)
    if problem:
        schedule.problem("cron", f'{problem}; write it such as "{DEFAULT_SCHEDULE}", every night at two')
    return text


def _timezone(schedule: Section) -> str:
    text = schedule.text("timezone", DEFAULT_TIMEZONE, DEFAULT_TIMEZONE)
    try:
        ZoneInfo(text)
    except (KeyError, ValueError, OSError):  # OSError: the name of a folder of zones, such as America
        meant = nearest(text, available_timezones()) or "America/New_York"
        schedule.problem("timezone", f'{text!r} is no time zone; write a name such as "{meant}"')
    return text


def _webhook(notify: Section) -> str | None:
    example = "https://hooks.example.com/..."
    text = notify.secret("webhook", example)
    if text is not None and not _is_url(text, ("http", "https")):
        notify.problem("webhook", f'no http(s):// address; write it such as "{example}"')
    return text


def _is_url(text: str, schemes: tuple[str, ...]) -> bool:
    try:
        parts = urlsplit(text)
        return (
            parts.scheme.lower() in schemes and bool(parts.hostname or parts.scheme == "file") and (parts.port or 1) > 0
        )
    except ValueError:
        return False


def _payers(top: Section, folder: Path) -> tuple[PayerSource, ...]:
    sections = top.sections("payer")
    if top.values.get("payer", []) == []:
        top.problems.add(("payer",), 'no payer to read; add [[payer]] with name = "..." and contents or files')
    payers = tuple(_payer(section, folder) for section in sections)
    _refuse_duplicates(sections, payers)
    return payers


def _refuse_duplicates(sections: list[Section], payers: tuple[PayerSource, ...]) -> None:
    first: dict[str, Section] = {}
    for section, payer in zip(sections, payers, strict=True):
        earlier = first.setdefault(payer.name.casefold(), section)
        if payer.name and earlier is not section:
            line = line_of(section.problems.lines, (*earlier.place, "name"))
            section.problem("name", f"{payer.name!r} stands in line {line} already; write both as one payer")


def _payer(section: Section, folder: Path) -> PayerSource:
    section.expect(_KNOWN, "[payer]")
    if "name" not in section.values:
        section.problems.add(section.place, 'has no name; write name = "Aetna"')
    if not section.values.get("contents") and not section.values.get("files"):
        section.problems.add(section.place, f'has neither contents nor files; write contents = ["{_LOCATION}"]')
    return PayerSource(
        section.text("name", "", "Aetna"),
        contents=_locations(section, "contents", folder),
        files=_locations(section, "files", folder),
        include=_patterns(section, "include"),
        exclude=_patterns(section, "exclude"),
        headers=_headers(section.section("headers")),
        undated=_undated(section),
    )


def _undated(section: Section) -> str | None:
    text = section.text("undated", None, "any")
    if text not in (None, "any"):
        section.problem("undated", f'{text!r} is unknown; write undated = "any", or leave it out')
    return text


def _locations(section: Section, key: str, folder: Path) -> tuple[str, ...]:
    found = section.secrets(key, _LOCATION)
    return tuple(_location(section.problems, place, text, folder) for place, text in found)


def _location(problems: Problems, place: Place, text: str, folder: Path) -> str:
    if "{" in fill_month(text, date.min):
        problems.add(place, f"braces hold something else than {', '.join(_TEMPLATES)}; write one of those")
    if "://" not in text:
        return str((glob.escape(str(folder)) if glob.has_magic(text) else folder) / Path(text))
    if not _is_url(text, REMOTE_SCHEMES):
        problems.add(place, "no address that can be read; write http(s)://HOST/..., s3://BUCKET/... or a path")
    return text


def _patterns(section: Section, key: str) -> tuple[str, ...]:
    found = section.texts(key, "OHPH-Chiro")
    for place, pattern in found:
        try:
            re.compile(pattern)
        except (re.error, OverflowError, RecursionError) as error:
            hint = "write . * + ? ( ) [ as \\. and so on where they are meant as they stand"
            section.problems.add(place, f"{pattern!r} is no regular expression: {error}; {hint}")
    return tuple(pattern for _, pattern in found)


def _headers(section: Section) -> tuple[tuple[str, str], ...]:
    headers = []
    for name in section.values:
        value = section.secret(name, "...")
        if not _HEADER_NAME.fullmatch(name):
            section.problems.add(section.place, 'a header\'s name is no name; write headers = { Name = "value" }')
        elif value is not None and not _HEADER_VALUE.fullmatch(value):
            section.problem(name, "its value holds what a header can't: write it on one line, in ASCII")
        elif value is not None:
            headers.append((name, value))
    return tuple(headers)
