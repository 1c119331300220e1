"""The least an environment can do, so that what is measured is the way to it and back."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from agentcore.kit.jsonvalue import JsonObject
from agentcore.training.openenv.environments.base import Environment, Parameters, Step


class Say(Parameters):
    message: str


@dataclass
class EchoState:
    last: str = ""


class Echo(Environment[Say, EchoState]):
    """The same as EchoEnvironment of tests/peers/openenv_echo_server.py."""

    name = "echo"
    description = "Says what it is told."

    def observation_space(self) -> JsonObject:
        return {"type": "object", "properties": {"echo": {"type": "string"}}, "required": ["echo"]}

    def begin(self, random: Random, options: JsonObject) -> JsonObject:
        return {"echo": "hello"}

    def act(self, action: Say) -> Step:
        self.state.last = action.message
        reward = len(action.message) / 10
        return Step({"echo": action.message}, reward, info={"steps": self.step_count})
