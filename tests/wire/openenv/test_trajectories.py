"""The same seed and actions give the same episode: on this machine, and as it was recorded."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from agentcore.training.openenv.client import OpenEnvClient
from agentcore.training.openenv.environments.catalog import BUNDLED
from agentcore.training.openenv.models import Action
from agentcore.training.openenv.server import EnvironmentServer
from tests.fakes.openenv_servers import serving
from tests.wire.openenv.trajectories import PLAYERS, load, replay

PROGRAM = """
import json
from tests.wire.openenv.trajectories import BUNDLED, load, replay
episodes = [(name, e) for name in BUNDLED for e in load(name)]
print(json.dumps([replay(name, e["seed"], e["actions"]) for name, e in episodes]))
"""


@pytest.mark.parametrize("name", BUNDLED)
def test_episodes_are_as_recorded(name: str) -> None:
    episodes = load(name)
    assert [episode["seed"] for episode in episodes] == [seed for _, seed in PLAYERS]
    for episode in episodes:
        steps = replay(name, episode["seed"], episode["actions"])
        assert steps == episode["steps"]
        ends = [terminated or truncated for _, terminated, truncated, _ in steps]
        assert ends == [False] * (len(ends) - 1) + [True]


@pytest.mark.parametrize("name", BUNDLED)
async def test_episodes_are_the_same_over_the_wire(name: str) -> None:
    async with serving(EnvironmentServer(name, BUNDLED[name])) as url, OpenEnvClient(url) as env:
        for episode in load(name):
            await env.reset(seed=episode["seed"])
            results = [await env.step(Action(**action)) for action in episode["actions"]]
            ends = [[each.reward, each.terminated, each.truncated] for each in results]
            assert ends == [line[:3] for line in episode["steps"][1:]]


def test_another_process_with_other_hashes_plays_alike() -> None:
    """Nothing depends on the order of sets, on ``hash``, or on what was played before."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "PYTHONHASHSEED": "4711"},
        capture_output=True,
        text=True,
        check=True,
        timeout=50,
    )
    recorded = [episode["steps"] for name in BUNDLED for episode in load(name)]
    assert json.loads(done.stdout) == recorded
