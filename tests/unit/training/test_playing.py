from __future__ import annotations

from random import Random

import pytest

from agentcore.kit.errors import InvalidInput
from agentcore.kit.jsonvalue import JsonObject
from agentcore.training.openenv.client import OpenEnvClient
from agentcore.training.openenv.environments.base import Step
from agentcore.training.openenv.environments.catalog import BUNDLED
from agentcore.training.openenv.environments.examples.guess_number import Guess, GuessNumber
from agentcore.training.openenv.environments.policies import POLICIES
from agentcore.training.openenv.errors import EpisodeOver, OpenEnvResetError, OpenEnvStepError
from agentcore.training.openenv.models import Action
from agentcore.training.openenv.playing import LocalSession, local_sessions, remote_sessions
from agentcore.training.openenv.server import EnvironmentServer
from tests.fakes.openenv_servers import serving

GUESS = Action(type="guess", parameters={"number": 1})


class Broken(GuessNumber):
    threaded = True

    def begin(self, random: Random, options: JsonObject) -> JsonObject:
        if "break" in options:
            raise KeyError("begin")
        return super().begin(random, options)

    def act(self, action: Guess) -> Step:
        raise KeyError("act")


async def test_both_kinds_of_session_play_the_same_episode() -> None:
    factory = BUNDLED["guess_number"]
    trajectories = []
    async with serving(EnvironmentServer("guess_number", factory)) as url:
        for session in (local_sessions(factory)(0), remote_sessions(url)(0)):
            player = POLICIES["guess_number"].reference(3)
            seen = [(await session.reset(3)).state]
            while True:
                result = await session.step(player.act(seen[-1]))
                seen.append(result.observation.state)
                seen.append({"reward": result.reward, "ended": result.terminated})
                if result.done:
                    break
                seen.append(result.observation.state)
            with pytest.raises(EpisodeOver):
                await session.step(GUESS)
            await session.close()
            trajectories.append(seen)
    assert trajectories[0] == trajectories[1]


async def test_what_an_environment_raises_is_its_fault() -> None:
    session = LocalSession(Broken())
    with pytest.raises(OpenEnvResetError, match="KeyError"):
        await session.reset(1, {"break": True})
    await session.reset(1)
    with pytest.raises(OpenEnvStepError, match="KeyError"):
        await session.step(GUESS)


def test_replicas_are_taken_in_turn() -> None:
    open_session = remote_sessions(["http://a.test", "http://b.test"])
    sessions = [open_session(number) for number in range(3)]
    bases = [session.base_url for session in sessions if isinstance(session, OpenEnvClient)]
    assert bases == ["http://a.test", "http://b.test", "http://a.test"]
    with pytest.raises(InvalidInput):
        remote_sessions([])
