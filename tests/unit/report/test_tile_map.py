"""The map's data: every geography has one tile, equal figures one shade, and legends span their shades."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.codes import GEOGRAPHIES
from schemas.geographies import BY_CODE, IN_ORDER, OTHERS_IN_ORDER, STATES_IN_ORDER, name_of, position_of
from tests.report_market import summary
from transforms.report.figures import Cell, make_cell
from transforms.report.tile_map import MEASURES, SHADES, heat_table, make_layer, map_data, write_figure

STABLE = settings(max_examples=100, deadline=None, derandomize=True, database=None)
MEAN = next(measure for measure in MEASURES if measure.key == "mean")


def cells_of(means: dict[str, float]) -> dict[str, Cell]:
    return {code: make_cell(summary("Aetna", code, (mean, 1, 1, 1))) for code, mean in means.items()}


def test_every_geography_has_a_name_and_a_tile_of_its_own() -> None:
    assert set(IN_ORDER) == set(GEOGRAPHIES)
    assert len({(place.column, place.row) for place in BY_CODE.values()}) == len(GEOGRAPHIES)
    assert len({place.name for place in BY_CODE.values()}) == len(GEOGRAPHIES)
    assert name_of("US") == "United States"


def test_states_come_in_the_order_of_their_codes_and_the_others_after() -> None:
    assert STATES_IN_ORDER[:3] == ("AK", "AL", "AR")
    assert len(STATES_IN_ORDER) == 50
    assert position_of("AK") == "AK 1 / 50"
    assert position_of("WY") == "WY 50 / 50"
    assert OTHERS_IN_ORDER[0] == "DC"
    assert position_of("VI").startswith("VI 6 / 6")


@STABLE
@given(
    st.dictionaries(st.sampled_from(IN_ORDER), st.sampled_from((1.0, 1.004, 2.5, 3.0, 4.0, 5.0, 6.0, 7.0)), min_size=1)
)
def test_shades_follow_the_figures_and_legends_span_them(means: dict[str, float]) -> None:
    cells = cells_of(means)
    layer = make_layer(cells, MEAN)
    shaded = {code: layer["shades"][at] for at, code in enumerate(IN_ORDER) if layer["shades"][at] != "-"}
    assert set(shaded) == set(means)
    ordered = sorted(cells.values(), key=lambda cell: cell.mean)
    for low, high in pairwise(ordered):
        assert shaded[low.geography] <= shaded[high.geography]
        assert low.mean != high.mean or shaded[low.geography] == shaded[high.geography]
    assert len(layer["legend"]) == len(set(shaded.values())) <= SHADES
    assert layer["legend"][0].startswith(f"{ordered[0].mean}")
    assert layer["legend"][-1].endswith(f"{ordered[-1].mean}")
    assert sorted(set(shaded.values())) == [str(shade) for shade in range(len(layer["legend"]))]


def test_five_figures_or_more_use_every_shade_from_the_lowest_to_the_highest() -> None:
    for number in range(1, len(IN_ORDER) + 1):
        means = {code: 10.0 + place for place, code in enumerate(IN_ORDER[:number])}
        layer = make_layer(cells_of(means), MEAN)
        used = layer["shades"].replace("-", "")
        assert (used[0], used[-1]) == ("0", str(min(number, SHADES) - 1))
        assert len(layer["legend"]) == len(set(used)) == min(number, SHADES)
        held = [used.count(shade) for shade in sorted(set(used))]
        assert max(held) - min(held) <= 1


def test_a_payer_without_figures_has_an_empty_layer() -> None:
    layer = make_layer({}, MEAN)
    assert set(layer["texts"]) == {"|"}
    assert set(layer["shades"]) == {"-"}
    assert layer["legend"] == []


def test_medicare_has_no_providers_to_show() -> None:
    data = map_data({"Medicare": {"AK": make_cell(summary("Medicare", "AK"))}}, {"Medicare": "Medicare"})
    providers = [measure.key for measure in MEASURES].index("n_npi")
    assert set(data["layers"][0][providers]["shades"]) == {"-"}
    assert data["small"] == ["0" * len(IN_ORDER)]


def test_figures_are_written_by_their_unit() -> None:
    cell = make_cell(summary("Aetna", "AK", (1234.5, 1, 6.92, 9), n_npi=1200))
    texts = {m.key: next(text for text in make_layer({"AK": cell}, m)["texts"].split("|") if text) for m in MEASURES}
    assert (texts["mean"], texts["pct_of_medicare"], texts["n_npi"]) == ("1,234.50", "100.0%", "1,200")
    assert write_figure(cell.p50, MEAN) == "6.92"


def test_a_table_of_payers_by_state_has_one_scale_of_shades_and_no_row_without_figures() -> None:
    payers = {"Aetna": cells_of({"US": 5.0, "AK": 1.0, "WY": 9.0}), "Cigna": cells_of({"US": 5.0, "WY": 3.0})}
    payers["Cigna"]["WY"] = make_cell(summary("Cigna", "WY", (3.0, 1, 1, 1), low_sample=True))
    assert heat_table(payers, MEAN) == {
        "rows": [
            ("US", [("5.00", 2, False, "US-balanced"), ("5.00", 2, False, "US-balanced")]),
            ("AK", [("1.00", 0, False, "AK-balanced"), None]),
            ("WY", [("9.00", 3, False, "WY-balanced"), ("3.00", 1, True, "WY-balanced")]),
        ],
        "legend": ["1.00", "3.00", "5.00", "9.00"],
    }
