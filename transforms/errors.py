"""One error tree; each branch carries the exit code that the command line gives."""


class TicRatesError(Exception):
    """A bug unless a subclass says otherwise."""

    exit_code = 1


class UsageError(TicRatesError):
    """Wrong usage, configuration or reference data: names the thing and the next step."""

    exit_code = 2
