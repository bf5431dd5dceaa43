"""Prefect's settings as we need them, with their reasons. All are defaults: what the environment says goes before."""

import os

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
