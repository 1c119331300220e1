"""Find a hidden number: the tutorial environment."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from pydantic import Field

from agentcore.kit.jsonvalue import JsonObject
from agentcore.training.openenv.environments.base import Environment, Parameters, Step
from agentcore.training.openenv.environments.cards import Table, card


# One action type, called "guess" after its class. A guess of 101 never reaches the game.
class Guess(Parameters):
    number: int = Field(ge=1, le=100)


# What anybody may look at while an episode runs; it starts afresh in each.
@dataclass
class Guesses:
    made: int = 0


class GuessNumber(Environment[Guess, Guesses]):
    name, description = "guess_number", "Find a number from 1 to 100 by its hints."
    # The tenth guess is the last: the episode is then truncated, unless it was a hit.
    max_episode_steps = 10
    _told: tuple[tuple[str, str], ...] = ()

    # What a player sees, as JSON Schema: clients check and explain it.
    def observation_space(self) -> JsonObject:
        return {"type": "object", "properties": {"hint": {"enum": ["start", "low", "high", "hit"]}}}

    # An episode begins. Draw from `random` only: the same seed then gives the same number.
    def begin(self, random: Random, options: JsonObject) -> JsonObject:
        self._number = random.randint(1, 100)
        self._told = ()
        return {"hint": "start"}

    # One action and what it leads to: an observation, a reward, and whether the task is over.
    def act(self, action: Guess) -> Step:
        self.state.made += 1
        way = "low" if action.number < self._number else "high"
        hint = "hit" if action.number == self._number else way
        self._told += ((str(action.number), hint),)
        return Step({"hint": hint}, 1.0 if hint == "hit" else -0.1, terminated=hint == "hit")

    # Optional: a picture for those who watch.
    def render(self) -> bytes:
        guesses = Table("Guesses", {"number": 1, "hint": 3}, self._told)
        return card("Guess a number", {"guesses": self.state.made}, guesses)
