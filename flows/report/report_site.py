"""What every page of the report shares: templates, style and script, each page whole in itself.

The policy in each page's head lets nothing be fetched and no script run but the page's own, by its hash: a name in a
file that would smuggle markup in meets autoescaping first, and that policy after.
"""

import base64
import hashlib
import json
from collections.abc import Container, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from flows.report.report_tables import Published
from flows.storage.layout import month_name
from schemas.codes import METHODOLOGY
from transforms.report.figures import Cell, show_name, usd
from transforms.report.insights import join_names

WITHOUT_STATES = (
    "This month has no figures by state: it was made without an NPPES reference, which alone says where providers "
    "practise and what they are. The pages are national only, every taxonomy counts, and NPIs that are unknown, "
    "deactivated or abroad were not left out."
)
EMPTY_STATES = (
    "This month has no figures by state: no provider of an eligible rate could be placed. The pages are national only."
)


@dataclass(frozen=True)
class Site:
    """Values on every page."""

    codes: tuple[str, ...]
    month: str
    view: str
    warnings: tuple[str, ...]  # what a reader must know before any figure
    kept: frozenset[str]  # payers withheld, whose last good figures stand in the tables
    published_at: str
    software: str
    methodology: str
    style: Markup
    script: Markup
    policy: str


def make_site(published: Published) -> Site:
    """The shared values of one report."""
    script = _package_text("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    entry = published.entry
    return Site(
        codes=published.codes,
        month=month_name(published.month),
        view=published.view.text,
        warnings=tuple(_warnings(published)),
        kept=frozenset(entry.get("withheld") or ()) & frozenset(entry.get("payers") or ()),
        published_at=show_moment(entry.get("published_at")),
        software=str(entry.get("software", "")),
        methodology=str(entry.get("methodology", METHODOLOGY)),
        style=Markup(_package_text("style.css")),
        script=Markup(script),
        policy=f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'",
    )


def _warnings(published: Published) -> Iterator[str]:
    entry = published.entry
    if not published.with_states:
        yield EMPTY_STATES if entry.get("nppes") else WITHOUT_STATES
    withheld, standing = frozenset(entry.get("withheld") or ()), frozenset(entry.get("payers") or ())
    for payers, what in (
        (withheld & standing, "the last good ones of this month stand in their place"),
        (withheld - standing, "this month has none of theirs"),
    ):
        if payers:
            named = join_names([show_name(payer) for payer in sorted(payers)])
            yield f"Withheld because their new figures failed a gate: {named}; {what}. See Methodology and limits."
    if refused := len(entry.get("quarantined", ())):
        files = "1 file was" if refused == 1 else f"{refused:,} files were"
        yield f"{files} refused and counted nowhere. Methodology and limits names each, with the reason."


def make_environment(site: Site) -> Environment:
    """Templates of this package: everything is escaped, and a name that is not there is an error."""
    environment = Environment(
        loader=PackageLoader("flows.report", "pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "usd": usd,
        "count": show_count,
        "share": show_share,
        "note": partial(show_note, kept=site.kept),
    }
    environment.globals["site"] = site
    return environment


def embed_json(data: Any) -> Markup:
    """JSON for a ``<script type="application/json">``: no ``<`` in it, so nothing in it can end the element."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def show_count(number: int | None) -> str:
    """``1,204``; nothing for Medicare, which has no providers."""
    return "" if number is None else f"{number:,}"


def show_share(share: Decimal | None) -> str:
    """``94.8``; nothing where Medicare has no amount."""
    return "" if share is None else f"{share:,}"


def show_note(cell: Cell, kept: Container[str] = ()) -> str:
    """What a reader must know of a row before trusting it."""
    if cell.payer_kind == "benchmark":
        places = "locality" if cell.n_rates == 1 else "localities"
        return f"{cell.n_rates:,} {places}"
    notes = ("small sample", cell.low_sample), ("withheld: last good figures", cell.payer in kept)
    return "; ".join(note for note, applies in notes if applies)


def show_moment(text: str | None) -> str:
    """``2025-07-01 02:03 UTC`` from the manifest's time; nothing where it has none."""
    return f"{datetime.fromisoformat(text).astimezone(UTC):%Y-%m-%d %H:%M} UTC" if text else ""


def _package_text(name: str) -> str:
    return resources.files("flows.report").joinpath("pages", name).read_text(encoding="utf-8")
