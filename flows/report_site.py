"""What every page of the report shares: templates, style and script, each page whole in itself.

The policy in each page's head lets nothing be fetched and no script run but the page's own, by its hash: a name in a
file that would smuggle markup in meets autoescaping first, and that policy after.
"""

import base64
import hashlib
import json
from dataclasses import dataclass
from decimal import Decimal
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from flows.layout import month_name
from flows.report_tables import Published
from schemas.codes import METHODOLOGY
from transforms.figures import Cell, usd

WITHOUT_STATES = (
    "This month has no figures by state: it was made without an NPPES reference, which alone says where providers "
    "practise. The pages are national only."
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
    without_states: str
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
    without = EMPTY_STATES if entry.get("nppes") else WITHOUT_STATES
    return Site(
        codes=published.codes,
        month=month_name(published.month),
        view=published.view.text,
        without_states="" if published.with_states else without,
        published_at=str(entry.get("published_at", ""))[:10],
        software=str(entry.get("software", "")),
        methodology=str(entry.get("methodology", METHODOLOGY)),
        style=Markup(_package_text("style.css")),
        script=Markup(script),
        policy=f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'",
    )


def make_environment(site: Site) -> Environment:
    """Templates of this package: everything is escaped, and a name that is not there is an error."""
    environment = Environment(
        loader=PackageLoader("flows", "pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"usd": usd, "count": show_count, "share": show_share, "note": show_note}
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


def show_note(cell: Cell) -> str:
    """What a reader must know of a row before trusting it."""
    if cell.payer_kind == "benchmark":
        places = "locality" if cell.n_rates == 1 else "localities"
        return f"fee schedule {cell.medicare_year}, {cell.n_rates:,} {places}"
    return "small sample" if cell.low_sample else ""


def _package_text(name: str) -> str:
    return resources.files("flows").joinpath("pages", name).read_text(encoding="utf-8")
