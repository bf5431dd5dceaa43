"""What killed processes left behind is told from the work of living ones."""

import os
import subprocess
import sys
from pathlib import Path

from flows.layout import scratch, sweep
from tests.command_line import wait_until


def test_work_of_a_living_process_stays(tmp_path: Path) -> None:
    mine = scratch(tmp_path)
    mine.mkdir()
    sweep(tmp_path)
    assert mine.exists()


def test_leftovers_of_an_earlier_process_of_our_number_go(tmp_path: Path) -> None:
    """In a container every run has the same process id."""
    _, pid, started, rest = scratch(tmp_path).name.split("-")
    assert pid == str(os.getpid())
    earlier = tmp_path / f".tmp-{pid}-{int(started) - 1}-{rest}"
    earlier.mkdir()
    (earlier / "part.parquet").write_bytes(b"half")
    (tmp_path / f".tmp-{pid}-{int(started) - 1}-file").write_bytes(b"half")
    sweep(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_leftovers_of_a_process_that_nobody_has_reaped_go(tmp_path: Path) -> None:
    program = f"from pathlib import Path; from flows.layout import scratch; scratch(Path({str(tmp_path)!r})).mkdir()"
    child = subprocess.Popen([sys.executable, "-c", program], env=os.environ | {"PYTHONPATH": str(Path.cwd())})
    zombie = Path(f"/proc/{child.pid}/stat")
    wait_until(lambda: zombie.read_text().rpartition(")")[2].split()[0] == "Z", "the child to end")
    assert len(list(tmp_path.iterdir())) == 1
    sweep(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert child.wait() == 0
