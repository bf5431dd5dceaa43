"""Pages about payers: one payer across states, and all payers by state."""

from jinja2 import Environment

from flows.report.report_parts import RULES_CSV, parquet_links, scale_of, share_of, tile_map
from flows.report.report_site import derivation_of, derivation_page, network_anchor
from flows.report.report_tables import CodeViews, largest
from flows.storage.layout import month_name
from schemas.codes import MEDICARE
from schemas.coverage import POLICY
from schemas.geographies import NATIONAL, name_of
from transforms.benchmark.payers import map_payers
from transforms.report.insights import describe_heat, describe_payer
from transforms.report.paragraph import small_sample_rule
from transforms.report.rules import CodeRules, Document
from transforms.report.tile_map import MEASURES, heat_table

MOST_NETWORKS = 150
MOST_IN_HEAT_TABLE = 15
HEAT_PAGE = "payers-by-state.html"


def payer_page(environment: Environment, views: CodeViews, payer: str, rules: CodeRules | None) -> str:
    """One payer across states."""
    policies, policies_left_out = _policies(rules, payer)
    figures, why = views.of_payer(payer)
    name, slug = figures.names[payer], figures.slugs[payer]
    month = month_name(figures.published.month)
    places = {code: figures.payers[payer][code] for code in figures.geographies if code in figures.payers[payer]}
    labels = {code: f"{code} {name_of(code)}" for code in places}
    medicare, national = figures.cells(NATIONAL).get(MEDICARE), places.get(NATIONAL)
    networks = [*figures.network_cells(payer).values()]
    hows = [f"../{derivation_page(payer)}#{network_anchor(n)}" for n in range(len(networks))]
    shown_networks = sorted(zip(networks, hows, strict=True), key=lambda each: -(each[0].n_npi or 0))[:MOST_NETWORKS]
    links = [(f"{slug}.csv", "This table (CSV)")]
    if payer in figures.networks:
        links.append((f"{slug}-networks.csv", "Networks by state (CSV)"))
    drawn = tile_map(figures, [payer]) | {"here": NATIONAL, "left_out": 0}
    return environment.get_template("payer.html").render(
        title=f"CPT {figures.code}, {name}",
        root="../../",
        why=why,
        code=figures.code,
        slug=slug,
        name=name,
        options=[*views.payers.values()],
        insights=describe_payer(name, places),
        remark=small_sample_rule(),
        heat=HEAT_PAGE,
        shown=[
            (cell, labels[code], f"../{code}.html", share_of(cell, national), derivation_of(cell, "../"))
            for code, cell in places.items()
        ],
        map=drawn if figures.published.with_states else None,
        charted=[(cell, labels[code]) for code, cell in places.items()],
        scale=scale_of(places.values(), medicare),
        medicare=medicare,
        networks=[(cell, cell.name, "", share_of(cell, national), how) for cell, how in shown_networks],
        networks_left_out=len(networks) - len(shown_networks),
        policies=policies,
        policies_left_out=policies_left_out,
        rules_csv=f"../{RULES_CSV}",
        downloads=[*links, *parquet_links("../../../", month)],
    )


def _policies(rules: CodeRules | None, payer: str) -> tuple[list[Document], int]:
    """The policies that the csv states of a payer under any of its names, and how many more there are."""
    if rules is None:
        return [], 0
    names = map_payers(rules.table.filter(kind=POLICY)["authority"])
    return rules.of_payers(names.filter(payer=payer)["reporting_entity_name"].to_list())


def heat_page(environment: Environment, views: CodeViews) -> str:
    """The medians of the largest payers by state, shaded from the lowest to the highest."""
    figures = views.national
    firsts = [next(iter(cells.values())) for cells in figures.payers.values()]
    month = month_name(figures.published.month)
    payers = [cell.payer for cell in largest(firsts, MOST_IN_HEAT_TABLE)]
    measure = next(each for each in MEASURES if each.key == "p50")
    return environment.get_template("heat.html").render(
        title=f"CPT {figures.code}, payers by state",
        root="../",
        why=views.why(),
        code=figures.code,
        heat=heat_table({payer: figures.payers[payer] for payer in payers}, measure),
        payers=[
            (figures.names[payer], f"payers/{figures.slugs[payer]}.html", derivation_page(payer)) for payer in payers
        ],
        left_out=len(figures.payers) - len(payers),
        finding=describe_heat({payer: figures.payers[payer] for payer in payers}).text,
        remark=small_sample_rule(),
        name_of=name_of,
        downloads=[("states.csv", "All states and payers (CSV)"), *parquet_links("../../", month)],
    )
