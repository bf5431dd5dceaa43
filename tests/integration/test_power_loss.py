"""A machine that loses its power: what was renamed in the cache stands, what was written is cut or empty."""

from pathlib import Path

import pytest

from flows.extract import stored_tables
from tests.command_line import call, digests
from tests.documents import ANN, BOB, document, group, item, price, rate
from tests.json_text import json_bytes

Capture = pytest.CaptureFixture[str]
PATTERNS = {
    "an extract's account": "extracts/*/account.json",
    "an extract's prices": "extracts/*/prices.parquet",
    "a payer's figures": "payers/*/figures.json",
    "a payer's observations": "payers/*/observations.parquet",
    "what a source was": "sources/*",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two payers' files, and one with none of the codes."""
    folder = tmp_path / "mrf"
    folder.mkdir()
    for number, (who, amount) in enumerate(((ANN, 12.5), (BOB, 9.75))):
        made = document(item(rate(group(who), prices=[price(negotiated_rate=amount)])), entity=f"Plan {number}")
        (folder / f"{number}.json").write_bytes(json_bytes(made))
    (folder / "other.json").write_bytes(json_bytes(document(item(rate(group(ANN)), code="99213"))))
    return folder


@pytest.mark.parametrize("kept", [0, 7], ids=["empty", "cut"])
@pytest.mark.parametrize("pattern", PATTERNS.values(), ids=PATTERNS)
def test_what_a_loss_of_power_cut_in_the_cache_is_made_anew(
    folder: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch, pattern: str, kept: int
) -> None:
    if pattern.endswith("prices.parquet"):
        monkeypatch.setattr(stored_tables, "SMALL_BYTES", 0)
    output = tmp_path / "out"
    arguments = ("run", folder, "--month", "2026-06", "--output", output, "--no-report")
    assert call(capsys, *arguments).code == 0
    expected = digests(output)
    damaged = list((output / ".cache").glob(pattern))
    assert damaged
    for path in damaged:
        path.write_bytes(path.read_bytes()[:kept])
    if pattern.startswith("extracts"):  # what is read is what matters, not what was built of it
        for path in (output / ".cache" / "payers").glob("*/*"):
            path.unlink()
    ended = call(capsys, *arguments)
    assert ended.code == 0, ended.err
    assert digests(output) == expected
    assert all(path.stat().st_size > kept for path in damaged)
