"""What every page of the report shares: templates, style and script, each page whole in itself.

The policy in each page's head lets nothing be fetched and no script run but the page's own, by its hash: markup in a
file's name meets autoescaping first, and that policy after.
"""

import base64
import hashlib
import json
from collections.abc import Container, Iterator
from datetime import UTC, datetime
from functools import cache, partial
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from flows.report.report_tables import Published
from flows.storage.layout import month_name
from schemas.codes import METHODOLOGY
from transforms.benchmark.payers import payer_slug
from transforms.report.charts import sparkline
from transforms.report.figures import Cell, show_name, usd
from transforms.report.sentences import join_names

DERIVATIONS = "derivations"  # in a code's folder: a page a payer
WITHOUT_STATES = (
    "This month has no figures by state because it was made without an NPPES reference, which says where providers "
    "practice and what their taxonomies are. The pages are national only, every taxonomy counts, and NPIs that are "
    "unknown, deactivated or abroad were not excluded."
)
EMPTY_STATES = (
    "This month has no figures by state: NPPES has no state for any provider with an eligible rate. The pages are "
    "national only."
)


def make_environment(published: Published) -> Environment:
    """The templates, with what every page shows as ``site``."""
    script, entry = _package_text("page.js"), published.entry
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    environment = make_templates()
    environment.filters["note"] = partial(show_note, old=withheld_payers(published)[0])
    environment.globals["site"] = {
        "codes": published.codes,
        "month": month_name(published.month),
        "views": [view.text for view in published.views],
        "warnings": list(_warnings(published)),
        "published_at": show_moment(entry.get("published_at")),
        "software": str(entry.get("software", "")),
        "methodology": str(entry.get("methodology", METHODOLOGY)),
        "style": Markup(_package_text("style.css")),
        "script": Markup(script),
        "policy": f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'",
    }
    return environment


def make_templates() -> Environment:
    """Templates of this package: everything is escaped, and a name that is not there is an error."""
    environment = Environment(
        loader=PackageLoader("flows.report", "pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "usd": lambda amount: "" if amount is None else usd(amount),
        "count": lambda number: "" if number is None else f"{number:,}",  # Medicare has no providers
        "moment": show_moment,
        "localities": show_localities,
        "month": month_name,
        "shown": show_name,
        "spark": sparkline,
        "derivation": derivation_of,
        "linked": figure_cell,
        "providers": count_providers,
    }
    return environment


def withheld_payers(published: Published) -> tuple[frozenset[str], frozenset[str]]:
    """Payers withheld: those whose last good figures remain in the tables, and those without any."""
    withheld = frozenset(published.entry.get("withheld") or ())
    remaining = withheld & frozenset(published.entry.get("payers") or ())
    return remaining, withheld - remaining


def _warnings(published: Published) -> Iterator[str]:
    """What a reader must know before any figure."""
    entry = published.entry
    if not published.with_states:
        yield EMPTY_STATES if entry.get("nppes") else WITHOUT_STATES
    remaining, absent = withheld_payers(published)
    for payers, what in ((remaining, "their last good figures are shown"), (absent, "no figures of theirs are shown")):
        if payers:
            named = join_names([show_name(payer) for payer in sorted(payers)])
            yield f"New figures failed a quality gate and were withheld for {named}; {what}."
    if refused := len(entry.get("quarantined", ())):
        files = "1 file was" if refused == 1 else f"{refused:,} files were"
        yield f"{files} quarantined and excluded. Methodology and limitations gives the reasons."


def embed_json(data: Any) -> Markup:
    """JSON for a ``<script type="application/json">``: no ``<`` in it, so nothing in it can end the element."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def show_note(cell: Cell, old: Container[str] = ()) -> str:
    """A caution about a row: old figures of a payer that was withheld."""
    return "withheld: last good figures" if cell.payer in old else ""


def show_localities(medicare: Cell) -> str:
    """``29 localities``: what Medicare's figures are taken over."""
    return f"{medicare.n_rates:,} {'locality' if medicare.n_rates == 1 else 'localities'}"


def show_moment(text: str | None) -> str:
    """``2025-07-01 02:03 UTC`` from the manifest's time; nothing where it has none."""
    return f"{datetime.fromisoformat(text).astimezone(UTC):%Y-%m-%d %H:%M} UTC" if text else ""


@cache
def derivation_page(payer: str) -> str:
    """The page that derives a payer's figures, within a code's folder."""
    return f"{DERIVATIONS}/{payer_slug(payer)}.html"


def derivation_of(cell: Cell, up: str = "") -> str:
    """Where a cell's figures are derived, from a page that reaches the code's folder by ``up``."""
    return f"{up}{derivation_page(cell.payer)}#{cell.anchor}"


def network_anchor(number: int) -> str:
    """The row of a payer's network on the page that derives the payer's figures."""
    return f"network-{number}"


def figure_cell(text: str, how: str, kind: str = "") -> str:
    """A table's cell whose figure, if there is one, leads to its derivation.

    Args:
        text: of a figure: digits and signs, nothing to escape.
        how: of ``derivation_of``; empty where the figure has no derivation.
    """
    start = f'<td class="{kind}">' if kind else "<td>"
    return f'{start}<a href="{how}">{text}</a></td>' if text and how else f"<td>{text}</td>"


def count_providers(cell: Cell) -> str:
    """``1,204``, ``7*`` where the sample is small; nothing for Medicare."""
    return "" if cell.n_npi is None else f"{cell.n_npi:,}{'*' if cell.low_sample else ''}"


def _package_text(name: str) -> str:
    return resources.files("flows.report").joinpath("pages", name).read_text(encoding="utf-8")
