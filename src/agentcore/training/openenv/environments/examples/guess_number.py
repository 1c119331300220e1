"""Find a hidden number: the tutorial environment."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from pydantic import Field

from agentcore.kit.jsonvalue import JsonObject
from agentcore.training.openenv.environments.base import Environment, Parameters, Step


class Guess(Parameters):
    number: int = Field(ge=1, le=100)


@dataclass
class Guesses:
    made: int = 0


class GuessNumber(Environment[Guess, Guesses]):
    name, description = "guess_number", "Find a number from 1 to 100 by its hints."
    max_episode_steps = 10

    def observation_space(self) -> JsonObject:
        return {"type": "object", "properties": {"hint": {"enum": ["start", "low", "high", "hit"]}}}

    def begin(self, random: Random, options: JsonObject) -> JsonObject:
        self._number = random.randint(1, 100)
        return {"hint": "start"}

    def act(self, action: Guess) -> Step:
        self.state.made += 1
        if action.number == self._number:
            return Step({"hint": "hit"}, reward=1.0, terminated=True)
        return Step({"hint": "low" if action.number < self._number else "high"}, reward=-0.1)
