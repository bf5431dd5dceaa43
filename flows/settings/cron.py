"""A cron expression of five fields, checked before a scheduler is started with it."""

import re

_MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()
_DAYS = "sun mon tue wed thu fri sat".split()
_FIELDS = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of the month", 1, 31, ()),
    ("month", 1, 12, ("", *_MONTHS)),
    ("day of the week", 0, 7, (*_DAYS,)),
)
_PART = re.compile(r"(?:\*|(\w+)(?:-(\w+))?)(?:/(\d{1,3}))?")


def cron_problem(text: str) -> str | None:
    """What is wrong with it; None when nothing is."""
    fields = text.split()
    if len(fields) != len(_FIELDS):
        return f"{len(fields)} fields where five are wanted: minute, hour, day, month, day of the week"
    for field, (name, low, high, names) in zip(fields, _FIELDS, strict=True):
        for part in field.lower().split(","):
            if not _is_part(part, low, high, names):
                return f"{field!r} is no {name}: numbers {low} to {high}, *, */5, 1-5 or a list of those"
    return None


def _is_part(part: str, low: int, high: int, names: tuple[str, ...]) -> bool:
    match = _PART.fullmatch(part)
    if match is None or (match[3] is not None and int(match[3]) == 0):
        return False
    bounds = [_number(word, names) for word in match.group(1, 2) if word is not None]
    return all(low <= bound <= high for bound in bounds) and bounds == sorted(bounds)


def _number(word: str, names: tuple[str, ...]) -> int:
    if word in names:
        return names.index(word)
    return int(word) if word.isascii() and word.isdecimal() and len(word) < 4 else -1
