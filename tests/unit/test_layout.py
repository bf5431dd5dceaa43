"""What killed processes left behind is told from the work of living ones."""

import os
import subprocess
import sys
import time
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


def test_what_another_machine_is_writing_stays_until_it_has_been_still_for_days(tmp_path: Path) -> None:
    """On a shared file system: its processes can't be seen from here, and ours may have the same numbers."""
    mine = scratch(tmp_path).name.rpartition(".")[0]
    written, abandoned = (
        tmp_path / f"{mine.replace('-', '-1', 1)}.another-{name}" for name in ("written", "abandoned")
    )
    long_ago = time.time() - 3 * 86_400
    for folder in (written, abandoned):
        folder.mkdir()
        (folder / "prices.parquet").write_bytes(b"half")
        os.utime(folder / "prices.parquet", (long_ago, long_ago))
        os.utime(folder, (long_ago, long_ago))
    (written / "prices.parquet").touch()
    sweep(tmp_path)
    assert list(tmp_path.iterdir()) == [written]
