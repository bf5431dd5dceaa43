"""`tic-rates serve`: on one machine all that a night needs. A server unless there is one, a worker, our deployments."""

import logging
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import httpx

from flows.orchestration.processes import run_processes, start, stop_runs, wait_for_any, wait_or_kill
from flows.settings.config import Config
from flows.settings.environment import CLIENT, POOL, SERVER, WORKER, with_defaults
from transforms.errors import OutageError, UsageError

LOG = logging.getLogger(__name__)
START_SECONDS = 300.0  # the first start makes the database; on a busy machine that takes a minute
LOOK_UP_SECONDS = 0.1
RESTART_SECONDS = 5.0
ORPHANS_SECONDS = 30.0  # between two looks for runs whose worker was killed
STDERR = 2


class ServingError(OutageError):
    """The server or the worker can't be kept up, or a server that is there already does not answer."""


def serve(config: Config, host: str, port: int, say: Callable[[str], None]) -> None:
    """Bring everything up and keep it up, until a signal's exception goes through."""
    os.environ.update(CLIENT | os.environ)  # before Prefect is imported: it reads its settings once
    from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings

    given: str | None = PREFECT_API_URL.value()  # of the environment, or of Prefect's profile
    with nullcontext(None) if given else _server(host, port, PREFECT_HOME.value()) as server:
        address = server.address if server is not None else str(given)
        with temporary_settings({PREFECT_API_URL: address}):
            try:
                _register(config)
            except httpx.TransportError as error:
                raise ServingError(
                    f"the Prefect server at {address} does not answer ({type(error).__name__}); start it, or correct "
                    "PREFECT_API_URL"
                ) from None
            say(_welcome(config, address, server))
            _keep_worker(address, server)


@dataclass(frozen=True)
class Server:
    """The server of our own."""

    address: str  # of its API
    process: "subprocess.Popen[bytes]"
    log: Path  # a file: with SQLite it tells at length of every lock that it met and got past

    def check(self) -> None:
        """Raise when it has ended."""
        if self.process.poll() is not None:
            raise ServingError(f"the Prefect server ended with {self.process.returncode}; see {self.log}")


@contextmanager
def _server(host: str, port: int, home: Path) -> Iterator[Server]:
    port = _free_port(host, port)
    address = f"http://{'127.0.0.1' if host in ('0.0.0.0', '::') else host}:{port}/api"
    home.mkdir(parents=True, exist_ok=True)
    with (home / "tic-rates-server.log").open("ab") as log:
        words = ("server", "start", "--host", host, "--port", str(port))
        process = start(with_defaults(SERVER, PREFECT_API_URL=address), *words, output=log)
    server = Server(address, process, Path(log.name))
    try:
        _wait_for(server)
        yield server
    finally:
        _be_deaf()
        server.process.terminate()
        wait_or_kill(server.process)


def _free_port(host: str, port: int) -> int:
    """The port, or a free one for 0.

    Raises:
        UsageError: somebody is listening there.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            hint = f"give another --port, or use the server there: PREFECT_API_URL=http://{host}:{port}/api"
            raise UsageError(f"can't listen on {host}:{port}: {error.strerror}; {hint}") from None
        number: int = probe.getsockname()[1]
        return number


def _wait_for(server: Server) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not _answers(f"{server.address}/health"):
        server.check()
        if time.monotonic() > deadline:
            raise ServingError(f"the Prefect server did not answer within {START_SECONDS:.0f} s; see {server.log}")
        time.sleep(LOOK_UP_SECONDS)


def _answers(health: str) -> bool:
    try:
        return httpx.get(health, timeout=5).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def _register(config: Config) -> None:
    from flows.orchestration.registration import register

    _tell_orphans(None)
    register(config, Path.cwd())


def _tell_orphans(worker: str | None) -> None:
    """Runs that were killed with their worker, or that the machine went down with: marked, and the webhook told."""
    from flows.orchestration.deployments import nightly, tell_webhook
    from flows.orchestration.registration import crash_orphans

    alive = run_processes(_machine())
    for run, state in crash_orphans(_machine(), worker, alive):
        LOG.error("%s crashed: %s", run.name, state.message)
        tell_webhook(nightly, run, state)


def _machine() -> str:
    """What the names of this machine's workers begin with."""
    return f"{socket.gethostname()}-serve-"


def _our_workers() -> str:
    """What the names of the workers that this process starts begin with."""
    return f"{_machine()}{os.getpid()}-"


def _welcome(config: Config, address: str, server: Server | None) -> str:
    from flows.orchestration.registration import BACKFILL, NIGHTLY

    run = f"PREFECT_API_URL={address} prefect deployment run"
    whose = "not ours, it stays" if server is None else f"log in {server.log}"
    lines = [
        f"pages        {address.removesuffix('/api')} (server: {whose})",
        f"every night  {config.schedule} ({config.timezone}), {len(config.payers)} payer(s) of {config.path}",
        f"now          {run} {NIGHTLY}",
        f"past months  {run} {BACKFILL} -p first=2025-01 -p last=2025-06",
        "stop         Ctrl-C or SIGTERM; the schedule stays, a run at work goes on at the next start",
    ]
    return "\n".join(lines)


def _keep_worker(address: str, server: Server | None) -> None:
    """A worker, and another one when it dies; ends by a signal's exception, or with the server."""
    environment = with_defaults(WORKER, PREFECT_API_URL=address)
    for number in count(1):
        name = f"{_our_workers()}{number}"
        words = f"worker start --pool {POOL} --type process --name {name}".split()
        worker = start(environment, *words, output=STDERR)
        try:
            _watch(worker, name, address, server)
            LOG.error("the worker ended with %s; another is started", worker.returncode)
            time.sleep(RESTART_SECONDS)  # its runs live on, and are stopped with us
        except BaseException:
            _stop_worker(worker)
            raise


def _watch(worker: "subprocess.Popen[bytes]", name: str, address: str, server: Server | None) -> None:
    """Until the worker ends. Meanwhile, what an earlier one left behind is looked after."""
    watched = [worker] if server is None else [worker, server.process]
    while worker.poll() is None:
        try:
            _tell_orphans(name)
        except (httpx.HTTPError, OSError) as error:
            LOG.warning("the server at %s does not answer: %s", address, type(error).__name__)
        wait_for_any(watched, ORPHANS_SECONDS)
        if server is not None:
            server.check()


def _stop_worker(worker: "subprocess.Popen[bytes]") -> None:
    """No new runs, then the end of those at work, which are due again at once: the next worker takes them up."""
    from flows.orchestration.registration import put_back

    _be_deaf()
    worker.terminate()
    stopped = stop_runs(_our_workers())
    wait_or_kill(worker)
    try:
        for run in put_back(stopped) if stopped else ():
            LOG.warning("%s was stopped; it goes on at the next start", run.name)
    except httpx.HTTPError as error:
        LOG.error("%d run(s) were stopped, and the server can't be told: %s", len(stopped), type(error).__name__)


def _be_deaf() -> None:
    """We are ending in order already: a second Ctrl-C would leave processes behind."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
