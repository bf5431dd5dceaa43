"""`tic-rates serve`: on one machine all that a night needs. A server unless there is one, a worker, our deployments."""

import logging
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx

from flows.config import Config
from flows.environment import CLIENT, POOL, SERVER, WORKER, with_defaults
from flows.processes import run_processes, start, stop_runs, wait_or_kill
from transforms.errors import TicRatesError, UsageError

LOG = logging.getLogger(__name__)
START_SECONDS = 300.0  # the first start makes the database; on a busy machine that takes a minute
LOOK_UP_SECONDS = 0.1
RESTART_SECONDS = 5.0
STDERR = 2


class ServingError(TicRatesError):
    """The server or the worker can't be kept up."""


def serve(config: Config, host: str, port: int, say: Callable[[str], None]) -> None:
    """Bring everything up and keep it up, until a signal's exception goes through."""
    os.environ.update(CLIENT | os.environ)  # before Prefect is imported: it reads its settings once
    from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings

    given: str | None = PREFECT_API_URL.value()  # of the environment, or of Prefect's profile
    log: Path = PREFECT_HOME.value() / "tic-rates-server.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        address = given or stack.enter_context(_server(host, port, log))
        stack.enter_context(temporary_settings({PREFECT_API_URL: address}))
        _register(config, address, own=not given)
        say(_welcome(config, address, None if given else log))
        _keep_worker(address, own=not given)


@contextmanager
def _server(host: str, port: int, log: Path) -> Iterator[str]:
    """A Prefect server of our own; gives the address of its API.

    Its log is a file: with SQLite it tells at length of every lock that it met and got past.
    """
    port = _free_port(host, port)
    local = "127.0.0.1" if host in ("0.0.0.0", "::") else host
    address = f"http://{local}:{port}/api"
    environment = with_defaults(SERVER, PREFECT_API_URL=address)
    with log.open("ab") as written:
        process = start(environment, "server", "start", "--host", host, "--port", str(port), output=written)
    try:
        _wait_for(f"{address}/health", process, log)
        yield address
    finally:
        _be_deaf()
        process.terminate()
        wait_or_kill(process)


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
            hint = (
                f"is it in use? Give another --port, or use the server there: PREFECT_API_URL=http://{host}:{port}/api"
            )
            raise UsageError(f"can't listen on {host}:{port}: {error.strerror}; {hint}") from None
        number: int = probe.getsockname()[1]
        return number


def _wait_for(health: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not _answers(health):
        if process.poll() is not None:
            raise ServingError(f"the Prefect server ended with {process.returncode} while it started; see {log}")
        if time.monotonic() > deadline:
            raise ServingError(f"the Prefect server did not answer within {START_SECONDS:.0f} s; see {log}")
        time.sleep(LOOK_UP_SECONDS)


def _answers(health: str) -> bool:
    try:
        return httpx.get(health, timeout=5).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def _register(config: Config, address: str, *, own: bool) -> None:
    from flows.registration import register

    if own:
        _tell_orphans(address)
    register(config, Path.cwd())


def _tell_orphans(address: str) -> None:
    """Runs whose worker and process were killed, or that a machine went down with: marked, and the webhook told."""
    from flows.deployments import nightly, tell_webhook
    from flows.registration import crash_orphans

    for run, state in crash_orphans(set(run_processes(address))):
        LOG.error("%s crashed: %s", run.name, state.message)
        tell_webhook(nightly, run, state)


def _welcome(config: Config, address: str, log: Path | None) -> str:
    from flows.registration import BACKFILL, NIGHTLY

    run = f"PREFECT_API_URL={address} prefect deployment run"
    server = "not ours: it stays" if log is None else f"its log: {log}"
    lines = [
        f"pages        {address.removesuffix('/api')} (server {server})",
        f"every night  {config.schedule} ({config.timezone}), {len(config.payers)} payer(s) of {config.path}",
        f"now          {run} {NIGHTLY}",
        f"past months  {run} {BACKFILL} -p first=2025-01 -p last=2025-06",
        "stop         Ctrl-C or SIGTERM; the schedule stays, a run at work goes on at the next start",
    ]
    return "\n".join(lines)


def _keep_worker(address: str, *, own: bool) -> None:
    """A worker, and another one when it dies; ends by a signal's exception only."""
    environment = with_defaults(WORKER, PREFECT_API_URL=address)
    name = f"{socket.gethostname()}-{os.getpid()}"
    while True:
        worker = start(environment, *f"worker start --pool {POOL} --type process --name {name}".split(), output=STDERR)
        try:
            os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOWAIT)
        except BaseException:
            _stop_worker(worker, address)
            raise
        LOG.error("the worker ended with %s; another is started", worker.wait())
        if own:
            _tell_orphans(address)
        time.sleep(RESTART_SECONDS)


def _stop_worker(worker: "subprocess.Popen[bytes]", address: str) -> None:
    """No new runs, then the end of those at work, which are due again at once: the next worker takes them up."""
    from flows.registration import put_back

    _be_deaf()
    worker.terminate()
    stopped = stop_runs(address)
    wait_or_kill(worker)
    for run in put_back(stopped):
        LOG.warning("%s was stopped; it goes on at the next start", run.name)


def _be_deaf() -> None:
    """We are ending in order already: a second Ctrl-C would leave processes behind."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
