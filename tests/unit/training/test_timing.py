from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from agentcore.kit.errors import InvalidInput
from agentcore.training.models import Daily, Every, Once, ScheduleDraft
from agentcore.training.scheduling.timing import (
    MOST_CAUGHT_UP,
    due,
    first_due,
    following,
    time_zone,
)

NOW = datetime(2026, 3, 28, 12, 0, tzinfo=UTC)
MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)).map(  # noqa: DTZ001 -- becomes UTC
    lambda moment: moment.replace(tzinfo=UTC)
)


def at(hour: int, day: int = 28, month: int = 3) -> datetime:
    return datetime(2026, month, day, hour, 0, tzinfo=UTC)


def test_a_schedule_begins_when_it_says() -> None:
    assert first_due(Once(), NOW) == NOW
    assert first_due(Once(at=at(9)), NOW) == at(9), "what is past is due at once"
    assert first_due(Every(seconds=60, starts_at=at(15)), NOW) == at(15)
    assert first_due(Every(seconds=60), NOW) == NOW
    assert first_due(Daily(times=(time(15), time(9))), NOW) == at(15)
    assert first_due(Daily(times=(time(9),)), NOW) == at(9, 29)
    assert first_due(Daily(times=(time(9),), weekdays=(0,)), NOW) == at(9, 30), "a Monday"
    assert Daily(times=(time(9),), weekdays=(4, 0, 4)).weekdays == (0, 4)


def test_missed_runs_become_one_or_each() -> None:
    hourly, since = Every(seconds=3600), NOW - timedelta(hours=5)
    latest = due(hourly, since, NOW, "latest")
    assert (latest.moments, latest.missed) == ((NOW,), 5)
    assert latest.following == NOW + timedelta(hours=1)
    every = due(hourly, since, NOW, "all")
    assert (len(every.moments), every.missed, every.moments[0]) == (6, 0, since)
    many = due(Every(seconds=1), NOW - timedelta(days=1), NOW, "all")
    assert (len(many.moments), many.missed) == (MOST_CAUGHT_UP, 86_401 - MOST_CAUGHT_UP)
    once = due(Once(), since, NOW, "latest")
    assert (once.moments, once.missed, once.following) == ((since,), 0, None)


def test_days_are_caught_up_in_their_order() -> None:
    twice = Daily(times=(time(18), time(6)))
    found = due(twice, at(6, 26), NOW, "all")
    assert found.moments == (at(6, 26), at(18, 26), at(6, 27), at(18, 27), at(6))
    assert (found.missed, found.following) == (0, at(18))
    assert due(twice, at(6, 26), NOW, "latest").missed == 4


def test_clocks_that_change_neither_skip_nor_repeat_a_run() -> None:
    # Europe/Berlin leaves out 02:30 on 29 March 2026 and has it twice on 25 October.
    nightly = Daily(times=(time(2, 30),), timezone="Europe/Berlin")
    spring = due(nightly, at(0, 28), datetime(2026, 3, 31, tzinfo=UTC), "all").moments
    assert [moment.isoformat() for moment in spring] == [
        "2026-03-28T01:30:00+00:00",
        "2026-03-29T01:30:00+00:00",
        "2026-03-30T00:30:00+00:00",
    ]
    autumn = due(nightly, at(0, 24, 10), datetime(2026, 10, 27, tzinfo=UTC), "all").moments
    assert [moment.hour for moment in autumn] == [0, 0, 1]


@given(
    since=MOMENTS,
    late=st.timedeltas(timedelta(0), timedelta(days=40)),
    seconds=st.floats(1, 86_400),
)
def test_no_moment_is_lost_or_made_up(since: datetime, late: timedelta, seconds: float) -> None:
    timing, now = Every(seconds=seconds), since + late
    one, each = due(timing, since, now, "latest"), due(timing, since, now, "all")
    assert len(one.moments) == 1
    assert one.moments[-1:] == each.moments[-1:]
    assert len(one.moments) + one.missed == len(each.moments) + each.missed
    assert one.following is not None
    assert all(since <= moment <= now for moment in each.moments)
    assert now < one.following <= now + timedelta(seconds=seconds, microseconds=5)


@given(now=MOMENTS, minutes=st.lists(st.integers(0, 1439), min_size=1, max_size=4, unique=True))
def test_the_next_time_of_a_day_is_at_most_a_day_away(now: datetime, minutes: list[int]) -> None:
    timing = Daily(times=tuple(time(each // 60, each % 60) for each in minutes))
    found = following(timing, now, now)
    assert found is not None
    assert now < found <= now + timedelta(days=1)
    assert found.hour * 60 + found.minute in minutes


@pytest.mark.parametrize(
    "timing",
    [
        {"kind": "once", "at": "0001-01-01T00:00:00+05:00"},
        {"kind": "once", "at": "2026-01-01T00:00:00"},
        {"kind": "every", "seconds": 60, "starts_at": "9999-12-31T23:00:00-05:00"},
        {"kind": "every", "seconds": 0.5},
        {"kind": "daily", "times": []},
        {"kind": "daily", "times": ["02:30+02:00"]},
        {"kind": "daily", "times": ["02:30"], "weekdays": [7]},
    ],
)
def test_times_that_mean_nothing_are_refused(timing: dict[str, object]) -> None:
    job = {"environment": "guess_number"}
    with pytest.raises(ValidationError):
        ScheduleDraft.model_validate({"name": "n", "job": job, "timing": timing})


def test_zones_that_nobody_knows_are_named() -> None:
    assert time_zone("UTC") is UTC
    for wrong in ("Mars/Base", "../etc/passwd", ""):
        with pytest.raises(InvalidInput, match="unknown time zone"):
            time_zone(wrong)
