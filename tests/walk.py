"""Random walks over what a month can go through between two publications, each step compared with a clean run.

``World`` is one configuration with its files, reference data and rules. A step changes one thing; ``STEPS`` has an
entry for each kind. Gates are off: one that holds a payer back keeps its old rows on purpose.
"""

import os
import random
import shutil
import sys
from collections.abc import Callable
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import polars as pl
import pytest

from flows.storage import code_versions
from flows.storage.layout import Layout
from flows.tables.coverage_editions import build_coverage
from flows.tables.fee_schedules import build_medicare
from flows.tables.utilization_lookup import build_utilization
from schemas import reference as packaged
from schemas.codes import DEFAULT_CODES
from schemas.table import Table
from tests.command_line import Ended, call, digests
from tests.coverage_files import POLICY_HEADER
from tests.documents import document, group, item, npi_of, price, rate
from tests.faults import execute
from tests.fee_schedule_files import gpci, pprrvu
from tests.json_text import json_bytes
from tests.nppes_files import npidata, record
from transforms.benchmark import payers, taxonomy

MONTH = "2026-06"
BLOCKS = {"aetna": "Aetna Life Insurance Company", "acme": "Acme Health Plan", "cigna": "Cigna Health Life Insurance"}
NPIS = [npi_of(100_000_000 + number) for number in range(12)]
TABLES = ("summaries", "rates", "providers", "coverage")
TAXONOMIES = ("225100000X", "111N00000X", "207Q00000X")
WAYS = ("run", "nightly", "backfill")

Value = TypeVar("Value")
Capture = pytest.CaptureFixture[str]


def set_everywhere(monkeypatch: pytest.MonkeyPatch, name: str, value: object) -> None:
    """Another value of a constant in every module of ours that holds it."""
    for module in [
        module for key, module in sys.modules.items() if key.startswith(("flows.", "transforms.", "schemas."))
    ]:
        if hasattr(module, name):
            monkeypatch.setattr(module, name, value)


def edit_source(monkeypatch: pytest.MonkeyPatch, module: str, text: str) -> None:
    """Another source of a module, as far as cache keys are concerned: with this text at its end."""
    source = code_versions._source
    edited = {module: f"# {text}".encode()}
    monkeypatch.setattr(code_versions, "_source", lambda name: source(name) + edited.get(name, b""))
    set_everywhere(monkeypatch, "code_version", cache(code_versions.code_version.__wrapped__))


class World:
    """One place, as it is now. ``number``: of changes so far, so that no change is a repetition."""

    def __init__(self, place: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
        self.place, self.capsys, self.monkeypatch = place, capsys, monkeypatch
        self.chance = random.Random(seed)
        self.number = 0
        self.blocks = {"aetna": "aetna", "acme": "acme"}  # the name in the configuration: its folder
        self._chosen: dict[str, Any] = {}
        self._tables: dict[str, pl.DataFrame] = {}
        for name in self.blocks:
            self.write_file(name, 1)
            self.write_file(name, 2)
        self.write_nppes()
        self.write_config()

    @property
    def output(self) -> Path:
        """The folder that all of the walk's publications share."""
        return self.place / "out"

    def next(self) -> int:
        """Another number for each change."""
        self.number += 1
        return self.number

    def other(self, name: str, *values: Value) -> Value:
        """One of the values that was not chosen under this name the last time; at first not the first one."""
        held = self._chosen.get(name, values[0])
        chosen = self._chosen[name] = self.chance.choice([value for value in values if value != held])
        return chosen

    def folder(self, block: str) -> Path:
        """Where a block's files are."""
        return self.place / "mrf" / MONTH / self.blocks[block]

    def write_file(self, block: str, number: int) -> None:
        """One file of a payer with new prices."""
        rates = [
            rate(
                group(*self.chance.sample(NPIS, 3), tin={"type": "ein", "value": f"12345678{digit}"}),
                prices=[
                    price(negotiated_rate=self.chance.randrange(500, 9000) / 100, billing_code_modifier=modifiers)
                    for modifiers in (["GP"], ["59"])
                ],
            )
            for digit in range(3)
        ]
        made = document(item(*rates), reporting_entity_name=BLOCKS[self.blocks[block]], serial=self.next())
        path = self.folder(block) / f"{number}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(json_bytes(made))

    def write_nppes(self) -> None:
        """The providers' records: one of them is not there, and they move."""
        states = self.chance.choices(("AK", "NY", "CA"), k=len(NPIS))
        records = [record(npi, state, self.chance.choice(TAXONOMIES)) for npi, state in zip(NPIS, states, strict=True)]
        (self.place / "npi.csv").write_bytes(npidata(*records[1:]))

    def write_config(self) -> None:
        """The configuration of the blocks that there are."""
        blocks = "".join(
            f'[[payer]]\nname = "{name}"\nfiles = ["mrf/{{month}}/{folder}/*.json"]\n'
            for name, folder in self.blocks.items()
        )
        (self.place / "tic-rates.toml").write_text(f'output = "out"\nnppes = "npi.csv"\n{blocks}')

    def use_table(self, module: object, table: Table, change: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
        """Another content of a packaged table, for the module that reads it."""
        held = self._tables.get(table.name, packaged.load_reference(table))
        changed = self._tables[table.name] = change(held)
        self.monkeypatch.setattr(module, "load_reference", lambda _: changed)
        payers._known_payers.cache_clear()
        payers._known_slugs.cache_clear()

    def publish(self, way: str) -> Ended:
        """Publish the month."""
        config = ("--config", self.place / "tic-rates.toml", "--json")
        if way == "run":
            return self._run(self.output)
        if way == "nightly":
            return call(self.capsys, "nightly", *config, "--no-gates", "--month", MONTH)
        return call(self.capsys, "backfill", *config, "--no-gates", "--from", MONTH, "--to", MONTH)

    def _run(self, output: Path) -> Ended:
        folders = [self.folder(block) for block in self.blocks]
        words = ("--month", MONTH, "--nppes", self.place / "npi.csv", "--output", output, "--json")
        return call(self.capsys, "run", *folders, *words)

    def clean_tables(self) -> dict[str, str]:
        """Digests of the tables of a run in an empty folder, with the same reference data."""
        clean = self.place / f"clean-{self.next()}"
        if (self.output / "reference").exists():
            shutil.copytree(self.output / "reference", clean / "reference")
        ended = self._run(clean)
        assert ended.code == 0, ended.err
        tables = published(clean)
        shutil.rmtree(clean)
        return tables


def published(output: Path) -> dict[str, str]:
    """Digests of what CONTRACT section 3 calls byte-identical."""
    everything = digests(output, *TABLES, "quality")
    return {
        path: digest for path, digest in everything.items() if not path.endswith(("files.parquet", "unmapped.parquet"))
    }


def change_file(world: World) -> None:
    """New prices under a name that was read before."""
    world.write_file(world.chance.choice([*world.blocks]), 1)


def touch_file(world: World) -> None:
    """The same content, written again."""
    path = world.folder(world.chance.choice([*world.blocks])) / "1.json"
    path.write_bytes(path.read_bytes())


def add_file(world: World) -> None:
    """A file more."""
    world.write_file(world.chance.choice([*world.blocks]), 10 + world.next())


def remove_file(world: World) -> None:
    """A file less, as long as one is left."""
    paths = sorted(world.folder(world.chance.choice([*world.blocks])).iterdir())
    if len(paths) > 1:
        paths[-1].unlink()


def rename_file(world: World) -> None:
    """The same content under another name."""
    paths = sorted(world.folder(world.chance.choice([*world.blocks])).iterdir())
    paths[-1].rename(paths[-1].with_name(f"renamed-{world.next()}.json"))


def swap_files(world: World) -> None:
    """Two names exchange their contents."""
    one, other = (world.folder(block) / "1.json" for block in world.chance.sample([*world.blocks], 2))
    first = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(first)


def add_payer(world: World) -> None:
    """A block more in the configuration."""
    if "cigna" not in world.blocks.values():
        world.blocks["cigna"] = "cigna"
        world.write_file("cigna", 1)
        world.write_config()


def remove_payer(world: World) -> None:
    """A block less in the configuration; its files stay where they are."""
    if len(world.blocks) > 1:
        del world.blocks[world.chance.choice([*world.blocks])]
        world.write_config()


def rename_payer(world: World) -> None:
    """Another name for a block and its files."""
    name = world.chance.choice([*world.blocks])
    world.blocks[f"{name.partition(' ')[0]} {world.next()}"] = world.blocks.pop(name)
    world.write_config()


def raise_methodology(world: World) -> None:
    """Another version of the methodology."""
    version = f"test {world.next()}"
    set_everywhere(world.monkeypatch, "METHODOLOGY", version)
    edit_source(world.monkeypatch, "schemas.codes", version)


def change_rule(world: World) -> None:
    """A modifier is allowed no more, or again."""
    allowed = world.other("modifiers", ("59", "GP"), ("GP",), ("59",))
    world.monkeypatch.setattr("transforms.benchmark.exclude.ALLOWED_MODIFIERS", allowed)
    edit_source(world.monkeypatch, "transforms.benchmark.exclude", str(allowed))


def change_bounds(world: World) -> None:
    """Another bound of the outliers."""
    bound = world.other("bound", 10.0, 2.0, 5.0)
    world.monkeypatch.setattr("transforms.benchmark.representative_rates.OUTLIER_HIGH", bound)
    edit_source(world.monkeypatch, "transforms.benchmark.representative_rates", str(bound))


def change_taxonomies(world: World) -> None:
    """Another tier of a taxonomy."""
    tier = pl.lit(world.other("tier", "balanced", "strict", "other"))
    chosen = pl.col("code") == "111N*"
    world.use_table(
        taxonomy,
        packaged.THERAPY_TAXONOMIES,
        lambda table: table.with_columns(tier=pl.when(chosen).then(tier).otherwise("tier")),
    )


def change_payers(world: World) -> None:
    """A name of the payer table goes to another payer, known or new."""
    row = [
        BLOCKS["acme"],
        world.other("payer", "Acme Health Plan", "Aetna", "Acme", "Zenith"),
        "Acme Holding",
        "a test",
    ]
    added = pl.DataFrame([row], schema=packaged.PAYERS.polars, orient="row")
    others = pl.col("reporting_entity_name") != BLOCKS["acme"]
    world.use_table(payers, packaged.PAYERS, lambda table: pl.concat([table.filter(others), added]))


def add_medicare_year(world: World) -> None:
    """What `reference medicare` builds, with other amounts each time."""
    rvu, indices = world.place / "rvu.csv", world.place / "gpci.csv"
    rvu.write_text(pprrvu(2026, factor=f"{world.chance.randrange(20, 60)}.{world.next():04}"))
    indices.write_text(gpci(2026))
    build_medicare(rvu, indices, 2026, world.output / "reference")


def add_utilization_year(world: World) -> None:
    """What `reference utilization` builds: of the first NPIs, for a year that counts or one that does not."""
    year = world.chance.choice((2023, 2024, 2026, 2027))
    codes = world.chance.choices(("97026", "97028", "97110", "99213"), k=5)
    lines = [f"{npi},{code},{world.next()}.5" for npi, code in zip(NPIS, codes, strict=False)]
    path = world.place / f"services {year}.csv"
    path.write_text("\n".join(["npi,billing_code,services", *lines, ""]))
    build_utilization([path], Layout(world.output).utilization, ["97026", "97028"])


def add_coverage_edition(world: World) -> None:
    """A payer's policy on a code changes, as an edition of 2026 that may be older than one loaded before."""
    day = f"2026-{world.chance.randrange(1, 7):02}-{world.chance.randrange(1, 29):02}"
    path = world.place / "policies.csv"
    path.write_text(f"{POLICY_HEADER}\nAetna,97026,AK,2025-01-01,Policy {world.next()},,covered\n")
    build_coverage([path], Layout(world.output).coverage, DEFAULT_CODES, date.fromisoformat(day))


def change_nppes(world: World) -> None:
    """Another edition of NPPES under the same name."""
    world.write_nppes()


def delete_cache(world: World) -> None:
    """All of it."""
    shutil.rmtree(world.output / ".cache", ignore_errors=True)


def delete_some_of_the_cache(world: World) -> None:
    """Half of its files."""
    for path in _cached(world):
        if world.chance.random() < 0.5:
            path.unlink()


def damage_the_cache(world: World) -> None:
    """Garbage of several kinds instead of a third of its files; Parquet is cut, for its content has no digest."""
    for path in _cached(world):
        if world.chance.random() < 0.3:
            content = path.read_bytes()
            garbage = (b"", b"\x00\xff" * 40, b"null", b"[]", b"{}", b'{"tables": 1}', content[: len(content) // 2])
            path.unlink()  # a build's rates are linked into the published month
            path.write_bytes(content[:-5] if path.suffix == ".parquet" else world.chance.choice(garbage))


def _cached(world: World) -> list[Path]:
    return sorted(path for path in (world.output / ".cache").rglob("*") if path.is_file())


def fail_midway(world: World) -> None:
    """A publication that ends at one of its writes, as on a full disk."""
    change_file(world)
    left = world.chance.randrange(25)

    def failing(path: Path, target: Path) -> Path:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(5, "Input/output error", str(path))
        os.replace(path, target)  # noqa: PTH105 what is patched
        return target

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Path, "replace", failing)
        patched.setattr(Path, "rename", failing)
        world.publish(world.chance.choice(WAYS))


def kill_midway(world: World) -> None:
    """A publication under the packaged rules whose process is killed at one of its writes."""
    change_file(world)
    config = ("--config", world.place / "tic-rates.toml", "--no-gates", "--no-report")
    execute("nightly", *config, "--month", MONTH, program=KILLED.format(left=world.chance.randrange(25)))


KILLED = """
import os, signal
from pathlib import Path
left = {left}
def deadly(path, target):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    os.replace(path, target)
    return target
Path.replace = Path.rename = deadly
"""

Step = Callable[[World], None]
QUICK: dict[str, Step] = {
    step.__name__: step
    for step in (
        change_file,
        touch_file,
        add_file,
        remove_file,
        rename_file,
        swap_files,
        add_payer,
        remove_payer,
        rename_payer,
        raise_methodology,
        change_rule,
        change_bounds,
        change_taxonomies,
        change_payers,
        add_medicare_year,
        add_utilization_year,
        add_coverage_edition,
        change_nppes,
        delete_cache,
        delete_some_of_the_cache,
        damage_the_cache,
        fail_midway,
    )
}
STEPS: dict[str, Step] = QUICK | {"kill_midway": kill_midway}
SAME_TABLES = {"touch_file", "rename_file", "delete_cache", "delete_some_of_the_cache", "damage_the_cache"}
