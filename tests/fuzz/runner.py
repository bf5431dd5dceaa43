"""The processes of a run: started, watched, counted, started again when one dies."""

import math
import multiprocessing
import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.context import SpawnProcess
from pathlib import Path
from random import SystemRandom

from tests.fuzz.differential import Difference
from tests.fuzz.statistics import FOLDER, add, in_words, say
from tests.fuzz.worker import SharedPlace, save, work

LINE_SECONDS = 10
STUCK_SECONDS = 600  # without a report, hung in compiled code; long, for a machine that others share


@dataclass(frozen=True)
class Job:
    """What the processes do: ``work`` goes on until a time, ``unit`` is what its rate is said in."""

    target: str
    unit: str
    work: Callable[[int, SharedPlace, float], object]


DIFFERENTIAL = Job("differential", "executions", work)


def run_worker(job: Job, seed: int, path: str, seconds: float) -> None:
    """The body of one process."""
    job.work(seed, SharedPlace(Path(path)), time.monotonic() + seconds)


@dataclass
class _Watched:
    job: Job
    number: int
    seed: int
    seconds: float
    process: SpawnProcess = field(init=False)
    place: SharedPlace = field(init=False)
    last: Counter[str] = field(default_factory=Counter)
    reported: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        path = FOLDER / f"process-{os.getpid()}-{self.number}"
        path.unlink(missing_ok=True)
        self.place = SharedPlace(path)
        context = multiprocessing.get_context("spawn")
        self.process = context.Process(target=run_worker, args=(self.job, self.seed, str(path), self.seconds))
        self.process.start()
        say(f"process {self.number}: pid {self.process.pid}, seed {self.seed}")

    def news(self) -> Counter[str]:
        """What it counted since the last time."""
        now = self.place.counts()
        new = Counter(now)
        new.subtract(self.last)
        self.last = now
        if new["documents"]:
            self.reported = time.monotonic()
        return new

    def unreported(self) -> int:
        """How many of the job's unit it counted since."""
        return self.place.counts()[self.job.unit] - self.last[self.job.unit]


def run(
    seconds: float, workers: int, seed: int | None, job: Job = DIFFERENTIAL, most: float = math.inf
) -> Counter[str]:
    """Fuzz for so long, or until there are ``most`` of the job's unit; what this run counted.

    Statistics are kept as it goes. SIGTERM ends it like Ctrl-C.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    FOLDER.mkdir(parents=True, exist_ok=True)
    until = time.monotonic() + seconds
    seeds = SystemRandom() if seed is None else None

    def start(number: int) -> _Watched:
        own = seeds.getrandbits(40) if seeds is not None else (seed or 0) + number
        return _Watched(job, number, own, until - time.monotonic())

    watched = [start(number) for number in range(workers)]
    whole: Counter[str] = Counter()
    began = line = time.monotonic()
    try:
        while any(one.process.is_alive() for one in watched) or time.monotonic() < until:
            time.sleep(0.5)
            for index, one in enumerate(watched):
                if is_lost(one, whole) and time.monotonic() < until:
                    whole += counted(one)
                    watched[index] = start(one.number + workers)
            if time.monotonic() - line >= LINE_SECONDS:
                line = time.monotonic()
                report(watched, whole, line - began)
            if time.monotonic() > until and not any(one.process.is_alive() for one in watched):
                break
            if whole[job.unit] + sum(one.unreported() for one in watched) >= most:
                break
    finally:
        for one in watched:
            if one.process.is_alive():
                one.process.terminate()
            one.process.join()
            one.place.path.unlink(missing_ok=True)
        report(watched, whole, time.monotonic() - began)
    return whole


def is_lost(one: _Watched, whole: Counter[str]) -> bool:
    """Whether the process died of a document, or hangs in one: then that is saved."""
    if not one.process.is_alive():
        if one.process.exitcode != 0:
            whole["crashes"] += 1
            kept(one, "crash", f"exit code {one.process.exitcode}, seed {one.seed}")
        return True
    if time.monotonic() - one.reported > STUCK_SECONDS:
        whole["hangs"] += 1
        kept(one, "hang", f"no report for {STUCK_SECONDS} s, seed {one.seed}")
        one.process.kill()
        one.process.join()
        return True
    return False


def kept(one: _Watched, kind: str, detail: str) -> None:
    save(one.place.document(), Difference(kind, detail), False, "as it was")
    add(one.job.target, Counter({"crashes" if kind == "crash" else "hangs": 1}))


def counted(one: _Watched) -> Counter[str]:
    """The process's news, in the statistics' terms and kept there."""
    new = one.news()
    new["seconds"] = new.pop("milliseconds", 0) / 1000  # type: ignore[assignment]
    add(one.job.target, new)
    return new


def report(watched: list[_Watched], whole: Counter[str], seconds: float) -> None:
    """One line: this run, and all so far."""
    for one in watched:
        whole.update(counted(one))
    job = watched[0].job
    total = add(job.target, Counter())
    rate = whole[job.unit] / max(whole["seconds"], 0.001)
    say(f"{seconds:,.0f} s: {in_words(whole)}; {rate:,.0f} {job.unit}/s a process; ever: {total[job.unit]:,}")
