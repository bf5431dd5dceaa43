"""Whether a command runs as a Prefect flow: where Prefect is configured, or where the command line asks for it."""

import logging
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path

LOG = logging.getLogger(__name__)
_BUILT_IN_SERVERS = {"local"}  # profiles that Prefect itself brings, with a server in them


def use_prefect(asked: bool | None, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether the command's steps run as Prefect tasks; one log line says which and why.

    Prefect itself is not imported: that takes three seconds.

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
