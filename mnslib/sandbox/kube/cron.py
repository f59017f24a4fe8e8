"""When a CronJob is due: the five fields of its schedule.

Source: Kubernetes documentation, "CronJob schedule syntax"; robfig/cron v3, the parser it names.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

_MACROS = {"@hourly": "0 * * * *", "@daily": "0 0 * * *", "@midnight": "0 0 * * *"}
_MACROS |= {"@weekly": "0 0 * * 0", "@monthly": "0 0 1 * *"}
_MACROS |= {"@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *"}
_BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_HORIZON = 366 * 5  # days, after which a schedule is taken to have no date


def fields(schedule: str) -> list[frozenset[int]]:
    """Return minutes, hours, days of the month, months and days of the week that a schedule names.

    Raises:
        ValueError: if it is none.
    """
    parts = _MACROS.get(schedule, schedule).split()
    if len(parts) != len(_BOUNDS):
        raise ValueError(f"expected exactly 5 fields, found {len(parts)}: {parts}")
    return [_field(part.lower(), *bounds) for part, bounds in zip(parts, _BOUNDS, strict=True)]


def schedule_problem(schedule: str) -> str:
    """Return why a schedule is none, or an empty text."""
    try:
        fields(schedule)
    except ValueError as error:
        return str(error)
    return ""


def is_zone(name: str) -> bool:
    """Return whether there is a time zone of this name."""
    try:
        ZoneInfo(name)
    except (LookupError, OSError, ValueError):  # not there; a folder; a path
        return False
    return True


def _field(text: str, least: int, most: int) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        values, _, step = part.partition("/")
        first, _, end = values.partition("-")
        if values in ("*", "?"):
            start, stop = least, most
        else:
            start = _number(first)
            stop = _number(end) if end else most if step else start
        if not least <= start <= stop <= most or (step and int(step) < 1):
            raise ValueError(f"{part!r} is not within {least} to {most}")
        found.update(range(start, stop + 1, int(step or 1)))
    return frozenset({0 if (most, value) == (7, 7) else value for value in found})


def _number(text: str) -> int:
    for names, first in ((_MONTHS, 1), (_DAYS, 0)):
        if text in names:
            return names.index(text) + first
    return int(text)


def near(schedule: str, zone: str, moment: float) -> tuple[float | None, float | None]:
    """Return the last time of a schedule up to a moment and the first one after it.

    Seconds since 1970; None without one.

    Raises:
        ValueError: if the schedule is none.
    """
    local = datetime.fromtimestamp(moment, ZoneInfo(zone) if zone else UTC)
    before = next((at for at in _times(schedule, local, -1) if at <= moment), None)
    return before, next((at for at in _times(schedule, local, 1) if at > moment), None)


def _times(schedule: str, start: datetime, step: int) -> Iterator[float]:
    minutes, hours, days, months, weekdays = fields(schedule)
    parts = _MACROS.get(schedule, schedule).split()
    either = not (parts[2][0] in "*?" or parts[4][0] in "*?")  # then one of both is enough
    for number in range(_HORIZON):
        day = start.date() + timedelta(days=step * number)
        in_month, in_week = day.day in days, day.isoweekday() % 7 in weekdays
        if day.month in months and (in_month or in_week if either else in_month and in_week):
            times = [time(hour, minute) for hour in hours for minute in minutes]
            every = (datetime.combine(day, one, start.tzinfo).timestamp() for one in times)
            yield from sorted(every, reverse=step < 0)
