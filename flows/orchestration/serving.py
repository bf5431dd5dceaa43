"""`tic-rates serve`: a Prefect server unless one is configured; it serves both deployments of a configuration."""

import asyncio
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager, nullcontext, suppress
from contextvars import copy_context
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread, Timer
from typing import Any

import httpx
from prefect.flows import Flow
from prefect.runner import Runner
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings

from flows.orchestration.registration import declare_deployments, deployment_name, make_automations, restart_unfinished
from flows.settings.environment import HEARTBEAT_SECONDS, SERVER, with_defaults
from flows.settings.values import Config
from transforms.errors import OutageError

LOG = logging.getLogger(__name__)
START_SECONDS = 300.0  # the first start makes the database; on a busy machine that takes a minute
END_SECONDS = 20.0  # then a server that has not ended is killed
LOOK_UP_SECONDS = 0.1
HEARD_SECONDS = 2 * HEARTBEAT_SECONDS  # a run that sent no heartbeat for so long has no process


class ServingError(OutageError):
    """The Prefect server can't be kept up, or one that is there already does not answer."""


class ServeRunner(Runner):
    """Prefect's runner of deployments; SIGTERM ends it as Ctrl-C does.

    Prefect's own handler calls a coroutine that is never awaited, and leaves the processes of the runs behind.
    """

    ended_by = signal.SIGINT

    def handle_sigterm(self, *_: object, **__: object) -> None:
        """Cancel the runner, which ends its runs' processes."""
        self.ended_by = signal.SIGTERM
        signal.raise_signal(signal.SIGINT)


def serve(
    config: Config,
    host: str,
    port: int,
    say: Callable[[str], None],
    nightly: Flow[..., Any],
    backfill: Flow[..., Any],
) -> None:
    """Serve both deployments of a configuration until a signal comes, which is raised again."""
    given: str | None = PREFECT_API_URL.value()  # of the environment or a profile
    if not given and port and _answers(f"{_api_address(host, port)}/health"):
        given = _api_address(host, port)  # a server that listens there already, such as one whose `serve` was killed
    with nullcontext(None) if given else _server(host, port, PREFECT_HOME.value()) as server:
        address = server.address if server is not None else str(given)
        with temporary_settings({PREFECT_API_URL: address}):
            runner = ServeRunner(pause_on_shutdown=False)
            try:
                deployments = declare_deployments(config, nightly, backfill)
                for deployment in deployments:
                    runner.add_deployment(deployment)
                make_automations(config.webhook, deployment_name(config))
                _restart(config, datetime.now(UTC) - timedelta(seconds=HEARD_SECONDS))
            except httpx.TransportError as error:
                raise ServingError(
                    f"the Prefect server at {address} does not answer ({type(error).__name__}); start it, or correct "
                    "PREFECT_API_URL"
                ) from None
            say(_welcome(config, address, server, [each.full_name for each in deployments]))
            _run(runner, PREFECT_HOME.value())
            if server is not None:
                server.check()


def _restart(config: Config, since: datetime) -> None:
    """Restart what an earlier `serve` left unfinished; look once more later where a process may have ended just now."""
    started = datetime.now(UTC)
    restarted, alive = restart_unfinished(config, since)
    for run in restarted:
        LOG.warning("%s was stopped by an earlier end of `serve`; it goes on", run.name)
    if alive and since < started - timedelta(seconds=HEARD_SECONDS / 2):
        again = Timer(HEARD_SECONDS, copy_context().run, (_restart, config, started))
        again.daemon = True
        again.start()


def _run(runner: ServeRunner, folder: Path) -> None:
    """Run until a signal comes, which is then raised as the command line raises it.

    Prefect puts the working directory of a run first on sys.path: a package `flows` there would be imported instead of
    ours. So runs start in a folder of Prefect's own; the configuration's path is absolute.
    """
    handler = signal.getsignal(signal.SIGTERM)
    with chdir(folder), suppress(KeyboardInterrupt):
        asyncio.run(runner.start())
    signal.signal(signal.SIGTERM, handler)
    signal.raise_signal(runner.ended_by)


@dataclass(frozen=True)
class Server:
    """The server of our own."""

    address: str  # of its API
    process: "subprocess.Popen[bytes]"
    log: Path  # a file: with SQLite it tells at length of every lock that it met and got past

    def check(self) -> None:
        """Raise when it has ended."""
        if self.process.poll() is not None:
            hint = f"see {self.log}; if another program uses its port, give another --port"
            raise ServingError(f"the Prefect server at {self.address} ended with {self.process.returncode}; {hint}")


@contextmanager
def _server(host: str, port: int, home: Path) -> Iterator[Server]:
    port = port or _free_port(host)
    address = _api_address(host, port)
    home.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", host, "--port", str(port)]
    with (home / "tic-rates-server.log").open("ab") as log:
        environment = with_defaults(SERVER, PREFECT_API_URL=address)
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    server = Server(address, process, Path(log.name))
    try:
        _wait_for(server)
        Thread(target=_end_with, args=(process,), daemon=True).start()
        yield server
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # a second Ctrl-C would leave processes behind
            signal.signal(number, signal.SIG_IGN)
        _end(process)


def _end_with(process: "subprocess.Popen[bytes]") -> None:
    """End this process in order when the server ends: a service manager starts both again."""
    process.wait()
    with suppress(ProcessLookupError):
        os.kill(os.getpid(), signal.SIGTERM)


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _api_address(host: str, port: int) -> str:
    return f"http://{'127.0.0.1' if host in ('0.0.0.0', '::') else host}:{port}/api"


def _free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
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


def _welcome(config: Config, address: str, server: Server | None, names: list[str]) -> str:
    run = f"PREFECT_API_URL={address} prefect deployment run"
    whose = "not ours, it stays" if server is None else f"log in {server.log}"
    nightly, backfill = names
    lines = [
        f"pages        {address.removesuffix('/api')} (server: {whose})",
        f"every night  {config.schedule} ({config.timezone}), {len(config.payers)} payer(s) of {config.path}",
        f"now          {run} {nightly}",
        f"past months  {run} {backfill} -p first=2025-01 -p last=2025-06",
        "stop         Ctrl-C or SIGTERM; the schedule stays, a run at work goes on at the next start",
    ]
    return "\n".join(lines)
