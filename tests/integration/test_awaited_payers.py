"""Nights over this month and the one before, against a real server: payers that publish late, and the day they must."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.command_line import Ended, call, digests
from tests.containers import gzipped
from tests.documents import ANN, BOB, document, group, item, price, rate
from tests.http_server import Page, Server, serve
from tests.json_text import json_bytes

Capture = pytest.CaptureFixture[str]
Today = Callable[[str], None]
ENTITIES = {"aetna": "Aetna Life Insurance Company", "acme": "Acme Health Plan"}


def rates(payer: str, dollars: float = 20.0, updated: str = "2026-06-01") -> bytes:
    prices = [price(negotiated_rate=dollars)]
    items = item(rate(group(ANN, BOB), prices=prices))
    return gzipped(json_bytes(document(items, reporting_entity_name=ENTITIES[payer], last_updated_on=updated)))


def index(*locations: str, updated: str | None = None) -> bytes:
    listed = {"in_network_files": [{"description": "rates", "location": location} for location in locations]}
    found: dict[str, object] = {"reporting_structure": [{"reporting_plans": [], **listed}]}
    return json_bytes(found | ({} if updated is None else {"last_updated_on": updated}))


def publish(server: Server, payer: str, month: str, dollars: float = 20.0) -> None:
    """The payer's index and file of a month are there from now on."""
    server.pages[f"/{payer}/{month}_index.json"] = Page(index(f"{month}_rates.json.gz"))
    server.pages[f"/{payer}/{month}_rates.json.gz"] = Page(rates(payer, dollars, f"{month}-01"))


def config_of(place: Path, server: Server, more: str = "", payers: tuple[str, ...] = ("aetna", "acme")) -> Path:
    path = place / "tic-rates.toml"
    blocks = [
        f'[[payer]]\nname = "{payer}"\ncontents = ["{server.url}/{payer}/{{month}}_index.json"]\n' for payer in payers
    ]
    path.write_text(f'output = "out"\nworkers = 1\n[http]\nfirst_wait_seconds = 0\n{more}\n{"".join(blocks)}')
    return path


def nightly(capsys: Capture, config: Path, *more: str) -> Ended:
    return call(capsys, "nightly", "--config", config, "--json", *more)


def statuses(ended: Ended) -> dict[str, str]:
    return {each["month"]: each["status"] for each in ended.json_line["months"]}


def awaited(ended: Ended) -> dict[str, dict[str, str]]:
    return {
        month["month"]: {each["payer"]: each["since"] for each in month["awaited"]}
        for month in ended.json_line["months"]
    }


def manifest(place: Path) -> dict[str, dict[str, dict[str, object]]]:
    read: dict[str, dict[str, dict[str, object]]] = json.loads((place / "out" / "manifest.json").read_bytes())
    return read


def test_a_month_that_is_not_there_yet_is_awaited_and_read_when_it_arrives(
    tmp_path: Path, capsys: Capture, today: Today
) -> None:
    with serve({}) as server:
        for payer in ENTITIES:
            publish(server, payer, "2026-06")
        config = config_of(tmp_path, server)
        today("2026-07-02T03:00")
        first = nightly(capsys, config)
        assert (first.code, statuses(first)) == (0, {"2026-06": "published", "2026-07": "not_published"})
        assert awaited(first) == {"2026-06": {}, "2026-07": {"acme": "2026-07-02", "aetna": "2026-07-02"}}
        assert (first.json_line["month"], first.json_line["sources"]) == ("2026-07", {"not_published": 2})
        reason = first.json_line["awaited"][0]["reason"]
        assert reason.startswith(f"{server.url}/acme/2026-07_index.json: the server answers 404; ")
        assert manifest(tmp_path)["awaited"]["2026-07"]["acme"] == {"since": "2026-07-02", "reason": reason}
        assert not (tmp_path / "out" / "summaries" / "period=2026-07").exists()

        publish(server, "acme", "2026-07", 21.0)
        today("2026-07-03T03:00")
        server.forget()
        second = nightly(capsys, config)
        assert (second.code, statuses(second)) == (0, {"2026-06": "unchanged", "2026-07": "published"})
        assert awaited(second) == {"2026-06": {}, "2026-07": {"aetna": "2026-07-02"}}
        assert second.json_line["sources"] == {"matched": 1, "not_published": 1}
        sent = {path for path, size in server.body_bytes.items() if size}
        assert {path for path in sent if "aetna/2026-07" not in path} == {
            "/acme/2026-07_index.json",
            "/acme/2026-07_rates.json.gz",
        }
        assert set(server.requests.values()) == {1}

        publish(server, "aetna", "2026-07")
        today("2026-07-04T03:00")
        third = nightly(capsys, config)
        assert (third.code, awaited(third)) == (0, {"2026-06": {}, "2026-07": {}})
        assert manifest(tmp_path)["awaited"] == {}
        server.forget()
        fourth = nightly(capsys, config)
        assert statuses(fourth) == {"2026-06": "unchanged", "2026-07": "unchanged"}
        assert server.body_bytes.total() == 0 and set(server.requests.values()) == {1}

        again = tmp_path / "again"
        again.mkdir()
        assert nightly(capsys, config_of(again, server)).code == 0
        assert digests(again / "out") == digests(tmp_path / "out")


def test_what_is_published_does_not_depend_on_who_was_awaited(tmp_path: Path, capsys: Capture, today: Today) -> None:
    with serve({}) as server:
        publish(server, "acme", "2026-07")
        today("2026-07-02T03:00")
        assert nightly(capsys, config_of(tmp_path, server), "--month", "2026-07").code == 0
        alone = tmp_path / "alone"
        alone.mkdir()
        assert nightly(capsys, config_of(alone, server, payers=("acme",)), "--month", "2026-07").code == 0
        assert digests(alone / "out") == digests(tmp_path / "out")


@pytest.mark.parametrize(
    ("day", "late"), [("2026-07-10T23:00", False), ("2026-07-11T01:00", True), ("2026-08-01T01:00", True)]
)
def test_a_payer_that_is_not_there_by_the_day_is_a_failure(
    tmp_path: Path, capsys: Capture, today: Today, day: str, late: bool
) -> None:
    with serve({}) as server:
        publish(server, "acme", "2026-07")
        config = config_of(tmp_path, server, "[nightly]\nexpect_by_day = 10\n")
        today("2026-07-02T03:00")
        nightly(capsys, config)
        today(day)
        ended = nightly(capsys, config, "--month", "2026-07")
        found = ended.json_line
        assert (ended.code, found["exit_code"], found["late"]) == (3 if late else 0, 3 if late else 0, late)
        assert (found["status"], [each["since"] for each in found["awaited"]]) == ("unchanged", ["2026-07-02"])
        lines = call(capsys, "nightly", "--config", config, "--month", "2026-07").out
        assert f"2026-07 aetna {'not there' if late else 'awaited'} since 2026-07-02: {server.url}/aetna/" in lines


def test_the_month_before_no_longer_fails_for_who_never_published_it(
    tmp_path: Path, capsys: Capture, today: Today
) -> None:
    with serve({}) as server:
        for payer in ENTITIES:
            publish(server, payer, "2026-07")
        publish(server, "acme", "2026-06")
        today("2026-07-25T03:00")
        ended = nightly(capsys, config_of(tmp_path, server))
        assert (ended.code, awaited(ended)) == (0, {"2026-06": {"aetna": "2026-07-25"}, "2026-07": {}})


def test_nothing_at_all_is_well_until_the_day_and_nothing_usable_after_it(
    tmp_path: Path, capsys: Capture, today: Today
) -> None:
    with serve({}) as server:
        config = config_of(tmp_path, server)
        today("2026-07-20T23:59")
        ended = nightly(capsys, config)
        assert (ended.code, statuses(ended)) == (0, {"2026-06": "not_published", "2026-07": "not_published"})
        today("2026-07-21T00:01")
        ended = nightly(capsys, config)
        assert (ended.code, statuses(ended)) == (4, {"2026-06": "not_published", "2026-07": "failed"})
        assert awaited(ended)["2026-07"] == {"acme": "2026-07-20", "aetna": "2026-07-20"}
        assert "not there since 2026-07-20: the server answers 404" in ended.json_line["reason"]
        assert nightly(capsys, config, "--month", "2026-07").code == 4


@pytest.mark.parametrize("status", [403, 410])
def test_other_refusals_may_mean_not_yet_but_not_of_a_signed_address(
    tmp_path: Path, capsys: Capture, today: Today, status: int
) -> None:
    from tests.http_server import Fault

    today("2026-07-02T03:00")
    pages = {"/aetna/2026-07_index.json": b"", "/signed.json": b""}
    with serve(pages, lambda _asked, _page: Fault("status", status=status)) as server:
        config = config_of(tmp_path, server, payers=("aetna",))
        assert nightly(capsys, config, "--month", "2026-07").json_line["status"] == "not_published"
        config.write_text(config.read_text().replace("/aetna/{month}_index.json", "/signed.json?sig=c4n4ry"))
        assert nightly(capsys, config, "--month", "2026-07").code == 4


def test_local_files_and_globs_that_match_nothing_are_not_published(
    tmp_path: Path, capsys: Capture, today: Today
) -> None:
    today("2026-07-02T03:00")
    config = tmp_path / "tic-rates.toml"
    config.write_text(
        'output = "out"\n[[payer]]\nname = "acme"\nfiles = ["{month}/*.json.gz"]\n'
        '[[payer]]\nname = "aetna"\ncontents = ["{month}.json"]\n'
    )
    (tmp_path / "2026-06").mkdir()
    (tmp_path / "2026-06" / "acme.json.gz").write_bytes(rates("acme"))
    ended = nightly(capsys, config)
    assert (ended.code, statuses(ended)) == (0, {"2026-06": "published", "2026-07": "not_published"})
    assert awaited(ended) == {
        "2026-06": {"aetna": "2026-07-02"},
        "2026-07": {"acme": "2026-07-02", "aetna": "2026-07-02"},
    }


def test_an_index_without_an_entry_of_the_month_is_not_published(tmp_path: Path, capsys: Capture, today: Today) -> None:
    with serve({"/2026-06-01_rates.json.gz": rates("acme")}) as server:
        server.pages["/index.json"] = Page(index("2026-06-01_rates.json.gz"))
        server.pages["/aetna/2026-07_index.json"] = Page(index())
        config = config_of(tmp_path, server)
        config.write_text(config.read_text().replace("/acme/{month}_index.json", "/index.json"))
        today("2026-07-02T03:00")
        ended = nightly(capsys, config)
        assert (ended.code, statuses(ended)) == (0, {"2026-06": "published", "2026-07": "not_published"})
        reasons = {each["payer"]: each["reason"] for each in ended.json_line["awaited"]}
        assert reasons == {
            "acme": f"{server.url}/index.json: its index lists 1 file(s), all of other months by their addresses",
            "aetna": f"{server.url}/aetna/2026-07_index.json: its index lists no in-network file",
        }


def test_a_listed_file_that_is_not_there_is_quarantined(tmp_path: Path, capsys: Capture, today: Today) -> None:
    today("2026-07-02T03:00")
    with serve({"/acme/2026-07_index.json": index("rates.json.gz", "gone.json.gz")}) as server:
        server.pages["/acme/rates.json.gz"] = Page(rates("acme"))
        more = "[gates]\nmin_files_read = 0.5\n"
        ended = nightly(capsys, config_of(tmp_path, server, more, payers=("acme",)), "--month", "2026-07")
        assert (ended.code, ended.json_line["sources"]) == (3, {"matched": 1, "quarantined": 1})


def test_a_past_month_that_its_payer_removes_stays_published(tmp_path: Path, capsys: Capture, today: Today) -> None:
    with serve({}) as server:
        for payer in ENTITIES:
            publish(server, payer, "2026-06")
        config = config_of(tmp_path, server)
        today("2026-06-28T03:00")
        assert nightly(capsys, config).code == 0
        before = digests(tmp_path / "out")
        for path in [path for path in server.pages if "aetna" in path]:
            del server.pages[path]
        publish(server, "aetna", "2026-07")
        today("2026-07-02T03:00")
        ended = nightly(capsys, config)
        assert (ended.code, awaited(ended)) == (0, {"2026-06": {}, "2026-07": {"acme": "2026-07-02"}})
        after = digests(tmp_path / "out")
        assert {name: after[name] for name in before} == before
        del server.pages["/aetna/2026-07_index.json"]  # this month, it is withheld: nothing says that it is meant
        ended = nightly(capsys, config, "--month", "2026-07")
        assert ended.code == 4
        assert {name: digests(tmp_path / "out")[name] for name in after} == after


def test_a_payer_with_old_files_is_named_as_stale(tmp_path: Path, capsys: Capture, today: Today) -> None:
    with serve({"/now.json.gz": rates("aetna", updated="2026-04-01")}) as server:
        publish(server, "acme", "2026-07")
        config = config_of(tmp_path, server, "[nightly]\nmonths_back = 0\nstale_after_days = 92\n")
        config.write_text(config.read_text().replace("/aetna/{month}_index.json", "/index.json"))
        server.pages["/index.json"] = Page(index("now.json.gz"))
        today("2026-07-02T03:00")
        ended = nightly(capsys, config)
        assert (ended.code, ended.json_line["stale"], statuses(ended)) == (0, [], {"2026-07": "published"})
        today("2026-07-03T03:00")
        ended = nightly(capsys, config)
        assert (ended.code, ended.json_line["status"]) == (0, "unchanged")
        assert ended.json_line["stale"] == [{"payer": "aetna", "last_updated_on": "2026-04-01"}]
        assert manifest(tmp_path)["stale"] == {"2026-07": {"aetna": "2026-04-01"}}
        server.change("/now.json.gz", body=rates("aetna", updated="2026-07-01"))
        assert nightly(capsys, config).json_line["stale"] == []
        assert manifest(tmp_path)["stale"] == {}


@pytest.mark.parametrize(("zone", "month"), [("UTC", "2026-07"), ("America/New_York", "2026-06")])
def test_the_month_turns_in_the_configured_time_zone(
    tmp_path: Path, capsys: Capture, today: Today, zone: str, month: str
) -> None:
    today("2026-07-01T02:00")
    with serve({}) as server:
        config = config_of(
            tmp_path, server, f'[schedule]\ntimezone = "{zone}"\n[nightly]\nmonths_back = 2\nexpect_by_day = 31\n'
        )
        found = nightly(capsys, config).json_line
    assert found["month"] == month
    assert [each["month"] for each in found["months"]] == [f"2026-{int(month[5:]) - back:02}" for back in (2, 1, 0)]
    assert found["awaited"][0]["since"] == ("2026-07-01" if zone == "UTC" else "2026-06-30")


def test_another_payer_keeps_being_awaited_where_one_is_named(tmp_path: Path, capsys: Capture, today: Today) -> None:
    with serve({}) as server:
        config = config_of(tmp_path, server)
        for day, more in (("02", []), ("03", ["--payer", "acme"])):
            today(f"2026-07-{day}T03:00")
            nightly(capsys, config, "--month", "2026-07", *more)
        waiting = manifest(tmp_path)["awaited"]["2026-07"]
        assert {payer: each["since"] for payer, each in waiting.items()} == {  # type: ignore[index]
            "acme": "2026-07-02",
            "aetna": "2026-07-02",
        }


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("months_back = -1", "nightly.months_back"),
        ("expect_by_day = 32", "nightly.expect_by_day"),
        ("stale_after_days = 0", "nightly.stale_after_days"),
    ],
)
def test_settings_out_of_range_are_refused(tmp_path: Path, capsys: Capture, line: str, message: str) -> None:
    with serve({}) as server:
        ended = nightly(capsys, config_of(tmp_path, server, f"[nightly]\n{line}\n"))
    assert (ended.code, message in ended.err) == (2, True)
