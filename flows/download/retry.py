"""The seconds to wait before a request is repeated. Callers pass in the function that waits."""

from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from random import Random

from flows.settings.fetching import Fetching

Wait = Callable[[float], None]  # seconds; ``time.sleep`` outside of tests

_RANDOM = Random()


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
