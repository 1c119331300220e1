"""Recorded episodes of the bundled environments: the same on every machine and Python.

``python -m tests.wire.openenv.trajectories`` records them anew, after a change that is meant.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agentcore.kit.jsonvalue import JsonObject
from agentcore.training.openenv.environments.base import Step
from agentcore.training.openenv.environments.catalog import BUNDLED
from agentcore.training.openenv.environments.policies import POLICIES

HERE = Path(__file__).parent / "trajectories"
# Who played when they were recorded, and on which seeds; the files hold the actions themselves.
PLAYERS = (("random", 0), ("naive", 1), ("reference", 2))


def load(name: str) -> list[dict[str, Any]]:
    episodes: list[dict[str, Any]] = json.loads((HERE / f"{name}.json").read_text("utf-8"))
    return episodes


def replay(name: str, seed: int, actions: list[JsonObject]) -> list[list[Any]]:
    """Reward, end and the observation's digest after each action, the first before them all."""
    environment = BUNDLED[name]()
    first = Step(environment.reset(seed))
    return [_line(first), *(_line(environment.step(action)) for action in actions)]


def record(name: str) -> Iterator[dict[str, Any]]:
    for player, seed in PLAYERS:
        environment, policy = BUNDLED[name](), POLICIES[name].by_name()[player](seed)
        observation, done = environment.reset(seed), False
        actions: list[JsonObject] = []
        while not done:
            action = policy.act(observation).model_dump(exclude_defaults=True)
            actions.append(action)
            step = environment.step(action)
            observation, done = step.observation, step.terminated or step.truncated
        yield {"seed": seed, "actions": actions, "steps": replay(name, seed, actions)}


def _line(step: Step) -> list[Any]:
    text = json.dumps([step.observation, step.info], sort_keys=True, ensure_ascii=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return [step.reward, step.terminated, step.truncated, digest]


def main() -> None:
    HERE.mkdir(exist_ok=True)
    for name in BUNDLED:
        lines = (json.dumps(episode, separators=(",", ":")) for episode in record(name))
        (HERE / f"{name}.json").write_text("[\n" + ",\n".join(lines) + "\n]\n", "utf-8")


if __name__ == "__main__":
    main()
