"""The harness measures what it says, with its own environments on a real server."""

from __future__ import annotations

import os

import pytest

from agentcore.training.openenv.server import EnvironmentServer
from benchmarks.openenv_pool import SESSIONS, Asleep, Idle, Job, Scaling, play, summed_up
from tests.fakes.openenv_servers import serving
from tests.fakes.waiting import in_time


async def test_all_sessions_are_stepped_and_the_environments_time_is_theirs() -> None:
    async def compare(seconds: float) -> None:
        found = []
        for environment in (Idle, Asleep):
            async with serving(EnvironmentServer(environment.name, environment)) as url:
                found.append(await play(Job([url, url], [os.getpid()], seconds, warming=0.0)))
        idle, asleep = found
        assert idle.busy_s < 0.001 <= asleep.busy_s
        assert idle.per_second > asleep.per_second > SESSIONS
        assert idle.client_cpu_us > 0

    await in_time(compare, 0.02)


@pytest.mark.parametrize(("environment", "share"), [("Asleep", 0.9), ("Idle", None)])
def test_what_servers_can_do_follows_from_the_environments_time(
    environment: str, share: float | None
) -> None:
    rounds = [Scaling(1700.0, 0.001, 30.0, 40.0), Scaling(1800.0, 0.001, 20.0, 50.0)]
    found = summed_up(environment, 2, rounds)
    assert (found["per_second"], found["client_cpu_us"], found["server_cpu_us"]) == (1800, 25, 45)
    assert found["share"] == (share if share is None else pytest.approx(share))
