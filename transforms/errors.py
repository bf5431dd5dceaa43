"""One error tree; each branch carries the exit code that the command line gives. And what an error came from."""

from collections.abc import Iterator, Mapping


class TicRatesError(Exception):
    """A bug unless a subclass says otherwise."""

    exit_code = 1


class UsageError(TicRatesError):
    """Wrong usage, configuration or reference data: names the thing and the next step."""

    exit_code = 2


class MissingSourceError(UsageError):
    """No file, folder or object exists at an address, or no name matches a glob."""


class NothingUsableError(TicRatesError):
    """Every source was refused: nothing was published, the last good tables stand.

    ``details``: what a machine wants to know of it, for the result line.
    """

    exit_code = 4

    def __init__(self, message: str, details: Mapping[str, object] | None = None) -> None:
        super().__init__(message)
        self.details = dict(details or {})


class OutOfResourcesError(TicRatesError):
    """The machine ran out of disk, memory, files or processes, or a disk failed: no fault of any source, nor a bug.

    The run ends; what is published is whole, and the next run goes on with what was done. Says what, where, what to do.
    """

    exit_code = 4


class OutageError(TicRatesError):
    """A service that the run needs does not answer: object storage, a Dask cluster, a Prefect server.

    The run ends; what is published is whole, and the next run goes on with what was done. Says what, where, what to do.
    """

    exit_code = 4


class BadFileError(TicRatesError):
    """One source can't be trusted: it is quarantined with this text (place and next step), the others go on."""

    exit_code = 3


class OddElementError(TicRatesError):
    """Not laid out as the schema says: for the plain grammar to read."""


class FullReadingNeededError(TicRatesError):
    """A later duplicate key made wanted what had been skipped; the caller reads again with ``skip=False``."""


class AnswerLostError(TicRatesError):
    """No answer, or one that broke off or was put off; asking again may help.

    Args:
        seconds: the server asks us to wait so long.
        of_host: the host can't be reached, says nothing in time or fails: its other files would fare no better.
    """

    def __init__(self, reason: str, seconds: float = 0.0, *, of_host: bool = False) -> None:
        super().__init__(reason)
        self.seconds = seconds
        self.of_host = of_host


class NotPublishedError(BadFileError):
    """There is nothing at an address: the payer has not published it yet, or has removed it."""


class HostFailedError(BadFileError):
    """A file can't be had because its host fails, whatever the file."""


class ContentChangedError(BadFileError):
    """What was read so far belongs to another content: the reading starts over."""


class UnchangedError(TicRatesError):
    """The server's content is the one known."""


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error, what it came from, and so on; each once: errors that are raised again can come from each other."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        yield error
        seen.add(id(error))
        error = error.__cause__ or error.__context__
