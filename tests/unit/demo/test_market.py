from collections import Counter
from datetime import date

from schemas.codes import EXCLUSIONS, GEOGRAPHIES
from transforms.demo.market import DEFAULT_SEED, PUBLISHERS, Market, make_market
from transforms.demo.providers import TAXONOMIES, Provider, check_digit

MONTH = date(2026, 11, 1)
MARKET = make_market(MONTH)


def test_the_check_digit_is_cms_own_example() -> None:
    assert check_digit("123456789") == 3


def test_npis_are_valid_and_name_nobody() -> None:
    for provider in MARKET.providers.values():
        text = str(provider.npi)
        if provider.npi and provider.exclusion != "npi_invalid":
            assert len(text) == 10
            assert text[0] == "2"
            assert int(text[-1]) == check_digit(text[:-1])


def test_the_provider_with_a_bad_check_digit_has_one() -> None:
    (wrong,) = [str(provider.npi) for provider in MARKET.providers.values() if provider.exclusion == "npi_invalid"]
    assert int(wrong[-1]) != check_digit(wrong[:-1])


def test_a_seed_and_a_month_are_one_market() -> None:
    assert make_market(MONTH, DEFAULT_SEED) == MARKET
    assert make_market(MONTH, DEFAULT_SEED + 1).offers != MARKET.offers


def test_every_payer_contracts_in_every_geography_with_every_tier() -> None:
    national = {publisher.payer for publisher in PUBLISHERS} - {"Prairie Lantern Health Cooperative"}
    for code in ("97026", "97028"):
        seen = _geographies_by_payer_and_tier(MARKET, code)
        for payer in national:
            assert seen[payer, "strict"] == seen[payer, "balanced"] == seen[payer, "all"] == set(GEOGRAPHIES)
        assert seen["Prairie Lantern Health Cooperative", "all"]


def _geographies_by_payer_and_tier(market: Market, code: str) -> dict[tuple[str, str], set[str]]:
    seen: dict[tuple[str, str], set[str]] = {}
    for contract in market.contracts:
        for member in contract.members if contract.billing_code == code else ():
            provider = market.providers[member.npi]
            for tier in provider.tiers(code) if not provider.exclusion else ():
                seen.setdefault((contract.payer, tier), set()).add(provider.state)
    return seen


def test_a_member_has_one_contract_per_payer_code_and_class() -> None:
    keys = Counter(
        (contract.payer, contract.billing_code, contract.billing_class, member.tin.value, member.npi)
        for contract in MARKET.contracts
        for member in contract.members
    )
    assert set(keys.values()) == {1}


def test_every_rule_takes_something_out() -> None:
    prices = {price.exclusion for offer in MARKET.offers for price in offer.prices}
    providers = {provider.exclusion for provider in MARKET.providers.values()}
    unresolved = {"provider_unresolved"} if any(offer.unresolved for offer in MARKET.offers) else set()
    assert (prices | providers | unresolved) - {None} == {rule.name for rule in EXCLUSIONS}


def test_some_members_are_paid_by_two_blues_at_once() -> None:
    blues = {publisher for publisher in PUBLISHERS if publisher.payer == "Blue Cross Blue Shield"}
    assert len(blues) == 3
    members = {blue: {m for o in MARKET.offers if o.publisher == blue for m in o.members} for blue in blues}
    assert all(members.values())
    assert sum(map(len, members.values())) > len(set().union(*members.values()))


def test_dermatology_is_balanced_for_ultraviolet_only() -> None:
    dermatologist = Provider(2000000010, "AL", ("207N00000X",))
    assert dermatologist.tiers("97028") == ("balanced", "all")
    assert dermatologist.tiers("97026") == ("all",)


def test_the_best_of_several_taxonomies_counts() -> None:
    assert Provider(2000000010, "AL", ("207Q00000X", "225100000X")).tiers("97026") == ("strict", "balanced", "all")
    assert len(set(TAXONOMIES)) == len(TAXONOMIES)
