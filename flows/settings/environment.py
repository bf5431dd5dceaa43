"""Whether a command runs in Prefect, and our defaults for Prefect's settings, which the environment overrides.

Prefect itself is not imported: that takes three seconds.
"""

import logging
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path

LOG = logging.getLogger(__name__)
_BUILT_IN_SERVERS = {"local"}  # profiles that Prefect itself brings, with a server in them

HEARTBEAT_SECONDS = 30  # Prefect's minimum
HEARTBEATS_MISSED = 4  # with fewer than three, live runs on a busy machine are marked crashed

CLIENT = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_LOGGING_EXTRA_LOGGERS": "flows,transforms",  # our log lines reach the page of a run
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",  # outside of runs they go to stderr only
    # Prefect's 20 seconds are not enough for the first run on a busy machine, which creates the database
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
}

# These must reach the process of the flow run.
RUN = CLIENT | {
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_SECONDS),  # a run without heartbeats is marked crashed
    "PYTHONSAFEPATH": "1",  # a package `flows` in the working directory does not hide ours
}

SERVER = CLIENT | {
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "100",  # a fifth of the cost of recording tasks one by one
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "100",
    # a killed run's slot is free after a minute, also after a restart, which loses leases in memory
    "PREFECT_SERVER_CONCURRENCY_INITIAL_DEPLOYMENT_LEASE_DURATION": "60",
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
}


def set_client_defaults() -> None:
    """Set the defaults of this process, before Prefect is imported, which reads its settings once."""
    os.environ.update(CLIENT | _json_lines() | os.environ)


def set_run_defaults() -> None:
    """Set the defaults of this process and of the flow runs that it starts."""
    os.environ.update(RUN | _json_lines() | os.environ)


def _json_lines() -> dict[str, str]:
    """What makes Prefect's own lines JSON as ours are, where `--log-format json` is chosen."""
    if os.environ.get("TIC_RATES_LOG_FORMAT") != "json":
        return {}
    handler = "flows.storage.log_lines.JsonHandler"
    return dict.fromkeys(("PREFECT_LOGGING_HANDLERS_CONSOLE_CLASS", "PREFECT_LOGGING_HANDLERS_DEBUG_CLASS"), handler)


def with_defaults(defaults: dict[str, str], **more: str) -> dict[str, str]:
    """The environment for a new process: the defaults, what is set, then ``more``."""
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
