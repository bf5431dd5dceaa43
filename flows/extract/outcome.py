"""What became of sources and of the remote provider references that they cite."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from flows.download.sources import Source
from flows.storage.log_lines import FILES, SLOW_SECONDS, log_event
from schemas.mrf import INDEX_SHAPES
from transforms.read.account import SourceAccount

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """What became of one source. ``extract`` is None when it was quarantined (``reason`` says why)."""

    source: Source
    status: str
    reason: str | None = None
    source_id: str | None = None
    bytes: int | None = None
    seconds: float = 0.0
    extract: Path | None = None
    account: SourceAccount = field(default_factory=SourceAccount)
    etag: str | None = None  # as the server gave it with the content
    unchanged: bool = False  # an earlier extract is used, nothing was read
    is_page: bool = False  # text or HTML at a web address, which may name indexes and files
    missing: bool = False  # there is nothing at its address
    facts_id: str | None = None  # the digest of what the indexes that list the source say of it
    signed: Mapping[str, str] = field(default_factory=dict, repr=False)  # addresses to fetch, by their unsigned form

    @property
    def usable(self) -> bool:
        """Whether it was read to the end as an in-network or other TiC file."""
        return self.status in ("matched", "no_match")

    @property
    def is_index(self) -> bool:
        """Whether it lists other files."""
        return self.usable and (self.is_page or self.account.shape in INDEX_SHAPES)


def log_outcome(outcome: Outcome) -> None:
    """Log that a file was read: each as JSON, as text those that took long."""
    slow = outcome.seconds > SLOW_SECONDS
    message = ("%s: %s after %.0f s", outcome.source.name, outcome.status, outcome.seconds)
    log_event(
        LOG if slow else FILES,
        "file_read",
        *message,
        source=outcome.source.name,
        status=outcome.status,
        bytes=outcome.bytes,
        bytes_json=outcome.account.bytes_json,
        seconds=round(outcome.seconds, 3),
        reason=outcome.reason,
    )


@dataclass(frozen=True)
class UnresolvedReferences:
    """How many remote provider references are unresolved; by host, how many because the host failed."""

    count: int = 0
    given_up: Mapping[str, int] = field(default_factory=dict)

    def as_json(self) -> dict[str, object]:
        """A plain dictionary."""
        return {"unresolved": self.count, "given_up": dict(self.given_up)}

    def __str__(self) -> str:
        hosts = ", ".join(f"{count:,} because {host} failed" for host, count in sorted(self.given_up.items()))
        return f"{self.count:,} remote provider reference(s) unresolved{f', {hosts}; run again later' if hosts else ''}"
