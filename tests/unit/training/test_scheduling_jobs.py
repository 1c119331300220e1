from __future__ import annotations

from typing import Any

import pytest

from agentcore.kit.jsonvalue import JsonObject, dumps
from agentcore.training.errors import PolicyNotFound, RewardInvalid, RolloutsFailed
from agentcore.training.models import JobSpec
from agentcore.training.openenv.environments.catalog import BUNDLED
from agentcore.training.openenv.errors import EnvironmentNotFoundError, OpenEnvConnectionError
from agentcore.training.openenv.models import EnvironmentInfo, Observation
from agentcore.training.openenv.playing import LocalSession, OpenSession, local_sessions
from agentcore.training.reward_registry import builtin_rewards
from agentcore.training.scheduling.jobs import RolloutJobs


class Bundled:
    """The bundled environments without their servers."""

    async def info(self, name: str) -> EnvironmentInfo:
        if name not in BUNDLED:
            raise EnvironmentNotFoundError(name)
        return BUNDLED[name]().info()

    async def sessions(self, name: str, count: int) -> OpenSession:
        return local_sessions(BUNDLED[name])


class Away(Bundled):
    async def sessions(self, name: str, count: int) -> OpenSession:
        class Gone(LocalSession):
            async def reset(self, seed: int | None = None, options: object = None) -> Observation:
                raise OpenEnvConnectionError("gone")

        return lambda _: Gone(BUNDLED[name]())


def spec(**values: Any) -> JobSpec:
    return JobSpec.model_validate({"environment": "guess_number", "episodes": 6, **values})


def part(result: JsonObject, name: str) -> dict[str, Any]:
    found = result[name]
    assert isinstance(found, dict)
    return found


async def test_a_job_plays_and_compares() -> None:
    jobs = RolloutJobs(Bundled(), builtin_rewards())
    asked = spec(policy="reference", baseline="random", seed=3, sessions=2)
    await jobs.check(asked)
    result = await jobs.run(asked)
    assert part(result, "report")["seeds"] == [3, 4, 5, 6, 7, 8]
    assert part(result, "comparison")["difference"] > 0
    assert part(result, "baseline")["policy"] == "random"
    dumps(result)
    again = await jobs.run(asked)
    assert part(again, "report")["rewards"] == part(result, "report")["rewards"]


async def test_a_job_is_rewarded_as_it_says() -> None:
    reward = {"name": "constant", "parameters": {"value": 1.0}}
    report = part(
        await RolloutJobs(Bundled(), builtin_rewards()).run(spec(reward=reward, max_steps=1)),
        "report",
    )
    assert report["mean"] == 1.0


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"environment": "absent"}, EnvironmentNotFoundError),
        ({"policy": "best"}, PolicyNotFound),
        ({"baseline": "best"}, PolicyNotFound),
        ({"reward": {"name": "best"}}, RewardInvalid),
    ],
)
async def test_what_cannot_run_is_refused_before(
    values: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        await RolloutJobs(Bundled(), builtin_rewards()).check(spec(**values))


async def test_where_nothing_was_played_there_is_no_result() -> None:
    with pytest.raises(RolloutsFailed, match="all 6 episodes of random failed") as caught:
        await RolloutJobs(Away(), builtin_rewards()).run(spec())
    assert caught.value.retryable
