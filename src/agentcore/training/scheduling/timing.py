"""When a schedule is due. Pure, and in UTC outside the time zone of a daily schedule."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from agentcore.kit.errors import InvalidInput
from agentcore.training.models import CatchUp, Daily, Every, Once, Timing

MOST_CAUGHT_UP = 100
DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Due:
    """``moments`` get a job each, ``missed`` more are given up, ``following`` is the next."""

    moments: tuple[datetime, ...]
    missed: int
    following: datetime | None


def first_due(timing: Timing, now: datetime) -> datetime | None:
    """When a schedule that is made now runs first; a moment in the past is due at once.

    Raises:
        InvalidInput: its time zone is unknown here.
    """
    match timing:
        case Once(at=at) | Every(starts_at=at):
            return now if at is None else at.astimezone(UTC)
        case Daily():
            return following(timing, now, now)


def following(timing: Timing, first: datetime, after: datetime) -> datetime | None:
    """The first moment behind ``after`` of a schedule that ran, or runs, at ``first``."""
    match timing:
        case Once():
            return None
        case Every(seconds=seconds):
            steps = math.floor((after - first).total_seconds() / seconds) + 1
            return first + timedelta(seconds=max(0, steps) * seconds)
        case Daily():
            return next(moment for moment in _moments(timing, after) if moment > after)


def due(timing: Timing, since: datetime, now: datetime, catch_up: CatchUp) -> Due:
    """What is to run now of a schedule whose next moment was ``since``, which is not after now.

    What was missed while nobody looked is caught up by one run, for the latest missed moment, or
    by one run each, at most the newest 100.
    """
    if isinstance(timing, Once):
        return Due((since,), 0, None)
    most = 1 if catch_up == "latest" else MOST_CAUGHT_UP
    if isinstance(timing, Every):
        count = math.floor((now - since).total_seconds() / timing.seconds) + 1
        places = range(max(0, count - most), count)
        moments = [since + timedelta(seconds=place * timing.seconds) for place in places]
    else:
        passed = [moment for moment in _until(_moments(timing, since), now) if moment >= since]
        count, moments = len(passed), passed[-most:]
    return Due(tuple(moments), count - len(moments), following(timing, since, now))


def time_zone(name: str) -> tzinfo:
    """Raises ``InvalidInput`` where the machine does not know it."""
    if name == "UTC":
        # Not every machine has a database of time zones; this one needs none.
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as exc:
        raise InvalidInput(
            f"unknown time zone {name[:80]!r}", hint="give an IANA name such as Europe/Berlin"
        ) from exc


def _moments(timing: Daily, since: datetime) -> Iterator[datetime]:
    """All of a daily schedule in order, from the day before ``since`` on."""
    zone = time_zone(timing.timezone)
    day = (since.astimezone(zone) - DAY).date()
    while True:
        if not timing.weekdays or day.weekday() in timing.weekdays:
            found = {
                datetime.combine(day, each.replace(tzinfo=None), tzinfo=zone).astimezone(UTC)
                for each in timing.times
            }
            yield from sorted(found)
        day += DAY


def _until(moments: Iterator[datetime], end: datetime) -> Iterator[datetime]:
    for moment in moments:
        if moment > end:
            return
        yield moment
