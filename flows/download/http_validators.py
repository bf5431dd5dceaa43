"""What a server says a file's content is known by: ETag, Last-Modified and length."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass

_CONTENT_RANGE = re.compile(r"bytes (?:([0-9]{1,19})-([0-9]{1,19})|\*)/([0-9]{1,19}|\*)", re.IGNORECASE)
_LENGTH = re.compile(r"[0-9]{1,19}")
_WEAK = "W/"


@dataclass(frozen=True)
class ContentRange:
    """Where a partial answer begins (None: nowhere), and how long the whole is (None: not said)."""

    start: int | None
    total: int | None

    @classmethod
    def parse(cls, text: str | None) -> "ContentRange | None":
        """None where the header is missing or can't be understood."""
        match = _CONTENT_RANGE.fullmatch((text or "").strip())
        if match is None:
            return None
        start, _, total = match.groups()
        return cls(None if start is None else int(start), None if total == "*" else int(total))


@dataclass(frozen=True)
class Validators:
    """None: the server did not say."""

    etag: str | None = None
    last_modified: str | None = None
    length: int | None = None

    @classmethod
    def of_whole(cls, headers: Mapping[str, str]) -> "Validators":
        """Of an answer that carries the whole content."""
        stated = headers.get("Content-Length", "")
        length = int(stated) if _LENGTH.fullmatch(stated) else None
        return cls(headers.get("ETag"), headers.get("Last-Modified"), length)

    @classmethod
    def of_part(cls, headers: Mapping[str, str]) -> "Validators":
        """Of an answer that carries a part: its own length is not the content's."""
        part = ContentRange.parse(headers.get("Content-Range"))
        return cls(headers.get("ETag"), headers.get("Last-Modified"), part.total if part else None)

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> "Validators":
        """The inverse of ``as_json``; what is missing was not said."""
        etag, last_modified, length = (data.get(name) for name in ("etag", "last_modified", "length"))
        return cls(
            etag if isinstance(etag, str) else None,
            last_modified if isinstance(last_modified, str) else None,
            length if isinstance(length, int) else None,
        )

    def as_json(self) -> dict[str, object]:
        """A plain dictionary."""
        return asdict(self)

    @property
    def strong_etag(self) -> str | None:
        """An ETag that promises the same bytes."""
        return None if self.etag is None or self.etag.startswith(_WEAK) else self.etag

    @property
    def if_range(self) -> str | None:
        """What a ranged request is made conditional on; a weak ETag is not allowed there (RFC 9110, 13.1.5)."""
        return self.strong_etag or self.last_modified

    def if_changed(self) -> dict[str, str]:
        """Headers that ask for the content only if it is another; none where nothing is known."""
        headers = {"If-None-Match": self.etag, "If-Modified-Since": self.last_modified}
        return {name: value for name, value in headers.items() if value is not None}

    def promise_same(self, other: "Validators") -> bool:
        """Whether the content is certainly the same: by strong ETag; without any ETag by date and length."""
        if self.etag or other.etag:
            return self.strong_etag is not None and self.strong_etag == other.strong_etag
        dated = self.last_modified is not None and self.length is not None
        return dated and (self.last_modified, self.length) == (other.last_modified, other.length)

    def contradict(self, other: "Validators") -> bool:
        """Whether the content is certainly another one; what either side does not say contradicts nothing."""
        if self.length is not None and other.length is not None and self.length != other.length:
            return True
        if self.etag and other.etag:
            return self.etag.removeprefix(_WEAK) != other.etag.removeprefix(_WEAK)
        return bool(self.last_modified and other.last_modified) and self.last_modified != other.last_modified
