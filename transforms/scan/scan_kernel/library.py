"""The library, loaded and checked; ``problem`` says why it can't be used."""

import ctypes
import pkgutil
import sys
from collections.abc import Callable
from functools import cache

from transforms.errors import TicRatesError
from transforms.scan.scan_kernel.stamp import LEVELS, LIBRARY, stamp_of

NEXT_STEP = "run `make` or `python hatch_build.py` where the sources are, or install the package again"

Function = Callable[..., int]


class KernelMissingError(TicRatesError, ImportError):
    """No library that fits these sources: the full reader has to do."""


def _source(name: str) -> bytes:
    data = pkgutil.get_data(__package__, name)
    assert data is not None
    return data


def _text(library: ctypes.CDLL, name: str) -> str:
    return ctypes.string_at(ctypes.addressof(ctypes.c_char.in_dll(library, name))).decode()


@cache
def _library() -> ctypes.CDLL:
    folder = sys.modules[__package__].__path__[0]
    try:
        library = ctypes.CDLL(f"{folder}/{LIBRARY}")
        stamp = _text(library, "kernel_stamp")
        expected = stamp_of(_source)
    except (OSError, ValueError) as error:
        raise KernelMissingError(f"the compiled scanner can't be loaded ({error}); {NEXT_STEP}") from error
    if stamp != expected:
        raise KernelMissingError(f"the compiled scanner was built from other sources; {NEXT_STEP}")
    return library


def problem() -> str | None:
    """Why the library can't be used; None when it can."""
    try:
        _library()
    except KernelMissingError as error:
        return str(error)
    return None


@cache
def levels() -> tuple[str, ...]:
    """The levels that this processor can run, the best one last."""
    library = _library()
    return LEVELS.get(_text(library, "kernel_machine"), LEVELS[""])[: library.kernel_levels()]


def function(name: str, arguments: int, level: str | None = None) -> Function:
    """A function of the library at one level, by default the best one: so many int64 or addresses in, an int64 out."""
    found = getattr(_library(), f"{level or levels()[-1]}_{name}")
    found.argtypes = [ctypes.c_int64] * arguments
    found.restype = ctypes.c_int64
    return found  # type: ignore[no-any-return]
