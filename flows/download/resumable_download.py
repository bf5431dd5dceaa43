"""A remote file as one unbroken stream: a broken connection is resumed at the byte where it broke.

Bytes of two contents are never mixed: a ranged request is conditional on the validator, every answer is compared with
the first one, and bytes that come a second time are compared with those received (by CRC).
Memory: one piece of a body as the network delivers it.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from random import Random
from typing import BinaryIO, cast
from urllib.parse import urlsplit

from isal import isal_zlib

from flows.download.host_limits import Wait
from flows.download.http_client import Answer, HttpClient
from flows.download.http_validators import ContentRange, Validators
from flows.download.sources import HashingStream, Source
from flows.download.url_renewal import RenewUrl
from flows.settings.values import Fetching
from flows.storage.layout import Layout
from transforms.contents.signatures import own_query
from transforms.errors import (
    AnswerLostError,
    BadFileError,
    ContentChangedError,
    HostFailedError,
    NotPublishedError,
    UnchangedError,
)
from transforms.limits import Limits, crossed

LOG = logging.getLogger(__name__)

EXPIRED = (401, 403, 410)
TRANSIENT = (408, 425, 429)  # and everything from 500 on
READ_BYTES = 1 << 20
_RANDOM = Random()
READ_CONTENTS_AGAIN = "read its table of contents again for a new address"


@contextmanager
def open_url(
    source: Source,
    fetching: Fetching | None = None,
    layout: Layout | None = None,
    *,
    known: Validators | None = None,
    public_only: bool = False,
    wait: Wait = time.sleep,
    renew: RenewUrl | None = None,
) -> Iterator[HashingStream]:
    """A remote file as a stream; ``BadFileError`` for every refusal, with the reason.

    Args:
        layout: its cache holds the locks of ``flows.download.host_limits``; None: no limits.
        known: of an earlier download; ``UnchangedError`` if the server's content is still the same.
        public_only: refuse hosts on loopback, link-local and private networks, after redirects too. This always holds
            for files that a table of contents lists and for redirects of the user's own address, unless that table or
            address is on a private network itself, or ``allow_private`` is set.
        renew: finds the new address of a file whose signature expired; None: the refusal is final.
    """
    client = HttpClient(fetching or Fetching(), layout, public_only=public_only, wait=wait)
    with closing(ResumableDownload(client, source, known, renew)) as download:
        download.open()
        yield HashingStream(cast("BinaryIO", download), validators=lambda: download.validators)


@dataclass
class Received:
    """The number and CRC of the bytes received of a content, and the content's validators."""

    size: int = 0
    crc: int = 0
    validators: Validators = field(default_factory=Validators)

    def add(self, data: bytes) -> None:
        """Count further bytes."""
        self.size += len(data)
        self.crc = isal_zlib.crc32(data, self.crc)


class Pace:
    """The speed of a download, over periods of ``rate_seconds`` of waiting for it."""

    def __init__(self, bounds: Limits) -> None:
        self._bounds = bounds
        self._seconds = 0.0
        self._bytes = 0

    def add(self, seconds: float, size: int) -> None:
        """Count bytes and the seconds they took; ``BadFileError`` if a period brought too few."""
        self._seconds += seconds
        self._bytes += size
        if self._seconds < self._bounds.rate_seconds:
            return
        if self._bytes < self._bounds.min_bytes_per_second * self._seconds:
            what = f"the server sent {self._bytes:,} bytes in {self._seconds:,.0f} seconds"
            raise crossed(self._bounds, "min_bytes_per_second", what)
        self._seconds, self._bytes = 0.0, 0


class ResumableDownload:
    """A remote file's bytes: ``open``, then ``read``, then ``close``."""

    def __init__(
        self,
        client: HttpClient,
        source: Source,
        known: Validators | None = None,
        renew: RenewUrl | None = None,
    ) -> None:
        self._client = client
        self._fetching = client.fetching
        self._source = source
        self._known = known or Validators()
        self._renew = renew
        self._renewed = False
        self._received = Received()
        self._pace = Pace(self._fetching.bounds)
        self._answer: Answer | None = None
        self._unread = b""
        self._failures = 0  # attempts in a row without a new byte
        self._progressed = False  # since the last failure
        self._complete = False
        self._closed = False

    @property
    def validators(self) -> Validators:
        """The content's, once it is open."""
        return self._received.validators

    def open(self) -> None:
        """Wait for the first answer.

        Raises:
            UnchangedError: the content is the known one; nothing of its body was read.
        """
        while self._answer is None:
            self._advance()

    def read(self, size: int = -1) -> bytes:
        """Up to ``size`` bytes, none at the end; everything if negative."""
        if size < 0:
            return b"".join(iter(lambda: self.read(READ_BYTES), b""))
        while size and not self._unread and not self._complete:
            self._advance()
        data, self._unread = self._unread[:size], self._unread[size:]
        return data

    def close(self) -> None:
        """End the request, if any, also while another thread reads."""
        self._closed = True
        self._close_answer()

    def _close_answer(self) -> None:
        answer, self._answer = self._answer, None
        if answer is not None:
            answer.close()

    def _advance(self) -> None:
        """Send a request, receive the next piece or recognise the end; if the connection breaks, wait."""
        try:
            if self._answer is None:
                self._connect()
            elif data := self._next_piece():
                self._add(data)
            else:
                self._end_answer()
        except AnswerLostError as error:
            self._wait_before_retry(error)

    def _next_piece(self) -> bytes:
        assert self._answer is not None
        started = time.monotonic()
        data = self._answer.next()
        self._pace.add(time.monotonic() - started, len(data))
        return data

    def _add(self, data: bytes) -> None:
        self._failures, self._progressed = 0, True
        self._received.add(data)
        self._unread = data
        self._check_size(self._received.size, "has sent")

    def _check_size(self, size: int, what: str) -> None:
        if size > self._fetching.bounds.body_bytes:
            raise crossed(self._fetching.bounds, "body_bytes", f"the server {what} {size:,} bytes")

    def _end_answer(self) -> None:
        """Complete the content, unless this was only a part of it."""
        total, size = self.validators.length, self._received.size
        if total is not None and size < total:
            raise AnswerLostError(f"the answer ended at byte {size:,} of {total:,}")
        if total is not None and size > total:
            raise ContentChangedError(f"{size:,} bytes came where {total:,} were announced; fetch it again")
        self._complete = True
        self._close_answer()

    def _wait_before_retry(self, error: AnswerLostError) -> None:
        """Wait before the next attempt; ``BadFileError`` after the last one."""
        self._close_answer()
        if self._closed:  # by another thread, while this one was reading
            raise BadFileError("the download was stopped")
        self._failures += not self._progressed
        seconds = seconds_before_retry(self._fetching, max(self._failures, 1), error.seconds)
        if self._progressed:  # a few bytes for each connection are a slow download, too
            self._pace.add(seconds, 0)
        self._progressed = False
        size = self._received.size
        if self._failures >= self._fetching.attempts:
            place = f"beyond byte {size:,} " if size else ""
            kind = HostFailedError if error.of_host and not size else BadFileError
            raise kind(f"can't be fetched {place}({self._failures} attempts: {error}); run again later")
        LOG.debug("%s: %s at byte %d; requested again", self._source.name, error, size)
        self._client.wait(seconds)

    def _connect(self) -> None:
        """Send a request for what is missing; the answer then continues the bytes received."""
        self._answer = answer = self._client.get(self._source, self._conditions())
        started = self._received.size > 0
        if answer.status == HTTPStatus.OK:
            self._accept_whole(answer)
        elif answer.status == HTTPStatus.PARTIAL_CONTENT and started:
            self._accept_part(answer)
        elif answer.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and started:
            self._accept_end(answer)
        elif answer.status == HTTPStatus.NOT_MODIFIED and not started and self._known.if_changed():
            raise UnchangedError("not modified")
        else:
            self._refuse(answer)

    def _conditions(self) -> dict[str, str]:
        """Headers that request what is missing, of the same content only."""
        if not self._received.size:
            return self._known.if_changed()
        if_range = self.validators.if_range
        return {"Range": f"bytes={self._received.size}-", "If-Range": if_range} if if_range else {}

    def _accept_whole(self, answer: Answer) -> None:
        """The content from its start: at first, after a change, or from a server without ranges."""
        validators = Validators.of_whole(answer.headers)
        self._check_size(validators.length or 0, "announces")
        if not self._received.size:
            if self._known.prove_same(validators):
                raise UnchangedError("the same validators")
            self._received.validators = validators
        elif self.validators.prove_changed(validators):
            raise self._changed()
        else:
            self._skip_received()

    def _accept_part(self, answer: Answer) -> None:
        part = ContentRange.parse(answer.headers.get("Content-Range"))
        if part is None or part.start != self._received.size:
            raise ContentChangedError(f"byte {self._received.size:,} was requested, the server sends another part")
        stated = Validators(answer.headers.get("ETag"), answer.headers.get("Last-Modified"), part.total)
        if self.validators.prove_changed(stated):
            raise self._changed()
        if self.validators.length is None:  # the first answer was chunked and stated no length
            self._received.validators = replace(self.validators, length=part.total)

    def _accept_end(self, answer: Answer) -> None:
        """The server has no bytes after those received: they are all, if the length confirms it."""
        part = ContentRange.parse(answer.headers.get("Content-Range"))
        if part is None or part.total != self._received.size:
            raise self._changed()
        self._received.validators = replace(self.validators, length=part.total)
        self._complete = True
        self._close_answer()

    def _skip_received(self) -> None:
        """Read past the bytes received, which must be the same again."""
        again, rest = Received(), b""
        while missing := self._received.size - again.size:
            data = self._next_piece()
            if not data:
                raise AnswerLostError("the answer ended before the bytes that are missing")
            again.add(data[:missing])
            rest = data[missing:]
        if again.crc != self._received.crc:
            raise self._changed()
        if rest:
            self._add(rest)

    def _changed(self) -> ContentChangedError:
        return ContentChangedError(f"its content changed on the server before byte {self._received.size:,} was read")

    def _refuse(self, answer: Answer) -> None:
        """Renew the address, retry, or give up, depending on the status of an answer without content."""
        status = answer.status
        requested = retry_after(answer.headers.get("Retry-After"))
        self._close_answer()
        if status in EXPIRED:
            self._renew_address(status)
        elif status in TRANSIENT or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            failed = status >= HTTPStatus.INTERNAL_SERVER_ERROR
            raise AnswerLostError(f"the server answers {status}", requested, of_host=failed)
        else:
            kind = NotPublishedError if status == HTTPStatus.NOT_FOUND else BadFileError
            newer = "look for a newer one at the payer" if self._source.contents is None else READ_CONTENTS_AGAIN
            raise kind(f"the server answers {status}; check the address, or {newer}")

    def _renew_address(self, status: int) -> None:
        """Once: the table of contents that lists this file may have a new signature for it."""
        refused = f"the server answers {status}"
        if self._source.contents is None or self._renew is None:
            query = urlsplit(self._source.location).query
            unsigned = not query or own_query(self._source.location) == f"?{query}"
            kind = NotPublishedError if unsigned and status != HTTPStatus.UNAUTHORIZED else BadFileError
            raise kind(f"{refused}; the signature may have expired: {READ_CONTENTS_AGAIN}")
        if self._renewed:
            raise BadFileError(f"{refused} to the address newly listed too; ask the payer, or run again later")
        self._renewed = True
        location = self._renew(self._source)
        if location is None:
            raise BadFileError(f"{refused}, and its table of contents lists no other address; run again later")
        self._source = replace(self._source, location=location)


def seconds_before_retry(fetching: Fetching, failures: int, requested: float = 0.0, random: Random = _RANDOM) -> float:
    """Doubled with every failure in a row; half of it is random, so that workers spread out.

    Args:
        failures: in a row, from 1 on.
        requested: by the server's Retry-After; obeyed up to ``longest_wait_seconds``.
    """
    longest = fetching.longest_wait_seconds
    doubled = min(longest, fetching.first_wait_seconds * 2.0 ** min(failures - 1, 32))
    return min(longest, max(requested, doubled * random.uniform(0.5, 1.0)))


def retry_after(text: str | None, now: datetime | None = None) -> float:
    """The seconds that a Retry-After header states, as a number or an HTTP date; 0 if it states none."""
    text = (text or "").strip()
    if text.isdecimal():
        return float(text)
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, OverflowError, TypeError, IndexError):  # malformed dates raise any of these
        return 0.0
    aware = date if date.tzinfo else date.replace(tzinfo=UTC)
    return max((aware - (now or datetime.now(UTC))).total_seconds(), 0.0)
