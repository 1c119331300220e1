"""Players of the tutorial environment."""

from __future__ import annotations

from random import Random

from agentcore.kit.jsonvalue import JsonObject
from agentcore.training.openenv.models import Action


class GuessingPolicy:
    """Does not listen."""

    def __init__(self, random: Random) -> None:
        self._random = random

    def act(self, observation: JsonObject) -> Action:
        return guess(self._random.randint(1, 100))


class SteppingPolicy:
    """Walks from the middle by tens in the direction of the hint, and by ones once it turns."""

    def __init__(self) -> None:
        self._number, self._stride, self._hint = 50, 10, "start"

    def act(self, observation: JsonObject) -> Action:
        hint = str(observation["hint"])
        if self._hint not in ("start", hint):
            self._stride = 1
        self._hint = hint
        towards = {"low": self._stride, "high": -self._stride}.get(hint, 0)
        self._number = min(100, max(1, self._number + towards))
        return guess(self._number)


class HalvingPolicy:
    """Asks for the middle of what is left: optimal, at most seven guesses."""

    def __init__(self) -> None:
        self._low, self._high = 1, 100
        self._last = 0

    def act(self, observation: JsonObject) -> Action:
        if observation["hint"] == "low":
            self._low = self._last + 1
        elif observation["hint"] == "high":
            self._high = self._last - 1
        self._last = min(100, max(1, (self._low + self._high) // 2))
        return guess(self._last)


def guess(number: int) -> Action:
    return Action(type="guess", parameters={"number": number})
