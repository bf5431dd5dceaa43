"""The oracle itself: hand-written rows for the tricky cases, hand-computed benchmarks, the real files."""

import gzip
import hashlib
from collections.abc import Iterable
from datetime import date
from random import Random
from typing import Any, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import codes as contract_codes
from schemas import mrf
from schemas.published import PROVIDERS, RATE_GRAIN, SUMMARIES
from tests import plain_benchmarks
from tests import plain_extract as plain_extract_module
from tests import plain_rates as rules
from tests.containers import gzipped
from tests.documents import ANN, BAD_CHECK_DIGIT, BOB, EVE, document, group, item, npi_of, price, priced_document, rate
from tests.field_notes import (
    CASES,
    CASES_BY_NAME,
    GENERATED_REMOTE,
    Case,
    generated_documents,
    malformed_documents,
    truncated_documents,
)
from tests.generated_documents import build_document
from tests.json_text import json_bytes
from tests.plain_json import as_date, as_id, as_npi
from tests.plain_reading import (
    Header,
    PlainExtract,
    PlainNpi,
    PlainRate,
    PlainSummary,
    ProviderKey,
    RateRow,
    SummaryKey,
    UnreadableError,
    is_valid_npi,
    plain_documents,
    plain_extract,
    plain_json,
    plain_providers,
    plain_rates,
    plain_summaries,
)
from tests.shared_files import shared_bytes, shared_path

WANTED = ("97026", "97028")
RULES = tuple(rule.name for rule in contract_codes.EXCLUSIONS)

BASE = RateRow(
    reporting_entity_name="Acme Health Plan",
    billing_code="97026",
    billing_code_type="CPT",
    arrangement="ffs",
    negotiated_type="negotiated",
    negotiated_rate=30.0,
    billing_class="professional",
    setting=None,
    service_codes=("11",),
    modifiers=("GP",),
    expiration_date=None,
    tin_type="ein",
    tin="123456789",
    npi=ANN,
)
NOBODY: dict[str, Any] = {"tin_type": None, "tin": None, "npi": None}


def extracts(case: Case) -> list[PlainExtract]:
    return [plain_extract(data, WANTED, case.remote) for data in plain_documents(case.published)]


def rows_of(case: Case) -> set[RateRow]:
    return {row for extract in extracts(case) for row in extract.rows}


def what_became_of(case: Case) -> str:
    try:
        return "matched" if rows_of(case) else "no_match"
    except UnreadableError:
        return "quarantined"


# --- The cases ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_case_reads_as_it_expects(case: Case) -> None:
    assert what_became_of(case) == case.expect


def test_case_names_are_distinct() -> None:
    assert len(CASES_BY_NAME) == len(CASES)


NOT_ABOUT_CONTENT = (
    "For these two codes the carve-outs matter",  # which sources a config names
    "60% to 96% of published provider-service pairs",  # the taxonomy tiers
    "44% of the rows of one New York corpus",  # likewise
)


def test_every_line_of_the_field_notes_has_a_case() -> None:
    notes = shared_path("FIELD-NOTES.md").read_text()
    lines = [line for line in notes.splitlines() if line.startswith("- ")]
    quoted = {case.line for case in CASES}
    assert [quote for quote in quoted if quote not in notes] == []
    uncovered = [line for line in lines if not any(quote in line for quote in (*quoted, *NOT_ABOUT_CONTENT))]
    assert uncovered == []


@pytest.mark.parametrize("case", [case for case in CASES if case.expect == "no_match"], ids=lambda case: case.name)
def test_decoys_match_no_item(case: Case) -> None:
    assert [extract.items_matched for extract in extracts(case)] == [0]


# case name: how its rows differ from BASE, one entry per row
EXPECTED: dict[str, list[dict[str, Any]]] = {
    "id 40.0000000001 cited as 40.0000000001": [{}],
    "id 9007199254740993 cited as 9007199254740993": [{}],
    "id 690.6447 cited as 690.64470": [{}],
    'id "7" cited as 7': [{}],
    'id 7 cited as "7"': [{}],
    'id "G-1" cited as " G-1 "': [{}],
    "id 40 is not 40.0000000001": [NOBODY],
    "id 9007199254740992 is not 9007199254740993": [NOBODY],
    "id null is not null": [NOBODY],
    "one id defined twice": [{}, {"npi": BOB}],
    "one id defined in two spellings": [{}, {"npi": BOB}],
    "one citation resolved, one not": [{}, NOBODY],
    "first citation unresolved": [{}, NOBODY],
    "null citation beside a good one": [{}, NOBODY],
    "neither inline nor cited": [NOBODY],
    "inline and cited in one rate": [{}, {"npi": BOB}],
    "inline groups win over a location": [{"npi": EVE}],
    "remote location, cited and found": [{}, {"npi": BOB}, {"npi": EVE}],
    "remote groups out of a spreadsheet": [{"npi": BOB, "tin_type": "EIN", "tin": "001234567"}],
    "remote location, cited and dead": [NOBODY],
    "remote location, cited and not JSON": [NOBODY],
    "remote file without groups": [NOBODY],
    "extra keys everywhere": [{}],
    "header at the very end": [{}],
    "every object upside down": [{}],
    "in_network wins over in_networks": [{}],
    "root key in_networks": [{}],
    "decoys around a real match": [{}],
    "nested references beside the real ones": [{}],
    "keys in \\u escapes": [{}],
    "npi repeated": [{}, {"npi": BOB}],
    "npi zero beside a good one": [{"npi": 0}, {}],
    "npi empty text": [{"npi": None}],
    "npi empty text beside a good one": [{"npi": None}, {}],
    "npi null beside a good one": [{}],
    "npi only nulls": [{"npi": None}],
    "npi missing": [{"npi": None}],
    "npi with dashes and blanks": [{}],
    "npi integral number": [{}],
    "npi fraction": [{"npi": None}],
    "npi beyond int64": [{"npi": -1}],
    "npi largest int64": [{"npi": 2**63 - 1}],
    "npi just beyond int64": [{"npi": -1}],
    "npi enormous exponent": [{"npi": -1}],
    "npi boolean and object": [{"npi": None}],
    "npi wins over NPI": [{"npi": BOB}],
    "npi null beside NPI": [{"npi": EVE}],
    "tin of type npi": [{"tin_type": "npi", "tin": str(BOB)}],
    "tin value 0": [{"tin": None}],
    "tin value all zeros": [{"tin_type": "EIN", "tin": None}],
    "tin value with .0": [{}],
    "tin value a number with .0": [{}],
    "tin value without its zeros": [{"tin": "001234567"}],
    "tin value a number without its zeros": [{"tin_type": " Ein", "tin": "001234567"}],
    "tin short value of type npi": [{"tin_type": "npi", "tin": "12345"}],
    "tin short value without type": [{"tin_type": None, "tin": "012345"}],
    "tin value with an exponent": [{"tin": "000000150"}],
    "npi text with .0": [{}, {"npi": BOB}, {"npi": EVE * 10 + 5}],
    "npi negative": [{}],
    "npi negative beside a good one": [{}, {"npi": BOB}],
    "tin value null": [{"tin": None}],
    "tin scalar": [{"tin_type": None}],
    "tin array": [{"tin_type": None, "tin": None}],
    "tin missing": [{"tin_type": None, "tin": None}],
    "empty group": [NOBODY],
    "rate text": [{"negotiated_rate": 30.5}],
    "rate text with dollar and comma": [{"negotiated_rate": None}],
    "rate text NaN": [{"negotiated_rate": None}],
    "rate beyond float64": [{"negotiated_rate": float("inf")}],
    "null rate beside a good one": [{}, {"negotiated_rate": None}],
    "negotiated_price as one object": [{}],
    "negotiated_price as the rate": [{"negotiated_rate": 31.0}],
    "negotiated_rate wins over negotiated_price": [{}],
    "negotiated_rate null beside negotiated_price": [{"negotiated_rate": 31.0}],
    "code number": [{}],
    "code padded": [{}],
    "code type in lower case, padded": [{}],
    "code type HCPCS": [{"billing_code_type": "HCPCS"}],
    "code type blank": [{"billing_code_type": None}],
    "both": [{"billing_class": "both"}],
    "capitalised": [{"service_codes": ("21",)}],
    "capitalised and padded": [{"billing_class": "institutional", "service_codes": ("21",)}],
    "some other class": [{"billing_class": "dental"}],
    "class a number": [{"billing_class": "7"}],
    "service code a number": [{"service_codes": ("11", "11.0")}],
    "service codes in one text": [{"service_codes": ("11,12",)}],
    "service codes blank": [{"service_codes": ()}],
    "modifiers untidy": [{"modifiers": ("GP", "KX")}],
    "modifier blank": [{"modifiers": ()}],
    "modifier a scalar": [{}],
    "setting": [{"setting": "outpatient"}],
    "expires '9999-12-31T00:00:00'": [{}],
    "expires '12/31/9999'": [{}],
    "expires '2025-12-31T00:00:00'": [{"expiration_date": date(2025, 12, 31)}],
    "expires '2/4/2027'": [{"expiration_date": date(2027, 2, 4)}],
    "expires '2027-02-30'": [{}],
    **{
        f"expires {spelling!r}": [{"expiration_date": date(2027, 1, 31)}]
        for spelling in (
            *(20270131, "20270131", "20270131T120000Z", "20270131235959", "2027/01/31", "2027-01-31Z", "1-31-2027"),
            "1/31/2027 12:00:00 AM",
        )
    },
    **{
        f"expires {spelling!r}": [{}]
        for spelling in (
            *("2027013", "2027/01-31", "2027-01-311", "1/31/20270", "99991231", "12-31-9999 00:00", "31.12.2027"),
        )
    },
    "nulls among everything": [{}],
    "numbers and texts among everything": [{}],
    "objects where arrays belong": [{}],
    "duplicate code, wanted last": [{}],
    "duplicate in_network, wanted last": [{}],
    "duplicate provider_references": [{}],
    "duplicate negotiated_rates": [{}],
    "duplicate rate, tin and npi": [{}, {"npi": EVE}],
    "duplicate header": [{}],
    "exact duplicates of price, rate, item": [{}],
    "a surrogate pair in escapes": [{"reporting_entity_name": "Acme 😀"}],
    "lone surrogate in the entity": [{"reporting_entity_name": "Acme \ufffd"}],
    "entity is a number": [{"reporting_entity_name": "41"}],
    "entity missing": [{"reporting_entity_name": None}],
    "inline groups, references and a remote location in one rate": [{}, {"npi": BOB}, {"npi": EVE}, NOBODY],
    "class, dates, TIN and NPI out of a spreadsheet": [{"tin": "012345678", "expiration_date": date(2025, 1, 1)}],
    "class null": [{"billing_class": None}],
    "one group cited by 300 rates": [{"negotiated_rate": dollars + 0.5} for dollars in range(1, 301)],
    "one id defined three times": [{}, {"npi": BOB}, {"npi": EVE}],
    "three of 83 items are wanted": [{}, {"npi": BOB}, {"billing_code": "97028"}],
    "container gzip-members": [{}],
    "container zip-many": [{}],
    "container zstd": [{}],
    "whitespace wherever it may stand": [{}],
}


@pytest.mark.parametrize("name", EXPECTED)
def test_the_rows_are_those_written_by_hand(name: str) -> None:
    assert rows_of(CASES_BY_NAME[name]) == {BASE._replace(**changes) for changes in EXPECTED[name]}


def test_repeated_statements_of_one_row_are_counted() -> None:
    (extract,) = extracts(CASES_BY_NAME["exact duplicates of price, rate, item"])
    assert extract.rows == {BASE: 8}
    assert extract.prices == 8


def test_network_names_come_from_the_references_behind_the_row() -> None:
    (extract,) = extracts(CASES_BY_NAME["setting, network names, business name"])
    assert extract.networks[BASE._replace(setting="outpatient")] == {"Choice", "Choice Plus"}


def test_remote_locations_count_as_cited_only_when_a_matched_price_cites_them() -> None:
    (cited,) = extracts(CASES_BY_NAME["remote location, cited and dead"])
    (not_cited,) = extracts(CASES_BY_NAME["remote location, not cited"])
    assert cited.cited_locations == {"https://example.com/providers/41.json"}
    assert not_cited.cited_locations == set()


def test_texts_that_are_no_dates_are_counted_of_the_header_and_of_matched_prices() -> None:
    dates = ("soon", "", "2027-02-30", "9999-12-31", "1/31/2027", None, True)
    prices = [price(expiration_date=day) for day in dates]
    stated = document(
        item(rate(group(ANN), prices=prices)), item(rate(group(ANN), prices=prices), billing_code="99213"),
        last_updated_on="June 2026",
    )  # fmt: skip
    assert plain_extract(json_bytes(stated), WANTED).dates_not_read == 4
    assert plain_extract(json_bytes(document()), WANTED).dates_not_read == 0


def test_header_items_and_root_keys_are_reported() -> None:
    (extract,) = extracts(CASES_BY_NAME["references after 300 items"])
    assert extract.header == Header("Acme Health Plan", date(2026, 6, 1), "2.0.0")
    assert (extract.items_seen, extract.items_matched, extract.prices) == (301, 1, 1)
    assert extract.root_keys[-2:] == ("in_network", "provider_references")


# --- Values ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2026-06-01", date(2026, 6, 1)),
        ("2026-06-01T00:00:00-05:00", date(2026, 6, 1)),
        ("2/4/2026", date(2026, 2, 4)),
        ("12/31/2026 00:00:00", date(2026, 12, 31)),
        ("9999-12-31", None),
        ("9999-12-30", date(9999, 12, 30)),
        ("0000-01-01", None),
        ("2026-6-1", None),
        ("2026/06/01 10:00", date(2026, 6, 1)),
        ("2026/06-01", None),
        ("20260601", date(2026, 6, 1)),
        ("20260601T000000Z", date(2026, 6, 1)),
        ("20260601235959", date(2026, 6, 1)),
        ("2026060", None),
        ("202606011", None),
        ("6-1-2026", date(2026, 6, 1)),
        ("2/4/20260", None),
        ("99991231", None),
        ("31/12/2026", None),
        ("२०२६-06-01", None),
    ],
)
def test_dates_have_five_spellings_whatever_follows(text: str, day: date | None) -> None:
    assert as_date(text) == day


@pytest.mark.parametrize(("one", "other"), [("1e400", "10e399"), ("0.10", ".1"), ("-0", "0e9"), ("+5.", "005")])
def test_numeric_ids_are_equal_in_any_spelling(one: str, other: str) -> None:
    assert as_id(one) == as_id(other) is not None


def test_npis_of_any_size_are_read_without_computing_them() -> None:
    tokens = plain_json(b"[1e999999999, 0e999999999, 1.0000000120e9, 1e-9, -5]")
    assert [as_npi(token) for token in tokens] == [-1, 0, ANN, None, 5]


def test_valid_npis_pass_the_check_digit_over_80840() -> None:
    assert is_valid_npi(1234567893)  # CMS's own example
    assert all(map(is_valid_npi, (ANN, BOB, EVE)))
    assert not any(map(is_valid_npi, (BAD_CHECK_DIGIT, 0, -1, 123456789, 3000000004, 12345678930)))


# --- Rules ----------------------------------------------------------------------------------------------------------

IN_ALASKA = PlainNpi("AK", "US", ("225100000X",))
NPPES = {ANN: IN_ALASKA, BOB: IN_ALASKA}


def rates_of(*documents: Any, nppes: dict[int, PlainNpi] | None = NPPES, **more: Any) -> list[PlainRate]:
    return plain_rates([json_bytes(content) for content in documents], WANTED, nppes, **more)


def exclusions_of(*documents: Any, nppes: dict[int, PlainNpi] | None = NPPES) -> list[str | None]:
    return sorted((rate.exclusion for rate in rates_of(*documents, nppes=nppes)), key=str)


def test_the_base_price_is_eligible() -> None:
    (rate_,) = rates_of(
        document(), payer_of=lambda entity: f"parent of {entity}", tier_of=lambda taxonomies, code: "strict"
    )
    assert (rate_.exclusion, rate_.state, rate_.taxonomy_tier) == (None, "AK", "strict")
    assert (rate_.payer, rate_.last_updated_on) == ("parent of Acme Health Plan", date(2026, 6, 1))


# each step mends what the one before it broke; every later rule is broken all the while
STEPS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("arrangement", {}),
    ("not_dollars", {"negotiation_arrangement": "ffs"}),
    ("bad_rate", {"negotiated_type": "derived"}),
    ("modifier", {"negotiated_rate": 12}),
    ("place_of_service", {"billing_code_modifier": ["GP"]}),
    ("expired", {"service_code": ["11", "22"]}),
    ("provider_unresolved", {"expiration_date": "2026-06-01"}),
)
ALL_WRONG = {
    "negotiation_arrangement": "bundle",
    "negotiated_type": "percentage",
    "negotiated_rate": 0,
    "billing_code_modifier": ["AS"],
    "service_code": ["22"],
    "expiration_date": "2026-05-31",
}


@pytest.mark.parametrize("step", range(len(STEPS)), ids=[name for name, _ in STEPS])
def test_the_first_rule_that_fails_names_the_exclusion(step: int) -> None:
    fields = ALL_WRONG | {key: value for _, mended in STEPS[: step + 1] for key, value in mended.items()}
    arrangement = fields.pop("negotiation_arrangement")
    wrong = item(rate(prices=[price(**fields)]), negotiation_arrangement=arrangement)
    assert exclusions_of(document(wrong)) == [STEPS[step][0]]


@pytest.mark.parametrize(
    ("npi", "known", "exclusion"),
    [
        (0, {}, "no_npi"),
        ("", {}, "no_npi"),
        (BAD_CHECK_DIGIT, {}, "npi_invalid"),
        (2**63, {}, "npi_invalid"),
        (ANN, {}, "npi_unknown"),
        (ANN, {ANN: PlainNpi("ON", "CA", (), True)}, "npi_deactivated"),
        (ANN, {ANN: PlainNpi("ON", "CA")}, "outside_us"),
        (ANN, {ANN: PlainNpi(None, None)}, "outside_us"),
        (ANN, {ANN: PlainNpi("AE", "US")}, "outside_us"),
        (ANN, {ANN: PlainNpi("GA", "DE")}, "outside_us"),
        (ANN, {ANN: PlainNpi("PR", "PR")}, None),
        (ANN, {ANN: PlainNpi(" ak ", None)}, None),
    ],
)
def test_provider_rules_apply_in_order(npi: Any, known: dict[int, PlainNpi], exclusion: str | None) -> None:
    assert exclusions_of(document(item(rate(group(npi)))), nppes=known) == [exclusion]


@pytest.mark.parametrize(
    ("billing_class", "exclusion"),
    [
        (" BOTH ", None),
        ("Institutional", None),
        ("dental", "billing_class"),
        ("", "billing_class"),
        (None, "billing_class"),
    ],
)
def test_the_class_is_folded_and_the_last_rule_excludes_all_but_three(
    billing_class: str | None, exclusion: str | None
) -> None:
    classed = priced_document(billing_class=billing_class)
    assert exclusions_of(classed) == [exclusion]
    assert exclusions_of(classed, nppes={ANN: PlainNpi("GA", "DE")}) == ["outside_us"]


def test_without_nppes_the_rules_that_need_it_do_not_apply() -> None:
    (rate_,) = rates_of(document(), nppes=None)
    assert (rate_.exclusion, rate_.state, rate_.taxonomy_tier) == (None, None, None)


def test_an_unresolved_row_wins_over_a_group_without_tin_and_npi() -> None:
    case = CASES_BY_NAME["empty group beside an unresolved citation"]
    assert [rate.exclusion for rate in plain_rates([case.published], WANTED, None)] == ["provider_unresolved"]
    empty = CASES_BY_NAME["empty group"]
    assert [rate.exclusion for rate in plain_rates([empty.published], WANTED, None)] == ["no_npi"]


def test_a_row_unresolved_in_one_file_is_unresolved_whatever_the_order() -> None:
    unresolved, empty = document(item(rate())), document(item(rate({})))
    assert exclusions_of(unresolved, empty) == exclusions_of(empty, unresolved) == ["provider_unresolved"]


def test_rows_of_several_files_are_one_row_with_the_latest_date() -> None:
    old, new = (
        priced_document(expiration_date="2026-03-31") | {"last_updated_on": day} for day in ("2026-01-01", "2026-06-01")
    )
    assert exclusions_of(old) == [None]
    (both,) = rates_of(old, new)
    assert (both.exclusion, both.last_updated_on) == ("expired", date(2026, 6, 1))
    assert both.source_ids == {hashlib.sha256(json_bytes(content)).hexdigest() for content in (old, new)}


def test_twins_are_one_file_and_unreadable_files_none() -> None:
    data = json_bytes(document())
    rates = plain_rates([data, data, gzipped(data), data[:-1]], WANTED, None)
    assert [rate.source_ids for rate in rates] == [
        {hashlib.sha256(published).hexdigest() for published in (data, gzipped(data))}
    ]


def test_the_contract_code_lists_are_those_of_the_schemas() -> None:
    assert RateRow._fields == RATE_GRAIN
    assert plain_extract_module.CODE_TYPES == mrf.CODE_TYPES
    assert rules.DOLLARS == contract_codes.NEGOTIATED_TYPES
    assert set(contract_codes.ALLOWED_MODIFIERS) == rules.MODIFIERS
    assert set(contract_codes.OFFICE_SERVICE_CODES) == rules.OFFICE
    assert set(contract_codes.PROFESSIONAL_CLASSES) == rules.PROFESSIONAL
    assert set(contract_codes.BILLING_CLASSES) == rules.CLASSES
    assert set(contract_codes.GEOGRAPHIES) == rules.GEOGRAPHIES and len(rules.GEOGRAPHIES) == 56
    assert set(contract_codes.BUCA) == plain_benchmarks.BUCA
    assert tuple(plain_benchmarks.TIERS) == contract_codes.TAXONOMY_TIERS
    assert tuple(name for name, _ in rules.rule_results(PlainRate(BASE), {})) == RULES


# --- Benchmarks -----------------------------------------------------------------------------------------------------

NATIONAL = {"97026": 7.0}


def eligible(
    npi: int, tin: str | None, dollars: float, payer: str = "Aetna", state: str = "AK", **more: Any
) -> PlainRate:
    tier = more.pop("tier", "strict")
    row = BASE._replace(npi=npi, tin=tin, negotiated_rate=dollars, reporting_entity_name=payer, **more)
    return PlainRate(row, {f"file of {payer}"}, payer=payer, state=state, taxonomy_tier=tier)


def summaries_of(rates: Iterable[PlainRate], **more: Any) -> dict[SummaryKey, PlainSummary]:
    providers = plain_providers(rates, NATIONAL)
    return plain_summaries(providers.values(), {("97026", "US"): 10.0}, **more)


def key_of(payer: str = "Aetna", geography: str = "US", tier: str = "all", weighting: str = "npi") -> SummaryKey:
    return SummaryKey("97026", "professional", payer, geography, tier, weighting)


def test_the_representative_rate_is_the_median_of_distinct_rates_of_the_best_type() -> None:
    rates = [
        eligible(ANN, "1", 10.0),
        eligible(ANN, "1", 10.0, modifiers=()),
        eligible(ANN, "1", 20.0, billing_class="both"),
        eligible(ANN, "1", 40.0),
        eligible(ANN, "1", 1.0, negotiated_type="fee schedule"),
    ]
    (provider,) = plain_providers(rates, NATIONAL).values()
    assert provider.key == ProviderKey("Aetna", "97026", "professional", "1", ANN)
    assert (provider.representative_rate_usd, provider.n_rates) == (20.0, 5)


@pytest.mark.parametrize(
    ("dollars", "national", "exclusion"),
    [
        (0.698, 6.98, None),
        (0.697, 6.98, "outlier"),
        (69.8, 6.98, None),
        (69.81, 6.98, "outlier"),
        (1000.0, None, None),
    ],
)
def test_outliers_are_below_a_tenth_or_above_ten_times_medicare(
    dollars: float, national: float | None, exclusion: str | None
) -> None:
    national_by_code = {} if national is None else {"97026": national}
    (provider,) = plain_providers([eligible(ANN, "1", dollars)], national_by_code).values()
    assert provider.exclusion == exclusion


def test_each_provider_counts_once_per_payer_and_each_tin_once() -> None:
    rates = [
        eligible(ANN, "1", 10.0),
        eligible(ANN, "2", 20.0),
        eligible(BOB, "2", 40.0, state="AL"),
        eligible(ANN, "1", 50.0, payer="Cigna"),
        eligible(EVE, None, 70.0, payer="Elsewhere", tier="other"),
    ]
    found = summaries_of(rates)
    assert found[key_of()].p50_usd == 27.5  # Ann 15, Bob 40
    assert found[key_of(weighting="tin")].p50_usd == 20.0  # TIN 1: 10, TIN 2: 30
    assert found[key_of(geography="AK", weighting="tin")].max_usd == 20.0
    assert found[key_of("BUCA")].p50_usd == 40.0  # 15, 40, 50
    assert found[key_of("All commercial")].p50_usd == 45.0  # 15, 40, 50, 70
    assert key_of("Elsewhere", weighting="tin") not in found
    assert key_of("Elsewhere", tier="balanced") not in found
    everyone = found[key_of("All commercial")]
    assert (everyone.n_npi, everyone.n_tin, everyone.n_rates, everyone.n_files) == (3, 2, 5, 3)
    assert (everyone.payer_kind, everyone.pct_of_medicare, everyone.low_sample) == ("composite", 450.0, True)


def test_percentiles_are_linear_between_order_statistics() -> None:
    rates = [eligible(npi_of(n), str(n % 3), float(n)) for n in range(1, 12)]
    summary = summaries_of(rates)[key_of()]
    assert (summary.min_usd, summary.p10_usd, summary.p25_usd, summary.p50_usd) == (1.0, 2.0, 3.5, 6.0)
    assert (summary.p75_usd, summary.p90_usd, summary.max_usd, summary.mean_usd) == (8.5, 10.0, 11.0, 6.0)
    assert (summary.iqr_usd, summary.low_sample) == (5.0, False)


def test_outliers_leave_the_percentiles_and_the_counts() -> None:
    summary = summaries_of([eligible(ANN, "1", 10.0), eligible(BOB, "2", 1000.0)])[key_of()]
    assert (summary.max_usd, summary.n_npi, summary.n_rates) == (10.0, 1, 1)


def test_without_nppes_there_is_only_the_nation_and_tier_all() -> None:
    rates = [eligible(ANN, "1", 10.0, tier=None)]
    assert {(key.geography, key.taxonomy_tier) for key in summaries_of(rates, with_nppes=False)} == {("US", "all")}


def test_columns_are_named_as_published() -> None:
    assert {*ProviderKey._fields, "month"} == set(PROVIDERS.grain)
    assert {*SummaryKey._fields, "month"} == set(SUMMARIES.grain)
    ours = get_type_hints(PlainSummary).keys() - {"key"}
    assert set(SUMMARIES.names) - set(SUMMARIES.grain) - ours == {"medicare_year", "methodology"}
    assert ours <= set(SUMMARIES.names)


# --- Generated documents --------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(st.one_of(generated_documents(), generated_documents(), generated_documents(shrinking=True)))
def test_generated_documents_are_well_formed(data: bytes) -> None:
    extract = plain_extract(data, WANTED, GENERATED_REMOTE)
    assert sum(extract.rows.values()) >= len(extract.rows) >= len(extract.unresolved)


@settings(max_examples=60, deadline=None)
@given(st.one_of(malformed_documents(), truncated_documents()))
def test_malformed_documents_are_never_json(data: bytes) -> None:
    with pytest.raises(UnreadableError):
        plain_json(data)


def test_generated_documents_reach_every_rule_and_resolve_most_providers() -> None:
    files = [build_document(Random(seed), 2, 0.05, plain=False) for seed in range(120)]
    rates = plain_rates(files, WANTED, {BOB: PlainNpi("AK", None, (), True), EVE: PlainNpi("ON", "CA")})
    known = plain_rates(files, WANTED, NPPES)
    assert {rate.exclusion for rate in (*rates, *known)} == {*RULES, None}
    assert sum(rate.unresolved for rate in rates) < len(rates) / 2
    assert any(rate.network_names for rate in rates)


@pytest.mark.parametrize("seed", range(20))
def test_the_spelling_of_a_document_changes_no_row(seed: int) -> None:
    plain, spelled = (plain_extract(build_document(Random(seed), 3, 0.1, plain), WANTED) for plain in (True, False))
    assert plain.rows == spelled.rows
    assert plain.networks == spelled.networks


# --- The real files -------------------------------------------------------------------------------------------------


def real_extract(name: str) -> PlainExtract:
    return plain_extract(gzip.decompress(shared_bytes(f"real/{name}")), WANTED)


@pytest.mark.slow
@pytest.mark.parametrize(("day", "rows"), [("2025-06-23", 8), ("2023-11-07", 12)])
def test_evry_has_the_known_number_of_distinct_prices(day: str, rows: int) -> None:
    extract = real_extract(f"evry/{day}_Evry-Health_in-network-rates.json.gz")
    who_and_what = {
        (r.billing_code, r.tin_type, r.tin, r.npi, r.billing_class, r.negotiated_rate) for r in extract.rows
    }
    assert len(who_and_what) == rows
    assert extract.header == Header("Evry Health", date.fromisoformat(day), "1")
    assert {row.billing_class for row in extract.rows} == {"institutional"}


def test_molina_has_97028_at_its_fee_schedule_without_a_resolvable_provider() -> None:
    extract = real_extract("molina/innetwork-S-QMXCT21544-1.json.gz")
    (row,) = extract.rows
    assert (row.billing_code, row.negotiated_type, row.negotiated_rate) == ("97028", "fee schedule", 8.68)
    assert row[-3:] == (None, None, None) and extract.unresolved == {row}
    assert len(row.service_codes) > 90
    published = shared_bytes("real/molina/innetwork-S-QMXCT21544-1.json.gz")
    assert [rate.exclusion for rate in plain_rates([published], WANTED, None)] == ["provider_unresolved"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["carefirst/examplefile.json.gz", "molina/innetwork-G-QMXCT20404-1.json.gz"])
def test_files_without_the_codes_have_items_and_no_rows(name: str) -> None:
    extract = real_extract(name)
    assert extract.items_seen > 800
    assert (extract.items_matched, extract.rows) == (0, {})


def test_tables_of_contents_are_read_to_the_end_and_match_nothing() -> None:
    index = plain_extract(shared_bytes("real/molina/2022-07-01_Molina-Healthcare-of-Ohio_index.json"), WANTED)
    assert "reporting_structure" in index.root_keys and not index.rows


def test_every_cms_example_parses_and_yields_the_codes_it_prices() -> None:
    examples = sorted(shared_path("cms").rglob("examples/*/*.json"))
    assert len(examples) >= 14
    for example in examples:
        extract = plain_extract(example.read_bytes(), ("27447", "27448", "IC-MAXWELL"))
        assert bool(extract.items_seen) == (example.parent.name == "in-network-rates"), example
        assert extract.unresolved == set() or "v1.6.2" in str(example), example
