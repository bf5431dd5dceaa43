"""`tic-rates.toml`: what is read from a good one, and said of each thing wrong in a bad one, with its key."""

import dataclasses
import json
import re
import subprocess
import sys
import tomllib
from datetime import date
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from flows.cli.app import main
from flows.settings.config import example_text, load_config
from flows.settings.validation import settings_schema
from flows.settings.values import Cluster, Config, Fetching, Gates, HostLimits, PayerSource, fill_month
from tests.shared_files import REPOSITORY
from transforms.errors import UsageError
from transforms.limits import Limits

SECRET = "s3cr3t-v4lue"
PAYER = '[[payer]]\nname = "Aetna"\ncontents = ["https://mrf.example.com/index.json"]\n'


def load(tmp_path: Path, text: str, **environ: str) -> Config:
    path = tmp_path / "tic-rates.toml"
    path.write_bytes(text.encode())
    return load_config(path, environ)


def refusals(tmp_path: Path, text: str, **environ: str) -> list[str]:
    """The lines of the error, without the folder."""
    with pytest.raises(UsageError) as caught:
        load(tmp_path, text, **environ)
    assert caught.value.exit_code == 2
    assert SECRET not in str(caught.value)
    return str(caught.value).replace(f"{tmp_path}/", "").splitlines()


# ---- What a good one says -------------------------------------------------------------------------------------------


def test_a_payer_is_enough_and_the_rest_has_defaults(tmp_path: Path) -> None:
    payer = PayerSource("Aetna", contents=("https://mrf.example.com/index.json",))
    assert load(tmp_path, PAYER) == Config(tmp_path / "tic-rates.toml", (payer,), output=tmp_path / "output")


def test_every_key_is_read(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        """
        output = "out"
        nppes = "/data/nppes.zip"
        codes = ["97028", "97026, 97010"]
        workers = 3
        reader = "ijson"
        [http]
        user_agent = "us (mrf@example.com)"
        connect_seconds = 1
        read_seconds = 2.5
        attempts = 3
        first_wait_seconds = 4
        longest_wait_seconds = 5
        connections_per_host = 6
        requests_per_second = 7
        allow_private = true
        [http.hosts."MRF.example.com"]
        connections = 1
        requests_per_second = false
        [http.hosts.localhost]
        [limits]
        nesting = 1
        zip_members = 2
        inflated_bytes = 3
        inflate_ratio = 4
        ratio_from_bytes = 5
        json_depth = 60
        string_bytes = 7_000_000
        number_digits = 80
        value_chars = 9
        list_entries = 10
        redirects = 0
        header_bytes = 1_024
        body_bytes = 13
        min_bytes_per_second = 0
        rate_seconds = 15
        [gates]
        min_files_read = 1
        max_rows_change = false
        max_median_change = 2.0
        min_nppes_share = 0
        [notify]
        webhook = "https://hooks.example.com/x"
        [schedule]
        cron = "*/5 1-3,22 * jan-mar mon"
        timezone = "America/New_York"
        [[payer]]
        name = " Aetna "
        contents = ["https://a.example.com/{month}.json", "tables/{year}/{mm}"]
        files = ["/mrf/*.gz", "s3://bucket/x.json"]
        include = ["a+"]
        exclude = ["(?i)dental"]
        headers = { Referer = "https://a.example.com" }
        """,
    )
    limits = Limits(1, 2, 3, 4, 5, 60, 7_000_000, 80, 9, 10, 0, 1_024, 13, 0, 15)
    hosts = (("localhost", HostLimits(6, 7.0)), ("mrf.example.com", HostLimits(1, None)))
    assert config == Config(
        path=tmp_path / "tic-rates.toml",
        payers=(
            PayerSource(
                "Aetna",
                contents=("https://a.example.com/{month}.json", f"{tmp_path}/tables/{{year}}/{{mm}}"),
                files=("/mrf/*.gz", "s3://bucket/x.json"),
                include=("a+",),
                exclude=("(?i)dental",),
                headers=(("Referer", "https://a.example.com"),),
            ),
        ),
        output=tmp_path / "out",
        nppes=Path("/data/nppes.zip"),
        codes=("97010", "97026", "97028"),
        workers=3,
        engine="ijson",
        fetching=Fetching("us (mrf@example.com)", 1.0, 2.5, 3, 4.0, 5.0, HostLimits(6, 7.0), hosts, True, limits),
        gates=Gates(1.0, None, 2.0, 0.0),
        schedule="*/5 1-3,22 * jan-mar mon",
        timezone="America/New_York",
        webhook="https://hooks.example.com/x",
    )


def test_relative_paths_begin_at_the_file_and_not_where_one_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "set[1]"
    folder.mkdir()
    load(folder, PAYER + 'files = ["mrf", "mrf/*.json"]\n')
    monkeypatch.chdir(tmp_path)
    config = load_config(Path("set[1]/tic-rates.toml"), {})
    assert config.output == folder / "output"
    assert config.payers[0].files == (f"{folder}/mrf", f"{tmp_path}/set[[]1]/mrf/*.json"), "a glob's folder is no glob"


def test_the_example_explains_every_key_and_states_the_defaults(tmp_path: Path) -> None:
    config = load(tmp_path, example_text())
    standard = Config(tmp_path / "tic-rates.toml", config.payers, output=tmp_path / "output")
    assert dataclasses.replace(config, fetching=Fetching()) == standard
    assert dataclasses.replace(config.fetching, hosts=()) == Fetching()
    values = tomllib.loads(
        re.sub(
            r"(?m)^# (?=(headers|webhook|metrics_file|nppes|reader|plan_market_types|plan_id_types|min_plans) = )",
            "",
            example_text(),
        )
    )
    assert {*values} >= {"output", "nppes", "codes", "workers", "reader"}
    assert {*values["limits"]} == {field.name for field in dataclasses.fields(Limits)}
    assert {*values["gates"]} == {field.name for field in dataclasses.fields(Gates)}
    assert {key for payer in values["payer"] for key in payer} == {
        field.name for field in dataclasses.fields(PayerSource)
    }
    assert len(values["http"]) == 10 and len(values["schedule"]) == 2 and len(values["notify"]) == 3


def test_the_configuration_of_the_guide_is_a_good_one(tmp_path: Path) -> None:
    guide = REPOSITORY / "docs" / "how-to" / "nightly-and-backfill.md"
    (config,) = (load(tmp_path, block) for block in re.findall(r"```toml\n(.*?)```", guide.read_text(), re.DOTALL))
    assert [payer.name for payer in config.payers] == ["Anthem", "UnitedHealthcare"]


def test_months_are_filled_in() -> None:
    assert fill_month("{year}/{mm}/{month}-01_{month}", date(2025, 6, 1)) == "2025/06/2025-06-01_2025-06"


def test_a_byte_order_mark_and_windows_line_ends_are_no_error(tmp_path: Path) -> None:
    assert load(tmp_path, "\ufeff" + PAYER.replace("\n", "\r\n")).payers[0].name == "Aetna"
    assert refusals(tmp_path, PAYER.replace("\n", "\r\n") + "x = 1\r\n")[0].startswith("tic-rates.toml: payer[0].x:")


# ---- What is wrong, by line -----------------------------------------------------------------------------------------

TOP = [
    ('outptu = "x"', "outptu: unknown key; did you mean output?"),
    ("timezone = 1", "timezone: unknown key; it belongs in [schedule]"),
    ("qqq = 1", "qqq: unknown key; known here: output, nppes, codes,"),
    ("output = 1", 'output: should be text; write output = "output"'),
    ('output = " "', 'output: is blank; write output = "output"'),
    ('output = "ftp://a/b"', "output: ftp:// is not object storage; give a path, or s3://"),
    ('workers = "two"', "workers: should be a valid integer; write workers = 0"),
    ("workers = -1", "workers: should be greater than or equal to 0; write workers = 0"),
    ("workers = 1_025", "workers: should be less than or equal to 1024; write workers = 0"),
    ("workers = true", "workers: should be a valid integer"),
    ("workers = 1.5", "workers: should be a valid integer"),
    ("workers = 2025-01-01", "workers: should be a valid integer"),
    ("codes = 97026", 'codes: should be a list; write codes = ["97026", "97028"]'),
    ("codes = [97026]", 'codes[0]: should be text; write "97026"'),
    ("codes = []", 'codes: List should have at least 1 item after validation, not 0; write codes = ["97026", "97028"]'),
    ('codes = ["97-026"]', "codes[0]: not a billing code: '97-026'; give codes like 97026,97028"),
    ('reader = "fast"', "reader: should be 'scan' or 'ijson'"),
    ("http = 1", "http: should be a table"),
]
SECTIONS = [
    ("[http]", "atempts = 1", "http.atempts: unknown key; did you mean attempts?"),
    ("[http]", "attempts = 0", "http.attempts: should be greater than or equal to 1; write attempts = 8"),
    ("[http]", "read_seconds = 0", "http.read_seconds: should be greater than or equal to 0.001"),
    ("[http]", "read_seconds = inf", "http.read_seconds: should be less than or equal to 86400"),
    ("[http]", "allow_private = 1", "http.allow_private: should be a valid boolean; write allow_private = false"),
    ("[http]", "longest_wait_seconds = 0.1", "http.longest_wait_seconds: is below first_wait_seconds (0.5)"),
    ("[http]", "first_wait_seconds = 500", "http.longest_wait_seconds: is below first_wait_seconds (500)"),
    ("[http]", 'user_agent = "a\\nb"', "http.user_agent: invalid header value; write one line of ASCII text"),
    ("[http]", "webhook = 1", "http.webhook: unknown key; it belongs in [notify]"),
    ("[http]", "requests_per_second = true", "http.requests_per_second: should be a valid number"),
    ("[http.hosts.mrf.example.com]", "connections = 1", "http.hosts.mrf.example: unknown key; a host's name has dots"),
    ('[http.hosts."https://a.b/"]', "", "http.hosts: 'https://a.b/' is not a host name; write it without scheme"),
    ('[http.hosts."a.b"]', "conections = 1", 'http.hosts."a.b".conections: unknown key; did you mean connections?'),
    ('[http.hosts."a.b"]', "connections = 0", 'http.hosts."a.b".connections: should be greater than or equal to 1'),
    ("[http.hosts]", 'x = "y"', "http.hosts.x: should be a table"),
    ("[limits]", "nesting = 21", "limits.nesting: should be less than or equal to 20; write nesting = 3"),
    ("[limits]", "zip_member = 1", "limits.zip_member: unknown key; did you mean zip_members?"),
    ("[gates]", "min_files_read = 90", "gates.min_files_read: should be less than or equal to 1; write min_files"),
    ("[gates]", "max_rows_change = -0.1", "gates.max_rows_change: should be greater than or equal to 0"),
    ("[gates]", "min_nppes_share = nan", "gates.min_nppes_share: should be"),
    ("[gates]", "max_median_change = true", "gates.max_median_change: should be a valid number"),
    ("[schedule]", 'cron = "0 2 * *"', "schedule.cron: Wrong number of fields; five fields are expected: minute, hour"),
    ("[schedule]", 'cron = "0 25 * * *"', "schedule.cron: Bad hour; five fields are expected"),
    (
        "[schedule]",
        'timezone = "America/New_Yrok"',
        "schedule.timezone: 'America/New_Yrok' is not a time zone; write a",
    ),
    ("[schedule]", 'timezone = "America"', "schedule.timezone: 'America' is not a time zone"),
    ("[schedule]", 'timezone = "../etc"', "schedule.timezone: '../etc' is not a time zone"),
    (
        "[notify]",
        f'webhook = "hooks.example.com/{SECRET}"',
        "notify.webhook: not an http(s):// address; write webhook =",
    ),
    ("[notify]", f'webhook = "https://[{SECRET}"', "notify.webhook: not an http(s):// address"),
    ("[notify]", "webhook = 1", "notify.webhook: should be text; write webhook ="),
]
PAYER_KEYS = [
    ("output = 'x'", "payer[0].output: unknown key; it belongs at the top of the file, before the first [section]"),
    ("contnets = []", "payer[0].contnets: unknown key; did you mean contents?"),
    ('files = "x.json"', "payer[0].files: should be a list; write files = []"),
    ("files = [1]", 'payer[0].files[0]: should be text; write "https://'),
    ('files = [""]', 'payer[0].files[0]: is blank; write "https://'),
    ('files = ["https://a.b/{day}"]', "payer[0].files[0]: unknown placeholder in braces; use {month}, {year}, {mm}"),
    ('files = ["x{month"]', "payer[0].files[0]: unknown placeholder in braces"),
    ('files = ["x{"]', "payer[0].files[0]: unknown placeholder in braces"),
    ('files = ["x{{month}}"]', "payer[0].files[0]: unknown placeholder in braces"),
    (
        f'files = ["ftp://u:{SECRET}@a.b/x"]',
        "payer[0].files[0]: unsupported address; write http(s)://HOST/",
    ),
    (f'files = ["https:///{SECRET}"]', "payer[0].files[0]: unsupported address"),
    (f'files = ["https://a.b:{SECRET}/x"]', "payer[0].files[0]: unsupported address"),
    ('include = ["("]', "payer[0].include[0]: '(' is not a regular expression: missing ), unterminated subpattern"),
    (
        'exclude = ["a{99999999999}"]',
        "payer[0].exclude[0]: 'a{99999999999}' is not a regular expression: the repetition",
    ),
    ('include = [""]', 'payer[0].include[0]: is blank; write "OHPH-Chiro"'),
    ('headers = "x"', "payer[0].headers: should be a table"),
    ("headers = { A = 1 }", "payer[0].headers.A: should be text"),
    (f'headers = {{ "{SECRET} x" = "y" }}', "payer[0].headers: invalid header name; write headers ="),
    (
        f'headers = {{ A = "{SECRET}\\n" , B = "{SECRET}\\nx" }}',
        "payer[0].headers.B: invalid header value; write one line of ASCII text",
    ),
    ('undated = "all"', "payer[0].undated: should be 'any'"),
]


@pytest.mark.parametrize(("line", "expected"), TOP)
def test_top_level_errors_name_key_and_cure(tmp_path: Path, line: str, expected: str) -> None:
    (refusal,) = refusals(tmp_path, f"{line}\n{PAYER}")
    assert refusal.startswith(f"tic-rates.toml: {expected}")


@pytest.mark.parametrize(("section", "line", "expected"), SECTIONS)
def test_section_errors_name_key_and_cure(tmp_path: Path, section: str, line: str, expected: str) -> None:
    (refusal,) = refusals(tmp_path, f"{PAYER}{section}\n{line}\n")
    assert refusal.startswith(f"tic-rates.toml: {expected}")


@pytest.mark.parametrize(("line", "expected"), PAYER_KEYS)
def test_payer_errors_name_key_and_cure(tmp_path: Path, line: str, expected: str) -> None:
    (refusal,) = refusals(tmp_path, f"{PAYER}{line}\n")
    assert refusal.startswith(f"tic-rates.toml: {expected}")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "payer: is missing"),
        ("payer = []", "payer: List should have at least 1 item"),
        ("payer = 3", "payer: should be a list"),
        ("[payer]\nname = 'x'", "payer: should be a list"),
        ("payer = [\n1]", "payer[0]: should be a table"),
        (PAYER + "[[payer]]\nname = 'B'", "payer[1]: has neither contents nor files; write contents ="),
        (PAYER + "[[payer]]\nname = 'B'\nfiles = []", "payer[1]: has neither contents nor files"),
        (PAYER + "[[payer]]\nfiles = ['x']", 'payer[1].name: is missing; write name = "Aetna"'),
        (
            PAYER + "[[payer]]\nfiles = ['x']\nname = 'AETNA'",
            "payer: the name 'AETNA' occurs twice; merge the two payers",
        ),
    ],
)
def test_payers_are_named_once_and_have_something_to_read(tmp_path: Path, text: str, expected: str) -> None:
    (refusal,) = refusals(tmp_path, text)
    assert refusal.startswith(f"tic-rates.toml: {expected}")


@pytest.mark.parametrize(
    ("text", "line"),
    [("a = 1\nb = \nc = 3", 2), ("a = 1\n\na = 2\n", 3), (f'a = "{SECRET}\n', 1), ("x = [1,\n", 2), ("a = [\n\n", 3)],
)
def test_what_is_no_toml_keeps_the_parsers_own_line(tmp_path: Path, text: str, line: int) -> None:
    (refusal,) = refusals(tmp_path, text)
    assert refusal.startswith("tic-rates.toml: not TOML: ")
    assert f"(at line {line}, " in refusal or "(at end of document)" in refusal


def test_what_no_parser_takes_is_an_error_too(tmp_path: Path) -> None:
    assert refusals(tmp_path, f"a = {'9' * 5_000}")[0].startswith("tic-rates.toml: not TOML: ")
    assert refusals(tmp_path, f"a = {'[' * 5_000}{']' * 5_000}") == ["tic-rates.toml: nested too deeply"]
    (tmp_path / "tic-rates.toml").write_bytes(b"a = 1\nb = '\xff'\n")
    with pytest.raises(UsageError, match=r"toml: line 2 is not UTF-8 text"):
        load_config(tmp_path / "tic-rates.toml")
    with pytest.raises(UsageError, match="No such file or directory; name one with --config"):
        load_config(tmp_path / "absent.toml")
    with pytest.raises(UsageError, match="Is a directory"):
        load_config(tmp_path)


def test_all_errors_are_said_at_once(tmp_path: Path) -> None:
    text = f"workers = 'x'\n[gates]\nmin_files_read = 2\n{PAYER}include = ['(', 'a', ')']\n\nz = 1\n[http]\ny = 1"
    keys = [line.split(": ")[1] for line in refusals(tmp_path, text)]
    assert keys == [
        *("workers", "http.y", "gates.min_files_read"),
        *("payer[0].include[0]", "payer[0].include[2]", "payer[0].z"),
    ]


def test_the_schema_for_editors_accepts_the_example_and_names_every_key() -> None:
    schema = settings_schema()
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    assert not list(validator.iter_errors(tomllib.loads(example_text())))
    for text in ("outptu = 1", "[http]\nattempts = 0", "[limits]\nnesting = 21", "[[payer]]\nfiles = [1]"):
        assert list(validator.iter_errors(tomllib.loads(PAYER + text)))


def test_the_schema_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nightly", "--schema"]) == 0
    assert json.loads(capsys.readouterr().out) == settings_schema()


def test_reading_the_values_module_does_not_import_pydantic() -> None:
    code = "import sys, flows.settings.config; sys.exit('pydantic' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=REPOSITORY)


# ---- Secrets --------------------------------------------------------------------------------------------------------


def test_secrets_come_from_the_environment_and_are_never_shown(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        f"""
        [notify]
        webhook = {{ env = "HOOK" }}
        [[payer]]
        name = "A"
        contents = [{{ env = "INDEX" }}, "https://u:{SECRET}@a.example.com/x?sig={SECRET}"]
        headers = {{ Authorization = {{ env = "TOKEN" }}, Cookie = "{SECRET}" }}
        """,
        HOOK=f"https://hooks.example.com/{SECRET}",
        INDEX=f"https://a.example.com/{{month}}?sig={SECRET}",
        TOKEN=f"Bearer {SECRET}\n",
    )
    (payer,) = config.payers
    assert config.webhook == f"https://hooks.example.com/{SECRET}"
    assert payer.headers == (("Authorization", f"Bearer {SECRET}"), ("Cookie", SECRET)), "a file's last line end is cut"
    assert payer.contents[0] == f"https://a.example.com/{{month}}?sig={SECRET}"
    assert SECRET not in repr(config) + str(config)


def test_a_variable_that_is_not_set_is_named_with_its_line(tmp_path: Path) -> None:
    text = f'{PAYER}files = [\n  "x",\n  {{ env = "INDEX" }},\n]\n[payer.headers]\nA = {{ env = "TOKEN" }}\n'
    what = "is not set; set it where this runs"
    assert refusals(tmp_path, text, TOKEN="") == [
        f"tic-rates.toml: payer[0].files[1]: the environment variable INDEX {what}",
        f"tic-rates.toml: payer[0].headers.A: the environment variable TOKEN {what}",
    ]


def test_a_wrong_value_from_the_environment_is_not_shown(tmp_path: Path) -> None:
    text = '[notify]\nwebhook = { env = "A" }\n[[payer]]\nname = "x"\nfiles = [{ env = "A" }, { env = "B" }]\n'
    found = refusals(tmp_path, text, A=f"mailto://{SECRET}:x/", B=f"{{{SECRET}}}")
    assert [line.split(": ")[1] for line in found] == ["notify.webhook", "payer[0].files[0]", "payer[0].files[1]"]


def test_the_environment_is_only_for_what_can_be_secret(tmp_path: Path) -> None:
    (refusal,) = refusals(tmp_path, f'output = {{ env = "A" }}\n{PAYER}', A=SECRET)
    assert refusal.startswith("tic-rates.toml: output: should be text")


# ---- Schedule and cluster --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["0 2 * * *", "*/15 0-6/2 1,15 * mon-fri", "59 23 31 12 7", "0 0 * JAN,Dec 0"])
def test_cron_expressions_of_five_fields_are_accepted(text: str, tmp_path: Path) -> None:
    assert load(tmp_path, f'{PAYER}[schedule]\ncron = "{text}"').schedule == text


@pytest.mark.parametrize(
    "text",
    ["@daily", "0 2 * * * *", "60 2 * * *", "0 2 0 * *", "0 2 * 13 *", "0 2 * * 8", "*/0 * * * *", "5-1 * * * *"],
)
def test_other_cron_expressions_are_refused(text: str, tmp_path: Path) -> None:
    (refusal,) = refusals(tmp_path, f'{PAYER}[schedule]\ncron = "{text}"')
    assert "schedule.cron: " in refusal


def test_a_cluster_is_a_dask_scheduler(tmp_path: Path) -> None:
    config = tmp_path / "tic-rates.toml"
    text = '[[payer]]\nname = "A"\nfiles = ["mrf"]\n[cluster]\n'
    config.write_text(text + 'dask = "tls://scheduler:8786"\nmachines = 4\n')
    assert load_config(config).cluster == Cluster(dask="tls://scheduler:8786", machines=4)
    config.write_text(text + 'dask = "scheduler:8786"\n')
    with pytest.raises(UsageError) as caught:
        load_config(config)
    assert str(caught.value).endswith(
        'toml: cluster.dask: not the address of a Dask scheduler; write dask = "tcp://scheduler.example.com:8786"'
    )
