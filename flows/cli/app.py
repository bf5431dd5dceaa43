"""The command line. Each command imports what it uses when it runs: `tic-rates --help` costs nothing else."""

import json
import logging
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from flows.cli.arguments import build_parser
from flows.cli.commands import COMMANDS
from flows.cli.streams import open_missing, settle, tell, tell_error
from flows.storage.faults import during
from transforms.errors import NothingUsableError, TicRatesError, UsageError

INTERRUPTED = 130


class _Stopped(BaseException):
    """SIGTERM, or SIGHUP, unwound like Ctrl-C."""

    def __init__(self, number: int) -> None:
        self.number = number


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code of CONTRACT section 2."""
    open_missing()
    try:
        return _main(sys.argv[1:] if arguments is None else arguments)
    finally:
        settle()


def _main(words: Sequence[str]) -> int:
    try:
        options = build_parser().parse_args(words)
    except UsageError as error:
        return _fail(error, as_json="--json" in words)
    logging.basicConfig(format="%(levelname)s %(message)s", level=logging.INFO, stream=sys.stderr)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs whole URLs, signatures included
    signal.signal(signal.SIGTERM, _stop)
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup
        signal.signal(signal.SIGHUP, _stop)
    try:
        with during(f"running {' '.join(words[:1])}", getattr(options, "output", None) or Path.cwd()):
            result, code = COMMANDS[options.command](options)
            if options.json:
                tell(print, json.dumps(result, default=str))
    except TicRatesError as error:
        return _fail(error, as_json=options.json)
    except (KeyboardInterrupt, _Stopped) as stop:
        tell_error("tic-rates: stopped; what is done is kept, run the same command again to resume")
        return 128 + stop.number if isinstance(stop, _Stopped) else INTERRUPTED
    except Exception:  # noqa: BLE001 a bug of ours; its text may quote an address
        return _confess(as_json=options.json)
    return code


def _fail(error: TicRatesError, *, as_json: bool) -> int:
    tell_error(f"tic-rates: {error}")
    if as_json:
        details = error.details if isinstance(error, NothingUsableError) else {}
        with suppress(OSError):  # said already
            tell(print, json.dumps(details | {"error": str(error), "exit_code": error.exit_code}, default=str))
    return error.exit_code


def _confess(*, as_json: bool) -> int:
    """The traceback without what could be secret: people send it."""
    import traceback

    from flows.download.sources import without_secrets

    told = without_secrets(traceback.format_exc())
    tell_error(f"{told}tic-rates: a bug of ours; please report it with the lines above")
    if as_json:
        tell(print, json.dumps({"error": told.splitlines()[-1], "exit_code": TicRatesError.exit_code}))
    return TicRatesError.exit_code


def _stop(number: int, _frame: object) -> NoReturn:
    raise _Stopped(number)


if __name__ == "__main__":
    sys.exit(main())
