"""In the place of ``flows.config``."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

from transforms.errors import UsageError


@dataclass(frozen=True)
class PayerSource:
    name: str


@dataclass(frozen=True)
class Config:
    path: Path
    output: Path
    payers: tuple[PayerSource, ...]
    schedule: str
    timezone: str
    webhook: str | None
    workers: int = 0


def load_config(path: Path) -> Config:
    try:
        values = tomllib.loads(path.read_text())
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; name one with --config") from None
    schedule = values.get("schedule", {})
    return Config(
        path.absolute(),
        path.absolute().parent / values.get("output", "output"),
        tuple(PayerSource(payer["name"]) for payer in values["payer"]),
        schedule.get("cron", "0 2 * * *"),
        schedule.get("timezone", "UTC"),
        values.get("notify", {}).get("webhook"),
    )
