"""The pages of one code: national, by geography, by payer. Each yields the page and the CSV files beside it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cached_property
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from flows.layout import month_name
from flows.report_site import Site, embed_json, show_count
from flows.report_tables import TREND_COLUMNS, Place, Published
from schemas.codes import COMPOSITE_ALL, GEOGRAPHIES, TAXONOMY_TIERS
from schemas.coding import coding_of
from schemas.geographies import (
    BY_CODE,
    IN_ORDER,
    NATIONAL,
    OTHERS_IN_ORDER,
    STATES_IN_ORDER,
    name_of,
    position_of,
)
from schemas.published import SUMMARIES
from transforms.calculator import only_state
from transforms.charts import describe_change, range_chart, reference_label, sparkline
from transforms.csv_text import csv_text
from transforms.figures import Cell, ratio, show_name, to_cents, usd
from transforms.insights import Insight, describe_geography
from transforms.insights_payer import describe_payer
from transforms.payers import payer_slug
from transforms.tile_map import MEASURES, make_layer, map_data

# Payers can be hundreds: what a page shows of them is bounded, so that it stays under 300 KB; the CSV has them all.
MOST_IN_TABLE = 150
MOST_IN_CHART = 25
MOST_ON_MAP = 15
MOST_MONTHS = 24
MOST_OTHERS = 200

File = tuple[str, str]  # path within the report, text
_AT = {name: place for place, name in enumerate(SUMMARIES.names)}
_OTHER_FIGURES = ("mean_usd", "p25_usd", "p50_usd", "p75_usd", "iqr_usd")


@dataclass(frozen=True)
class CodePages:
    """All pages of one code."""

    published: Published
    code: str
    environment: Environment
    fees: Mapping[str, Any]  # transforms.calculator.calculator_figures

    @property
    def site(self) -> Site:
        """What every page shares."""
        site: Site = self.environment.globals["site"]  # type: ignore[assignment]
        return site

    @cached_property
    def geographies(self) -> tuple[str, ...]:
        """Pages in their order: national, states, DC and territories."""
        return (NATIONAL, *IN_ORDER) if self.published.with_states else (NATIONAL,)

    @cached_property
    def payers(self) -> dict[str, dict[str, Cell]]:
        """Each payer's cells by geography; payers in the order of the tables."""
        found: dict[str, dict[str, Cell]] = {}
        for geography in (NATIONAL, *GEOGRAPHIES):
            for cell in self.published.cells.get((self.code, geography), []):
                found.setdefault(cell.payer, {})[geography] = cell
        order = {payer: next(iter(cells.values())).order for payer, cells in found.items()}
        return {payer: found[payer] for payer in sorted(found, key=lambda payer: order[payer])}

    @cached_property
    def names(self) -> dict[str, str]:
        """Payers as shown."""
        return {payer: show_name(payer) for payer in self.payers}

    @cached_property
    def slugs(self) -> dict[str, str]:
        """File names of payer pages, the same as of the folders of ``rates``."""
        return {payer: payer_slug(payer) for payer in self.payers}

    @cached_property
    def national(self) -> dict[str, Cell]:
        """National cells by payer."""
        return self.published.national(self.code)

    @cached_property
    def on_map(self) -> list[str]:
        """The payers of the map's picker: pooled ones and Medicare, then the largest."""
        return [
            cell.payer for cell in largest((next(iter(cells.values())) for cells in self.payers.values()), MOST_ON_MAP)
        ]

    @cached_property
    def map_json(self) -> Markup:
        """The map's data, the same on every geography's page."""
        return embed_json(map_data({payer: self.payers[payer] for payer in self.on_map}, self.names))

    def files(self) -> Iterator[File]:
        """Every page and CSV of the code."""
        for geography in self.geographies:
            yield from self._geography_files(geography)
        if self.published.with_states:
            yield f"{self.code}/states.csv", self._states_csv()
        for payer in self.payers:
            yield f"{self.code}/payers/{self.slugs[payer]}.html", self._payer_page(payer)
            yield f"{self.code}/payers/{self.slugs[payer]}.csv", self._payer_csv(payer)

    def _geography_files(self, geography: str) -> Iterator[File]:
        place = (self.code, geography)
        yield f"{self.code}/{geography}.html", self._geography_page(geography)
        yield f"{self.code}/{geography}.csv", csv_text(SUMMARIES.names, self.published.rows.get(place, []))
        if len(self.published.months) > 1:
            rows = ([row[name] for name in TREND_COLUMNS] for row in self.published.history.get(place, []))
            yield f"{self.code}/{geography}-trend.csv", csv_text(TREND_COLUMNS, rows)

    def _geography_page(self, geography: str) -> str:
        cells = self.published.cells.get((self.code, geography), [])
        medicare = next((cell for cell in cells if cell.payer_kind == "benchmark"), None)
        shown, charted = largest(cells, MOST_IN_TABLE), largest(cells, MOST_IN_CHART)
        others = [row for row in self.published.rows.get((self.code, geography), []) if self._behind(row)]
        others.sort(key=_other_order)
        return self.environment.get_template("geography.html").render(
            title=f"CPT {self.code}, {name_of(geography)}",
            root="../",
            code=self.code,
            geography=geography,
            name=name_of(geography),
            panel=coding_of(self.code),
            insights=describe_geography(cells, self.national, is_national=geography == NATIONAL),
            shown=[(cell, cell.name, f"payers/{self.slugs[cell.payer]}.html", "") for cell in shown],
            left_out=len(cells) - len(shown),
            chart=_svg(range_chart(charted, medicare, f"Ranges by payer, {name_of(geography)}")) if charted else None,
            charted=len(charted),
            reference=reference_label(medicare),
            map=self._map(geography) if self.published.with_states and self.on_map else None,
            trend=self._trend((self.code, geography), shown),
            others=[_other_row(row) for row in others[:MOST_OTHERS]],
            others_left_out=max(len(others) - MOST_OTHERS, 0),
            calc=self._calculator(geography),
            downloads=self._downloads(geography),
            **self._pager(geography),
        )

    def _behind(self, row: Sequence[Any]) -> bool:
        """Whether a published row is not of the view in front."""
        view = self.published.view
        own = (row[_AT["billing_class"]], row[_AT["taxonomy_tier"]], row[_AT["weighting"]])
        in_front = own == (view.billing_class, view.taxonomy_tier, view.weighting)
        return not in_front and row[_AT["payer_kind"]] != "benchmark"

    def _pager(self, geography: str) -> dict[str, Any]:
        here = self.geographies.index(geography)
        around = (None, *self.geographies, None)
        states = len(STATES_IN_ORDER)
        return {
            "previous": around[here],
            "next": around[here + 2],
            "position": f"US, {states} states, {len(OTHERS_IN_ORDER)} others"
            if geography == NATIONAL
            else position_of(geography),
            "options": [(code, f"{code} {name_of(code)}") for code in self.geographies],
        }

    def _map(self, geography: str, payers: Sequence[str] = ()) -> dict[str, Any]:
        """The map as it stands before its script runs: the first measure of every payer pooled."""
        on_map = payers or self.on_map
        first = COMPOSITE_ALL if COMPOSITE_ALL in on_map else on_map[0]
        layer, places = make_layer(self.payers[first], MEASURES[0]), self.payers[first]
        prefix = "../" if payers else ""
        return {
            "payers": [self.names[payer] for payer in on_map],
            "chosen": list(on_map).index(first),
            "measures": [measure.label for measure in MEASURES],
            "legend": layer.legend,
            "said": f"{self.names[first]}, {MEASURES[0].label}",
            "left_out": 0 if payers else len(self.payers) - len(on_map),
            "json": embed_json(map_data({payer: self.payers[payer] for payer in on_map}, self.names))
            if payers
            else self.map_json,
            "tiles": [
                _tile(code, layer.texts[at], layer.shades[at], places.get(code), prefix, here=code == geography)
                for at, code in enumerate(IN_ORDER)
            ],
        }

    def _trend(self, place: Place, cells: Sequence[Cell]) -> dict[str, Any] | None:
        months = self.published.months
        if len(months) < 2 or not cells:
            return None
        shown, medians = months[-MOST_MONTHS:], self.published.medians(place)
        return {
            "months": [month_name(month) for month in shown],
            "left_out": len(months) - len(shown),
            "rows": [_trend_row(cell, medians.get(cell.payer, {}), shown) for cell in cells],
        }

    def _calculator(self, geography: str) -> dict[str, Any] | None:
        fees = self.fees if geography == NATIONAL else only_state(dict(self.fees), geography)
        return calculator_context(fees, self.code, "AK" if geography == NATIONAL else geography, self.published.month)

    def _downloads(self, geography: str) -> list[tuple[str, str]]:
        month = month_name(self.published.month)
        links = [(f"{geography}.csv", f"All figures of this page, {month} (CSV)")]
        if len(self.published.months) > 1:
            links.append((f"{geography}-trend.csv", "All months (CSV)"))
        if self.published.with_states:
            links.append(("states.csv", "All states and payers, the figures of the map (CSV)"))
        return [*links, *parquet_links("../../", month)]

    def _states_csv(self) -> str:
        front = [row for geography in self.geographies for row in self._front_rows(geography)]
        return csv_text(SUMMARIES.names, front)

    def _front_rows(self, geography: str) -> list[tuple[Any, ...]]:
        return [row for row in self.published.rows.get((self.code, geography), []) if not self._behind(row)]

    def _payer_csv(self, payer: str) -> str:
        rows = [row for geography in self.geographies for row in self._front_rows(geography)]
        return csv_text(SUMMARIES.names, (row for row in rows if row[_AT["payer"]] == payer))

    def _payer_page(self, payer: str) -> str:
        places = {code: self.payers[payer][code] for code in self.geographies if code in self.payers[payer]}
        cells = list(places.values())
        labels = [f"{code} {name_of(code)}" for code in places]
        national = places.get(NATIONAL)
        medicare = next((cell for cell in self.national.values() if cell.payer_kind == "benchmark"), None)
        slug = self.slugs[payer]
        return self.environment.get_template("payer.html").render(
            title=f"CPT {self.code}, {self.names[payer]}",
            root="../../",
            code=self.code,
            slug=slug,
            name=self.names[payer],
            options=[(self.slugs[other], self.names[other]) for other in self.payers],
            insights=describe_payer(self.names[payer], places),
            shown=[
                (cell, label, f"../{code}.html", _times(cell, national))
                for (code, cell), label in zip(places.items(), labels, strict=True)
            ],
            map=self._map(NATIONAL, (payer,)) if self.published.with_states else None,
            chart=_svg(range_chart(cells, medicare, f"Ranges by state, {self.names[payer]}", labels)),
            reference=reference_label(medicare) + ", national" if medicare else "",
            downloads=[
                (f"{slug}.csv", "This table (CSV)"),
                *parquet_links("../../../", month_name(self.published.month)),
            ],
        )


def largest(cells: Iterable[Cell], most: int) -> list[Cell]:
    """At most so many, in table order: pooled payers and Medicare stay, of the others those with most providers."""
    ordered = sorted(cells, key=lambda cell: (cell.payer_kind == "payer", -(cell.n_npi or 0), cell.payer))
    return sorted(ordered[:most], key=lambda cell: cell.order)


def calculator_context(fees: Mapping[str, Any], code: str, state: str, month: date) -> dict[str, Any] | None:
    """What the calculator starts with; None where no fee schedule has the place."""
    if not fees["years"]:
        return None
    years = [year for year in fees["years"] if int(year) <= month.year] or list(fees["years"])
    return {"code": code, "state": state, "year": years[-1], "json": embed_json(fees)}


def parquet_links(up: str, month: str) -> list[tuple[str, str]]:
    """The tables behind the pages, where they lie beside the report."""
    return [
        (f"{up}summaries/month={month}/summaries.parquet", "summaries (Parquet)"),
        (f"{up}providers/month={month}/providers.parquet", "providers (Parquet)"),
        (f"{up}manifest.json", "manifest.json"),
    ]


def _svg(text: str) -> Markup:
    return Markup(text)


def _times(cell: Cell, national: Cell | None) -> str:
    times = ratio(cell.mean, national.mean) if national else None
    return "" if times is None else str(times)


def _tile(code: str, text: str, shade: str, cell: Cell | None, prefix: str, *, here: bool) -> dict[str, Any]:
    place = BY_CODE[code]
    small = cell is not None and cell.low_sample
    note = "" if text and not small else ", small sample" if text else ", no figure"
    shades = ("" if shade == "-" else f"q{shade}", "here" if here else "")
    return {
        "code": code,
        "name": place.name,
        "row": place.row,
        "column": place.column,
        "text": f"{text}*" if small and text else text,
        "shade": " ".join(filter(None, shades)),
        "said": f" {place.name}{note}",
        "href": f"{prefix}{code}.html",
        "here": here,
    }


def _trend_row(cell: Cell, medians: Mapping[date, Decimal], months: Sequence[date]) -> dict[str, Any]:
    amounts = [medians.get(month) for month in months]
    return {
        "name": cell.name,
        "line": _svg(sparkline(amounts, f"{cell.name}, median by month")),
        "texts": ["" if amount is None else usd(amount) for amount in amounts],
        "change": describe_change(amounts[-2], amounts[-1]),
    }


def _other_row(row: Sequence[Any]) -> list[str]:
    words = [row[_AT[name]] for name in ("billing_class", "taxonomy_tier", "weighting")]
    amounts = [usd(to_cents(row[_AT[name]])) for name in _OTHER_FIGURES]
    small = " *" if row[_AT["low_sample"]] else ""
    return [show_name(row[_AT["payer"]]), *words, *amounts, f"{show_count(row[_AT['n_npi']])}{small}"]


def _other_order(row: Sequence[Any]) -> tuple[Any, ...]:
    """Professional before institutional, tiers from strict to all, each provider once before each holder once."""
    tier = TAXONOMY_TIERS.index(row[_AT["taxonomy_tier"]])
    kind = row[_AT["payer_kind"]] != "payer"
    return (row[_AT["billing_class"]] != "professional", row[_AT["weighting"]], tier, kind, row[_AT["payer"]])


def front_insights(pages: CodePages, most: int = 4) -> list[Insight]:
    """The first national sentences of a code, for the start page."""
    return describe_geography(pages.national.values(), pages.national, is_national=True)[:most]
