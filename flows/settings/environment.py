"""Whether a command runs in Prefect, and Prefect's settings, with their reasons; all are defaults.

Prefect itself is not imported: that takes three seconds.
"""

import logging
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path

LOG = logging.getLogger(__name__)
_BUILT_IN_SERVERS = {"local"}  # profiles that Prefect itself brings, with a server in them

HEARTBEAT_SECONDS = 30  # Prefect's least
HEARTBEATS_MISSED = 4  # fewer than three, and a busy machine's living runs are taken for dead

CLIENT = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_LOGGING_EXTRA_LOGGERS": "flows,transforms",  # our own log lines, in the page of a run
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",  # the same lines outside of runs go to stderr only
    # Prefect's own 20 seconds are not enough for the first run on a busy machine: it creates its database then
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
}

# They must reach the process of the flow run.
RUN = CLIENT | {
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_SECONDS),  # a run without heartbeats is marked crashed
    "PYTHONSAFEPATH": "1",  # a package `flows` in the working directory is not imported instead of ours
}

SERVER = CLIENT | {
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "100",  # a fifth of the cost of tasks one by one
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "100",
    # the place of a killed run is free again after a minute, and after a restart too: leases in memory are lost then
    "PREFECT_SERVER_CONCURRENCY_INITIAL_DEPLOYMENT_LEASE_DURATION": "60",
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
}


def set_client_defaults() -> None:
    """Set them for this process: a command calls it before it imports Prefect, which reads its settings once."""
    os.environ.update(CLIENT | os.environ)


def set_run_defaults() -> None:
    """Set them for this process and the flow runs that it starts."""
    os.environ.update(RUN | os.environ)


def with_defaults(defaults: dict[str, str], **more: str) -> dict[str, str]:
    """Our environment for a process to be started."""
    return defaults | os.environ | more


def use_prefect(asked: bool | None, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether the command's steps run as Prefect tasks; one log line says which and why.

    Args:
        asked: ``--prefect`` or ``--no-prefect``; None where the command line says neither.
    """
    if asked is not None:
        LOG.info("the steps run %s", "in Prefect (--prefect)" if asked else "as plain calls (--no-prefect)")
        return asked
    where = configured_by(environ)
    if where is None:
        LOG.info("the steps run as plain calls: no Prefect server is configured")
        return False
    LOG.info("the steps run in Prefect: %s names a server (--no-prefect: as plain calls)", where)
    return True


def configured_by(environ: Mapping[str, str]) -> str | None:
    """What names a Prefect server: ``PREFECT_API_URL`` or the active profile in its file; None if neither."""
    if "PREFECT_API_URL" in environ:
        return "PREFECT_API_URL" if environ["PREFECT_API_URL"] else None
    home = Path(environ.get("PREFECT_HOME") or "~/.prefect").expanduser()
    path = Path(environ.get("PREFECT_PROFILES_PATH") or home / "profiles.toml").expanduser()
    try:
        profiles = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        profiles = {}
    except (OSError, ValueError) as error:
        LOG.warning("%s can't be read (%s): no Prefect profile is used", path, type(error).__name__)
        profiles = {}
    active = environ.get("PREFECT_PROFILE") or profiles.get("active", "")
    profile = profiles.get("profiles", {}).get(active)
    named = active in _BUILT_IN_SERVERS if profile is None else bool(profile.get("PREFECT_API_URL"))
    return f"the Prefect profile {active!r}" if named else None
