"""How long to wait before a server is asked again. The waiting itself is a function that callers pass in."""

from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from random import Random

from flows.settings.fetching import Fetching

Wait = Callable[[float], None]  # seconds; ``time.sleep`` outside of tests

_RANDOM = Random()


def seconds_before_retry(fetching: Fetching, failures: int, asked: float = 0.0, random: Random = _RANDOM) -> float:
    """Doubled with every failure in a row, half of it by chance so that workers spread out.

    Args:
        failures: in a row, from 1 on.
        asked: what the server's Retry-After asks for; obeyed up to ``longest_wait_seconds``.
    """
    doubled = fetching.first_wait_seconds * 2.0 ** min(failures - 1, 32)
    longest = fetching.longest_wait_seconds
    return min(longest, max(asked, min(longest, doubled) * random.uniform(0.5, 1.0)))


def retry_after(text: str | None, now: datetime | None = None) -> float:
    """The seconds that a Retry-After header asks for, given as such or as an HTTP date; 0 without one."""
    text = (text or "").strip()
    if text.isdecimal():
        return float(text)
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, OverflowError, TypeError, IndexError):  # whatever a server writes
        return 0.0
    aware = date if date.tzinfo else date.replace(tzinfo=UTC)
    return max((aware - (now or datetime.now(UTC))).total_seconds(), 0.0)
