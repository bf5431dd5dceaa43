"""What identifies a file's content on a server: ETag, Last-Modified and length."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

_CONTENT_RANGE = re.compile(r"bytes (?:([0-9]{1,19})-([0-9]{1,19})|\*)/([0-9]{1,19}|\*)", re.IGNORECASE)
_LENGTH = re.compile(r"[0-9]{1,19}")
_WEAK = "W/"


@dataclass(frozen=True)
class ContentRange:
    """The first byte of a partial answer and the length of the whole; None if not stated."""

    start: int | None
    total: int | None

    @classmethod
    def parse(cls, text: str | None) -> "ContentRange | None":
        """None if the header is missing or malformed."""
        match = _CONTENT_RANGE.fullmatch((text or "").strip())
        if match is None:
            return None
        start, _, total = match.groups()
        return cls(None if start is None else int(start), None if total == "*" else int(total))


@dataclass(frozen=True)
class Validators:
    """What a server states about a file's content: None where it states nothing. length: bytes of the whole content."""

    etag: str | None = None
    last_modified: str | None = None
    length: int | None = None

    @classmethod
    def of_whole(cls, headers: Mapping[str, str]) -> "Validators":
        """Of an answer that carries the whole content."""
        stated = headers.get("Content-Length", "")
        length = int(stated) if _LENGTH.fullmatch(stated) else None
        return cls(headers.get("ETag"), headers.get("Last-Modified"), length)

    @property
    def strong_etag(self) -> str | None:
        """An ETag that promises the same bytes."""
        return None if self.etag is None or self.etag.startswith(_WEAK) else self.etag

    @property
    def if_range(self) -> str | None:
        """The condition of a ranged request; a weak ETag is not allowed there (RFC 9110, 13.1.5)."""
        return self.strong_etag or self.last_modified

    def if_changed(self) -> dict[str, str]:
        """Headers that request the content only if it changed; empty if nothing is known."""
        headers = {"If-None-Match": self.etag, "If-Modified-Since": self.last_modified}
        return {name: value for name, value in headers.items() if value is not None}

    def prove_same(self, other: "Validators") -> bool:
        """Whether the content is certainly the same: by strong ETag; without any ETag by date and length."""
        if self.etag or other.etag:
            return self.strong_etag is not None and self.strong_etag == other.strong_etag
        dated = self.last_modified is not None and self.length is not None
        return dated and (self.last_modified, self.length) == (other.last_modified, other.length)

    def prove_changed(self, other: "Validators") -> bool:
        """Whether the content is certainly another one; what either side does not state proves nothing."""
        if self.length is not None and other.length is not None and self.length != other.length:
            return True
        if self.etag and other.etag:
            return self.etag.removeprefix(_WEAK) != other.etag.removeprefix(_WEAK)
        return bool(self.last_modified and other.last_modified) and self.last_modified != other.last_modified
