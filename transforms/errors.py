"""One error tree; each branch carries the exit code that the command line gives."""


class TicRatesError(Exception):
    """A bug unless a subclass says otherwise."""

    exit_code = 1


class UsageError(TicRatesError):
    """Wrong usage, configuration or reference data: names the thing and the next step."""

    exit_code = 2


class NothingUsableError(TicRatesError):
    """Every source was refused: nothing was published, the last good tables stand."""

    exit_code = 4


class BadFileError(TicRatesError):
    """One source can't be trusted: it is quarantined with this text (place and next step), the others go on."""

    exit_code = 3


class FullReadingNeeded(TicRatesError):
    """A later duplicate key made wanted what had been skipped; the caller reads again with ``skip=False``."""
