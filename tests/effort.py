"""How much the tests try: what takes a minute and finds little new is left to `make soak`."""

import os

SOAK = bool(os.environ.get("TIC_RATES_SOAK"))


def usually(few: int, soaking: int) -> int:
    """How often: few times in `make test`, more in `make soak`."""
    return soaking if SOAK else few
