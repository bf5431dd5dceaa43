"""A remote file as one unbroken stream: broken connections are resumed where they stood, the reader never notices.

Bytes of two contents are never mixed: a ranged request is conditional on the validator, every answer is compared with
the first one, and bytes that come a second time are compared with those had (by CRC).
Memory: one piece of a body as the network brings it.
"""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Protocol

from isal import isal_zlib

from flows.download.http_validators import ContentRange, Validators
from flows.download.retry import Wait, retry_after, seconds_before_retry
from flows.download.sources import Source
from flows.download.url_renewal import RenewUrl
from flows.settings.fetching import Fetching
from transforms.errors import (
    AnswerLostError,
    BadFileError,
    ContentChangedError,
    HostFailedError,
    UnchangedError,
)
from transforms.limits import Limits, crossed

LOG = logging.getLogger(__name__)

EXPIRED = (401, 403, 410)
PASSING = (408, 425, 429)  # and everything from 500 on
CHECKS_ITSELF = (b"\x1f\x8b", b"PK")  # gzip and zip carry checksums: parts of two contents would be found out
READ_BYTES = 1 << 20
ASK_CONTENTS = "read its table of contents again for a new address"


class AnyAnswer(Protocol):
    """What this module needs of ``flows.download.http_client.Answer``."""

    status: int
    headers: Mapping[str, str]

    def next(self) -> bytes:
        """The next piece of the body."""

    def close(self) -> None:
        """End the request."""


Ask = Callable[[Source, Mapping[str, str]], AnyAnswer]


@dataclass
class Held:
    """What is had of a content: so many bytes, their CRC, and what the content is known by."""

    size: int = 0
    crc: int = 0
    head: bytes = b""
    validators: Validators = field(default_factory=Validators)

    def add(self, data: bytes) -> None:
        """Bytes that came."""
        if len(self.head) < 2:
            self.head = (self.head + data[:2])[:2]
        self.size += len(data)
        self.crc = isal_zlib.crc32(data, self.crc)

    @property
    def resumable(self) -> bool:
        """Whether a range can be trusted to continue these very bytes."""
        return self.validators.if_range is not None or self.head.startswith(CHECKS_ITSELF)


class Pace:
    """How fast a body comes, over stretches of ``rate_seconds`` of waiting for it alone."""

    def __init__(self, bounds: Limits) -> None:
        self._bounds = bounds
        self._seconds = 0.0
        self._bytes = 0

    def note(self, seconds: float, size: int) -> None:
        """So many bytes came in so many seconds; ``BadFileError`` where a stretch brought too few."""
        self._seconds += seconds
        self._bytes += size
        if self._seconds < self._bounds.rate_seconds:
            return
        if self._bytes < self._bounds.min_bytes_per_second * self._seconds:
            what = f"the server sent {self._bytes:,} bytes in {self._seconds:,.0f} seconds"
            raise crossed(self._bounds, "min_bytes_per_second", what)
        self._seconds, self._bytes = 0.0, 0


class RemoteFile:
    """``open`` first, then ``read``; ``close`` in the end. ``fetched`` counts body bytes, those had twice too."""

    def __init__(
        self,
        source: Source,
        ask: Ask,
        fetching: Fetching,
        *,
        known: Validators | None = None,
        renew: RenewUrl | None = None,
        wait: Wait = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._ask = ask
        self._fetching = fetching
        self._known = known or Validators()
        self._held = Held()
        self._renew = renew
        self._renewed = False
        self._wait = wait
        self._clock = clock
        self._pace = Pace(fetching.bounds)
        self._answer: AnyAnswer | None = None
        self._ahead = b""
        self._failures = 0  # attempts in a row that brought not one new byte
        self._progress = False
        self._complete = False
        self._closed = False
        self.fetched = 0

    @property
    def validators(self) -> Validators:
        """What the content is known by, once opened."""
        return self._held.validators

    def open(self) -> None:
        """Have an answer that begins, or goes on, with the bytes wanted.

        Raises:
            UnchangedError: the content is the one known; nothing of its body was read.
        """
        while self._answer is None and not self._complete:
            try:
                self._connect()
            except AnswerLostError as error:
                self._lose(error)

    def read(self, size: int = -1) -> bytes:
        """Up to ``size`` bytes, none at the end; everything when negative."""
        if size < 0:
            return b"".join(iter(lambda: self.read(READ_BYTES), b""))
        if not self._ahead and size:
            self._ahead = self._receive()
        data, self._ahead = self._ahead[:size], self._ahead[size:]
        return data

    def close(self) -> None:
        """End the request under way, if any; no other is begun."""
        self._closed = True
        self._drop()

    def _drop(self) -> None:
        answer, self._answer = self._answer, None
        if answer is not None:
            answer.close()

    def _receive(self) -> bytes:
        """The next bytes of the content, over as many connections as it takes; none at its end."""
        while not self._complete:
            try:
                if self._answer is None:
                    self._connect()
                    if self._ahead:  # what came behind bytes skipped
                        return self._ahead
                elif data := self._next():
                    return self._add(data)
                else:
                    self._end()
            except AnswerLostError as error:
                self._lose(error)
        return b""

    def _next(self) -> bytes:
        assert self._answer is not None
        began = self._clock()
        data = self._answer.next()
        self.fetched += len(data)
        self._pace.note(self._clock() - began, len(data))
        return data

    def _add(self, data: bytes) -> bytes:
        self._failures, self._progress = 0, True
        self._held.add(data)
        self._check_size(self._held.size, "has sent")
        return data

    def _check_size(self, size: int, what: str) -> None:
        if size > self._fetching.bounds.body_bytes:
            raise crossed(self._fetching.bounds, "body_bytes", f"the server {what} {size:,} bytes")

    def _end(self) -> None:
        """An answer's body has ended: the content too, or only this part of it."""
        total = self.validators.length
        if total is not None and self._held.size < total:
            raise AnswerLostError(f"the answer ended at byte {self._held.size:,} of {total:,}")
        if total is not None and self._held.size > total:
            raise ContentChangedError(f"{self._held.size:,} bytes came where {total:,} were announced; fetch it again")
        self._complete = True
        self._drop()

    def _lose(self, error: AnswerLostError) -> None:
        """Wait before the next attempt, or give up."""
        self._drop()
        if self._closed:  # by another thread, while this one was reading
            raise BadFileError("given up")
        self._failures += not self._progress
        seconds = seconds_before_retry(self._fetching, max(self._failures, 1), error.seconds)
        if self._progress:  # some bytes for each connection are dripping too
            self._pace.note(seconds, 0)
        self._progress = False
        if self._failures >= self._fetching.attempts:
            place = f"beyond byte {self._held.size:,} " if self._held.size else ""
            kind = HostFailedError if error.of_host and not self._held.size else BadFileError
            raise kind(f"can't be fetched {place}({self._failures} attempts: {error}); run again later")
        LOG.debug("%s: %s at byte %d; asked again", self._source.name, error, self._held.size)
        self._wait(seconds)

    def _connect(self) -> None:
        self._answer = answer = self._ask(self._source, self._conditions())
        if answer.status == HTTPStatus.OK:
            self._accept_whole(answer)
        elif answer.status == HTTPStatus.PARTIAL_CONTENT and self._held.size:
            self._accept_part(answer)
        elif answer.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and self._held.size:
            self._accept_end(answer)
        elif answer.status == HTTPStatus.NOT_MODIFIED and self._known.if_changed():
            raise UnchangedError("not modified")
        else:
            self._refuse(answer)

    def _conditions(self) -> dict[str, str]:
        """Headers that ask for what is missing, of the same content only."""
        if not self._held.size:
            return self._known.if_changed()
        if not self._held.resumable:
            return {}
        unless_changed = self.validators.if_range
        return {"Range": f"bytes={self._held.size}-"} | ({"If-Range": unless_changed} if unless_changed else {})

    def _accept_whole(self, answer: AnyAnswer) -> None:
        """The content from its beginning: at first, after a change, or from a server that knows no ranges."""
        validators = Validators.of_whole(answer.headers)
        self._check_size(validators.length or 0, "announces")
        if not self._held.size:
            if self._known.promise_same(validators):
                raise UnchangedError("the same validators")
            self._held.validators = validators
        elif self.validators.contradict(validators):
            raise self._changed()
        else:
            self._skip()

    def _accept_part(self, answer: AnyAnswer) -> None:
        part = ContentRange.parse(answer.headers.get("Content-Range"))
        if part is None or part.start != self._held.size:
            raise ContentChangedError(f"asked for byte {self._held.size:,} on, the server sends another part")
        if self.validators.contradict(Validators.of_part(answer.headers)):
            raise self._changed()
        if self.validators.length is None:  # the first answer was chunked and stated no length
            self._held.validators = replace(self.validators, length=part.total)

    def _accept_end(self, answer: AnyAnswer) -> None:
        """Nothing lies behind the bytes had: they are all, if the length says so."""
        part = ContentRange.parse(answer.headers.get("Content-Range"))
        if part is None or part.total != self._held.size:
            raise self._changed()
        self._held.validators = replace(self.validators, length=part.total)
        self._complete = True
        self._drop()

    def _skip(self) -> None:
        """Read past the bytes had, which must be the same again."""
        again = Held()
        while again.size < self._held.size:
            data = self._next()
            if not data:
                raise AnswerLostError("the answer ended before the bytes that are missing")
            missing = self._held.size - again.size
            again.add(data[:missing])
            self._ahead = data[missing:]
        if again.crc != self._held.crc:
            self._ahead = b""
            raise self._changed()
        if self._ahead:
            self._add(self._ahead)

    def _changed(self) -> ContentChangedError:
        return ContentChangedError(f"its content changed on the server before byte {self._held.size:,} was read")

    def _refuse(self, answer: AnyAnswer) -> None:
        """An answer without content: expired, to be asked again, or final."""
        status = answer.status
        asked = retry_after(answer.headers.get("Retry-After"))
        self._drop()
        if status in EXPIRED:
            self._renew_address(status)
        elif status in PASSING or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            failed = status >= HTTPStatus.INTERNAL_SERVER_ERROR
            raise AnswerLostError(f"the server answers {status}", asked, of_host=failed)
        else:
            raise BadFileError(f"the server answers {status}; check the address, or {ASK_CONTENTS}")

    def _renew_address(self, status: int) -> None:
        """Once: the table of contents that lists this file may have a new signature for it."""
        refused = f"the server answers {status}"
        if self._source.contents is None or self._renew is None:
            raise BadFileError(f"{refused}; the signature may have expired: {ASK_CONTENTS}")
        if self._renewed:
            raise BadFileError(f"{refused} to the address newly listed too; ask the payer, or run again later")
        self._renewed = True
        location = self._renew(self._source)
        if location is None:
            raise BadFileError(f"{refused}, and its table of contents lists no other address; run again later")
        self._source = replace(self._source, location=location)
