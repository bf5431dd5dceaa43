"""`tic-rates.toml`: what is said of a good one, and of each thing wrong in a bad one, with its line."""

import dataclasses
import re
import tomllib
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.settings.config import Config, Gates, PayerSource, example_text, fill_month, load_config
from flows.settings.cron import cron_problem
from flows.settings.fetching import Cluster, Fetching, HostLimits
from flows.settings.toml_lines import Place, key_lines, line_of
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
        limits=limits,
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
    values = tomllib.loads(re.sub(r"(?m)^# (?=(headers|webhook|nppes|reader) = )", "", example_text()))
    assert {*values} >= {"output", "nppes", "codes", "workers", "reader"}
    assert {*values["limits"]} == {field.name for field in dataclasses.fields(Limits)}
    assert {*values["gates"]} == {field.name for field in dataclasses.fields(Gates)}
    assert {key for payer in values["payer"] for key in payer} == {
        field.name for field in dataclasses.fields(PayerSource)
    }
    assert len(values["http"]) == 10 and len(values["schedule"]) == 2 and len(values["notify"]) == 1


def test_the_configuration_of_the_guide_is_a_good_one(tmp_path: Path) -> None:
    guide = REPOSITORY / "docs" / "how-to" / "nightly-and-backfill.md"
    (config,) = (load(tmp_path, block) for block in re.findall(r"```toml\n(.*?)```", guide.read_text(), re.DOTALL))
    assert [payer.name for payer in config.payers] == ["Anthem", "UnitedHealthcare"]


def test_months_are_filled_in() -> None:
    assert fill_month("{year}/{mm}/{month}-01_{month}", date(2025, 6, 1)) == "2025/06/2025-06-01_2025-06"


def test_a_byte_order_mark_and_windows_line_ends_are_no_error(tmp_path: Path) -> None:
    assert load(tmp_path, "\ufeff" + PAYER.replace("\n", "\r\n")).payers[0].name == "Aetna"
    assert refusals(tmp_path, PAYER.replace("\n", "\r\n") + "x = 1\r\n")[0].startswith("tic-rates.toml:4: payer.x:")


# ---- What is wrong, by line -----------------------------------------------------------------------------------------

TOP = [
    ('outptu = "x"', "outptu: unknown key; did you mean output?"),
    ("timezone = 1", "timezone: unknown key; it belongs in [schedule]"),
    ("qqq = 1", "qqq: unknown key; known here: output, nppes, codes,"),
    ("output = 1", 'output: text is wanted, not a whole number; write output = "output"'),
    ('output = " "', 'output: is blank; write output = "output", or leave it out'),
    ('workers = "two"', "workers: a whole number from 0 to 1,024 is wanted, not text; write workers = 0"),
    ("workers = -1", "workers: -1 is out of range: a whole number from 0 to 1,024 is wanted"),
    ("workers = true", "workers: a whole number from 0 to 1,024 is wanted, not true or false"),
    ("workers = 1.5", "workers: a whole number from 0 to 1,024 is wanted, not a number"),
    ("workers = 2025-01-01", "workers: a whole number from 0 to 1,024 is wanted, not a date or time"),
    ("codes = 97026", 'codes: a list is wanted, not a whole number; write codes = ["97026"]'),
    ("codes = [97026]", 'codes: text is wanted, not a whole number; write codes = ["97026"]'),
    ("codes = []", 'codes: is empty; write codes = ["97026", "97028"], or leave it out'),
    ('codes = ["97-026"]', "codes: not a billing code: '97-026'; give codes like 97026,97028"),
    ('reader = "fast"', 'reader: \'fast\' is no reader; write "scan" or "ijson", or leave it out'),
    ("http = 1", "http: a table is wanted, not a whole number; write it as [http]"),
]
SECTIONS = [
    ("[http]", "atempts = 1", "http.atempts: unknown key; did you mean attempts?"),
    ("[http]", "attempts = 0", "http.attempts: 0 is out of range: a whole number from 1 to 1,000 is wanted"),
    ("[http]", "read_seconds = 0", "http.read_seconds: 0 is out of range: a number from 0.001 to 86400 is wanted"),
    ("[http]", "read_seconds = inf", "http.read_seconds: inf is out of range"),
    ("[http]", "allow_private = 1", "http.allow_private: true or false is wanted, not a whole number; write"),
    ("[http]", "longest_wait_seconds = 0.1", "http.longest_wait_seconds: is below first_wait_seconds (0.5)"),
    ("[http]", 'user_agent = "a\\nb"', "http.user_agent: holds what a header can't"),
    ("[http]", "webhook = 1", "http.webhook: unknown key; it belongs in [notify]"),
    ("[http.hosts.mrf.example.com]", "connections = 1", "http.hosts.mrf.example: unknown key; a host's name has dots"),
    ('[http.hosts."https://a.b/"]', "", 'http.hosts."https://a.b/": no host name; write it without scheme'),
    ('[http.hosts."a.b"]', "conections = 1", 'http.hosts."a.b".conections: unknown key; did you mean connections?'),
    ('[http.hosts."a.b"]', "connections = 0", 'http.hosts."a.b".connections: 0 is out of range'),
    ("[http.hosts]", 'x = "y"', "http.hosts.x: a table is wanted, not text; write it as [http.hosts.x]"),
    ("[limits]", "nesting = 21", "limits.nesting: 21 is out of range: a whole number from 1 to 20 is wanted"),
    ("[limits]", "zip_member = 1", "limits.zip_member: unknown key; did you mean zip_members?"),
    ("[gates]", "min_files_read = 90", "gates.min_files_read: 90 is out of range: a number, or false, from 0 to 1"),
    ("[gates]", "max_rows_change = -0.1", "gates.max_rows_change: -0.1 is out of range"),
    ("[gates]", "min_nppes_share = nan", "gates.min_nppes_share: nan is out of range"),
    ("[gates]", "max_median_change = true", "gates.max_median_change: a number, or false, from 0 to 1,000 is wanted"),
    ("[schedule]", 'cron = "0 2 * *"', "schedule.cron: 4 fields where five are wanted"),
    ("[schedule]", 'cron = "0 25 * * *"', "schedule.cron: '25' is no hour: numbers 0 to 23"),
    (
        "[schedule]",
        'timezone = "America/New_Yrok"',
        "schedule.timezone: 'America/New_Yrok' is no time zone; write a name",
    ),
    ("[schedule]", 'timezone = "America"', "schedule.timezone: 'America' is no time zone"),
    ("[schedule]", 'timezone = "../etc"', "schedule.timezone: '../etc' is no time zone"),
    ("[notify]", f'webhook = "hooks.example.com/{SECRET}"', "notify.webhook: no http(s):// address; write it"),
    ("[notify]", f'webhook = "https://[{SECRET}"', "notify.webhook: no http(s):// address"),
    ("[notify]", "webhook = 1", 'notify.webhook: text or { env = "NAME" } is wanted, not a whole number'),
]
PAYER_KEYS = [
    ("output = 'x'", "payer.output: unknown key; it belongs at the top of the file, before the first [section]"),
    ("contnets = []", "payer.contnets: unknown key; did you mean contents?"),
    ('files = "x.json"', 'payer.files: a list is wanted, not text; write files = ["https://'),
    ("files = [1]", 'payer.files: text or { env = "NAME" } is wanted, not a whole number; write "https://'),
    ('files = [""]', 'payer.files: text or { env = "NAME" } is wanted, not blank text'),
    ('files = ["https://a.b/{day}"]', "payer.files: braces hold something else than {month}, {year}, {mm}"),
    ('files = ["x{month"]', "payer.files: braces hold something else than"),
    ('files = ["x{"]', "payer.files: braces hold something else than"),
    ('files = ["x{{month}}"]', "payer.files: braces hold something else than"),
    (f'files = ["ftp://u:{SECRET}@a.b/x"]', "payer.files: no address that can be read; write http(s)://HOST/"),
    (f'files = ["https:///{SECRET}"]', "payer.files: no address that can be read"),
    (f'files = ["https://a.b:{SECRET}/x"]', "payer.files: no address that can be read"),
    ('include = ["("]', "payer.include: '(' is no regular expression: missing ), unterminated subpattern"),
    ('exclude = ["a{99999999999}"]', "payer.exclude: 'a{99999999999}' is no regular expression: the repetition"),
    ('include = [""]', "payer.include: text is wanted, not blank text"),
    ('headers = "x"', "payer.headers: a table is wanted, not text; write it as [payer.headers]"),
    ("headers = { A = 1 }", 'payer.headers.A: text or { env = "NAME" } is wanted, not a whole number'),
    (f'headers = {{ "{SECRET} x" = "y" }}', "payer.headers: a header's name is no name"),
    (f'headers = {{ A = "{SECRET}\\n" , B = "{SECRET}\\nx" }}', "payer.headers.B: its value holds what a header can't"),
]


@pytest.mark.parametrize(("line", "expected"), TOP)
def test_top_level_errors_name_line_key_and_cure(tmp_path: Path, line: str, expected: str) -> None:
    (refusal,) = refusals(tmp_path, f"# tic-rates\n\n{line}\n{PAYER}")
    assert refusal.startswith(f"tic-rates.toml:3: {expected}")


@pytest.mark.parametrize(("section", "line", "expected"), SECTIONS)
def test_section_errors_name_line_key_and_cure(tmp_path: Path, section: str, line: str, expected: str) -> None:
    (refusal,) = refusals(tmp_path, f"{PAYER}{section}\n# x = 1\n{line}\n")
    at = 4 if not line or "unknown key; a host" in refusal else 6
    assert refusal.startswith(f"tic-rates.toml:{at}: {expected}")


@pytest.mark.parametrize(("line", "expected"), PAYER_KEYS)
def test_payer_errors_name_line_key_and_cure(tmp_path: Path, line: str, expected: str) -> None:
    (refusal,) = refusals(tmp_path, f"{PAYER}\n{line}  # and so on\n")
    assert refusal.startswith(f"tic-rates.toml:5: {expected}")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", '1: payer: no payer to read; add [[payer]] with name = "..." and contents or files'),
        ("payer = []", "1: payer: no payer to read"),
        ("payer = 3", "1: payer: a list of tables is wanted, not a whole number; begin each with [[payer]]"),
        ("\n[payer]\nname = 'x'", "2: payer: a list of tables is wanted, not a table; begin each with [[payer]]"),
        ("payer = [\n1]", "2: payer: a table is wanted, not a whole number; begin each with [[payer]]"),
        (PAYER + "\n[[payer]]\nname = 'B'", "5: payer: has neither contents nor files; write contents ="),
        (PAYER + "\n[[payer]]\nname = 'B'\nfiles = []", "5: payer: has neither contents nor files"),
        (PAYER + "\n[[payer]]\nfiles = ['x']", '5: payer: has no name; write name = "Aetna"'),
        (PAYER + "\n[[payer]]\nfiles = ['x']\nname = 'AETNA'", "7: payer.name: 'AETNA' stands in line 2 already"),
        ("payer = [{name = 'A', files = ['x']}, {name = 'A', files = ['x']}]", "1: payer.name: 'A' stands in line 1"),
    ],
)
def test_payers_are_named_once_and_have_something_to_read(tmp_path: Path, text: str, expected: str) -> None:
    (refusal,) = refusals(tmp_path, text)
    assert refusal.startswith(f"tic-rates.toml:{expected}")


@pytest.mark.parametrize(
    ("text", "line"),
    [("a = 1\nb = \nc = 3", 2), ("a = 1\n\na = 2\n", 3), (f'a = "{SECRET}\n', 1), ("x = [1,\n", 2), ("a = [\n\n", 3)],
)
def test_what_is_no_toml_keeps_the_parsers_own_line(tmp_path: Path, text: str, line: int) -> None:
    (refusal,) = refusals(tmp_path, text)
    assert refusal.startswith(f"tic-rates.toml:{line}: not TOML: ")


def test_what_no_parser_takes_is_an_error_too(tmp_path: Path) -> None:
    assert refusals(tmp_path, f"a = {'9' * 5_000}")[0].startswith("tic-rates.toml:1: not TOML: ")
    assert refusals(tmp_path, f"a = {'[' * 5_000}{']' * 5_000}") == ["tic-rates.toml:1: nested too deeply"]
    (tmp_path / "tic-rates.toml").write_bytes(b"a = 1\nb = '\xff'\n")
    with pytest.raises(UsageError, match=r"toml:2: not UTF-8 text"):
        load_config(tmp_path / "tic-rates.toml")
    with pytest.raises(UsageError, match="No such file or directory; name one with --config"):
        load_config(tmp_path / "absent.toml")
    with pytest.raises(UsageError, match="Is a directory"):
        load_config(tmp_path)


def test_all_errors_are_said_at_once_in_the_files_order(tmp_path: Path) -> None:
    text = f"workers = 'x'\n[gates]\nmin_files_read = 2\n{PAYER}include = ['(', 'a', ')']\n\nz = 1\n[http]\ny = 1"
    assert [line.split(":")[1] for line in refusals(tmp_path, text)] == ["1", "3", "7", "7", "9", "11"]


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
        f"tic-rates.toml:6: payer.files: the environment variable INDEX {what}",
        f"tic-rates.toml:9: payer.headers.A: the environment variable TOKEN {what}",
    ]


def test_a_wrong_value_from_the_environment_is_not_shown(tmp_path: Path) -> None:
    text = '[notify]\nwebhook = { env = "A" }\n[[payer]]\nname = "x"\nfiles = [{ env = "A" }, { env = "B" }]\n'
    found = refusals(tmp_path, text, A=f"mailto://{SECRET}:x/", B=f"{{{SECRET}}}")
    assert [line.split(":")[1] for line in found] == ["2", "5", "5"]


def test_the_environment_is_only_for_what_can_be_secret(tmp_path: Path) -> None:
    (refusal,) = refusals(tmp_path, f'output = {{ env = "A" }}\n{PAYER}', A=SECRET)
    assert refusal.startswith("tic-rates.toml:1: output: text is wanted, not a table")


# ---- Lines ----------------------------------------------------------------------------------------------------------


def test_keys_are_found_among_comments_quotes_strings_and_arrays() -> None:
    text = '''# a = 1
"a" = 1 # [[b]]
'c.d' = """
e = 1
\\""" [f] """""
g . "h i" = [ # ]
  "]", # x = 1
  [1,
   2], { j = 1, k = [3] },
]
[l.m] # l = 1
n = 1979-05-27 07:32:00
o = \'\'\'
p = 1'\'\'\'
[[q]]
r = 1
[[ q ]]
r = { s = "}", "t" = 1 }
[q.u]
v = 1
[[q.w]]
x = 1
[[q.w]]
x = "\\\\"
y = 2'''
    assert places(tomllib.loads(text)) == set(key_lines(text))
    lines = {
        ("a",): 2,
        ("c.d",): 3,
        ("g",): 6,
        ("g", "h i"): 6,
        ("g", "h i", 0): 7,
        ("g", "h i", 1): 8,
        ("g", "h i", 1, 1): 9,
        ("g", "h i", 2, "k", 0): 9,
        ("l", "m"): 11,
        ("l", "m", "n"): 12,
        ("l", "m", "o"): 13,
        ("q",): 15,
        ("q", 0, "r"): 16,
        ("q", 1): 17,
        ("q", 1, "r", "t"): 18,
        ("q", 1, "u", "v"): 20,
        ("q", 1, "w", 1): 23,
        ("q", 1, "w", 1, "x"): 24,
        ("q", 1, "w", 1, "y"): 25,
    }
    assert {place: key_lines(text)[place] for place in lines} == lines


def test_a_missing_key_stands_where_its_table_begins() -> None:
    lines = key_lines("\n[a]\n[[b]]\n[[b]]\n")
    assert [line_of(lines, place) for place in ((), ("a", "x"), ("b", 1, "x", 3), ("c",))] == [1, 2, 4, 1]


def places(value: object, place: Place = ()) -> set[Place]:
    """Every key and array element of parsed TOML."""
    inside: Iterator[tuple[Any, object]] = iter(())
    if isinstance(value, dict):
        inside = iter(value.items())
    elif isinstance(value, list):
        inside = iter(enumerate(value))
    return ({place} if place else set()).union(*(places(each, (*place, key)) for key, each in inside))


KEYS = st.sampled_from(["a", "b", '"c d"', "'e.f'", '"\\u0067"'])
SCALARS = st.sampled_from(
    ["1", "-1.5e3", "true", "inf", "1979-05-27", '"]#"', "'}'", '"""\n"x\n"""', "'''\n'''", '"\\""']
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner).map(lambda each: "[ # [\n" + ",\n".join(each) + "]"),
        st.lists(st.tuples(KEYS, inner), unique_by=lambda pair: pair[0]).map(
            lambda pairs: "{" + ", ".join(f"{key} = {value}" for key, value in pairs) + "}"
        ),
    ),
    max_leaves=8,
)
STATEMENTS = st.one_of(
    st.tuples(KEYS, VALUES).map(" = ".join),
    st.tuples(KEYS, KEYS, VALUES).map(lambda parts: f"{parts[0]} . {parts[1]} = {parts[2]} # x"),
    KEYS.map("[{}]".format),
    KEYS.map("[[{}]]".format),
    st.tuples(KEYS, KEYS).map(lambda keys: f"[[ {keys[0]}.{keys[1]} ]]"),
    st.tuples(KEYS, KEYS).map(lambda keys: f"[{keys[0]}.{keys[1]}]"),
)


@given(st.lists(STATEMENTS, max_size=8))
def test_every_place_of_a_text_that_tomllib_takes_has_a_line(statements: list[str]) -> None:
    taken: list[str] = []
    for statement in statements:
        try:
            tomllib.loads("\n".join([*taken, statement]))
        except tomllib.TOMLDecodeError:
            continue
        taken.append(statement)
    text = "\n".join(taken)
    assert set(key_lines(text)) == places(tomllib.loads(text))


@pytest.mark.parametrize("text", ["0 2 * * *", "*/15 0-6/2 1,15 * mon-fri", "59 23 31 12 7", "0 0 * JAN,Dec 0"])
def test_cron_expressions_of_five_fields_are_taken(text: str) -> None:
    assert cron_problem(text) is None


@pytest.mark.parametrize(
    "text",
    ["", "@daily", "0 2 * * * *", "60 2 * * *", "0 2 0 * *", "0 2 * 13 *", "0 2 * * 8", "*/0 * * * *", "5-1 * * * *"],
)
def test_other_cron_expressions_are_not(text: str) -> None:
    assert cron_problem(text)


@pytest.mark.parametrize("field", ["moo", "a", "1,,", "-1", "²", "1-2-3", "1/", "*-2"])
def test_what_is_no_number_is_in_no_field(field: str) -> None:
    assert all(cron_problem(" ".join([*["*"] * before, field, *["*"] * (4 - before)])) for before in range(5))


def test_a_cluster_is_a_dask_scheduler(tmp_path: Path) -> None:
    config = tmp_path / "tic-rates.toml"
    text = '[[payer]]\nname = "A"\nfiles = ["mrf"]\n[cluster]\n'
    config.write_text(text + 'dask = "tls://scheduler:8786"\nmachines = 4\n')
    assert load_config(config).cluster == Cluster(dask="tls://scheduler:8786", machines=4)
    config.write_text(text + 'dask = "scheduler:8786"\n')
    with pytest.raises(UsageError) as caught:
        load_config(config)
    assert [line.partition("toml:")[2] for line in str(caught.value).splitlines()] == [
        '5: cluster.dask: no address of a Dask scheduler; write it such as "tcp://scheduler.example.com:8786"',
    ]
