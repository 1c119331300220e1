"""Reward functions by name: composable, checked when they are built, written down as JSON.

A specification is ``{"name": ..., "parameters": {...}}``; functions that change another one take
its specification as the parameter ``reward``. What is built from the same specification computes
the same rewards.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from agentcore.kit.jsonvalue import JsonObject, JsonValue
from agentcore.training.errors import RewardInvalid
from agentcore.training.models import RewardSpec, Transition
from agentcore.training.rollouts import RewardFunction

DEEPEST = 16
MOST_TERMS = 64


class Parameters(BaseModel):
    """The parameters of one reward function; numbers are finite, misspelt names are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


ParametersT = TypeVar("ParametersT", bound=Parameters)
# Builds a specification that is among the parameters.
BuildInner = Callable[[RewardSpec], RewardFunction]
Build = Callable[[ParametersT, BuildInner], RewardFunction]


@dataclass(frozen=True, slots=True)
class _Entry(Generic[ParametersT]):
    parameters: type[ParametersT]
    build: Build[ParametersT]

    def made(self, given: JsonObject, inner: BuildInner) -> RewardFunction:
        return self.build(self.parameters.model_validate(given), inner)


class RewardRegistry:
    """``builtin_rewards()`` has the usual ones; an application registers its own beside them."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry[Any]] = {}

    def register(self, name: str, parameters: type[ParametersT], build: Build[ParametersT]) -> Self:
        """Add a reward function; a name is taken once."""
        if name in self._entries:
            raise RewardInvalid(f"the reward {name!r} is registered already")
        self._entries[name] = _Entry(parameters, build)
        return self

    def build(self, spec: RewardSpec) -> RewardFunction:
        """What computes the reward of a transition.

        Raises:
            RewardInvalid: no such name, or wrong parameters; ``errors`` says where.
        """
        function = self._build(spec, ())

        def finite(transition: Transition) -> float:
            reward = function(transition)
            if not math.isfinite(reward):
                raise RewardInvalid(f"the reward {spec.name!r} came out as {reward}")
            return reward

        return finite

    def schemas(self) -> Mapping[str, JsonObject]:
        """The JSON Schema of each function's parameters, by name."""
        return {
            name: entry.parameters.model_json_schema()
            for name, entry in sorted(self._entries.items())
        }

    def _build(self, spec: RewardSpec, path: tuple[str, ...]) -> RewardFunction:
        here = (*path, spec.name)
        if len(here) > DEEPEST:
            raise RewardInvalid(f"rewards are nested more than {DEEPEST} deep")
        entry = self._entries.get(spec.name)
        if entry is None:
            raise RewardInvalid(
                f"there is no reward {spec.name!r} (at {' > '.join(here)})",
                hint=f"one of: {', '.join(sorted(self._entries))}",
            )
        try:
            return entry.made(spec.parameters, lambda inner: self._build(inner, here))
        except ValidationError as exc:
            faults: list[JsonValue] = [
                {"loc": [*fault["loc"]], "msg": fault["msg"]}
                for fault in exc.errors(include_url=False, include_context=False)
            ]
            first = exc.errors()[0]
            where = ".".join(str(step) for step in first["loc"]) or "parameters"
            raise RewardInvalid(
                f"{' > '.join(here)}: {where}: {first['msg']}", errors=faults
            ) from exc


class Nothing(Parameters):
    """No parameters."""


class Constant(Parameters):
    value: float


class Term(Parameters):
    reward: RewardSpec
    weight: float = 1.0


class Sum(Parameters):
    terms: tuple[Term, ...] = Field(min_length=1, max_length=MOST_TERMS)


class Scale(Parameters):
    """``factor * reward + offset``."""

    reward: RewardSpec
    factor: float = 1.0
    offset: float = 0.0


class Clip(Parameters):
    reward: RewardSpec
    low: float = -1.0
    high: float = 1.0

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"low ({self.low}) is above high ({self.high})")
        return self


class Threshold(Parameters):
    """``bonus`` for each step whose ``reward`` is at least ``at``, 0 for all others."""

    reward: RewardSpec
    at: float
    bonus: float = 1.0


class Ending(Parameters):
    """Given once, with the step that ends the episode."""

    terminated: float = 0.0
    truncated: float = 0.0


class Potential(Parameters):
    """Shaping by potential (Ng, Harada and Russell 1999): ``gamma * after - before``.

    The potential is ``scale`` times the number at the JSON pointer ``at`` in the observation. It
    is 0 once the episode has terminated, and not when it was truncated: so shaped, the best
    policy stays the best. ``missing`` stands in where there is no number; without it that is an
    error.
    """

    at: str = Field(pattern=r"^(/.*)?$")
    gamma: float = Field(1.0, ge=0.0, le=1.0)
    scale: float = 1.0
    missing: float | None = None


def builtin_rewards() -> RewardRegistry:
    return (
        RewardRegistry()
        .register("environment", Nothing, lambda _, __: lambda step: step.reward)
        .register("constant", Constant, lambda given, _: lambda _step: given.value)
        .register("sum", Sum, _sum)
        .register("scale", Scale, _scale)
        .register("clip", Clip, _clip)
        .register("threshold", Threshold, _threshold)
        .register("ending", Ending, _ending)
        .register("potential", Potential, _potential)
    )


def _sum(given: Sum, inner: BuildInner) -> RewardFunction:
    terms = [(term.weight, inner(term.reward)) for term in given.terms]
    return lambda step: math.fsum(weight * reward(step) for weight, reward in terms)


def _scale(given: Scale, inner: BuildInner) -> RewardFunction:
    reward = inner(given.reward)
    return lambda step: given.factor * reward(step) + given.offset


def _clip(given: Clip, inner: BuildInner) -> RewardFunction:
    reward = inner(given.reward)
    return lambda step: min(given.high, max(given.low, reward(step)))


def _threshold(given: Threshold, inner: BuildInner) -> RewardFunction:
    reward = inner(given.reward)
    return lambda step: given.bonus if reward(step) >= given.at else 0.0


def _ending(given: Ending, _: BuildInner) -> RewardFunction:
    def reward(step: Transition) -> float:
        if step.terminated:
            return given.terminated
        return given.truncated if step.truncated else 0.0

    return reward


def _potential(given: Potential, _: BuildInner) -> RewardFunction:
    steps = [part.replace("~1", "/").replace("~0", "~") for part in given.at.split("/")[1:]]

    def potential(observation: JsonObject) -> float:
        found = _at(observation, steps)
        if isinstance(found, int | float) and not isinstance(found, bool):
            return given.scale * found
        if given.missing is None:
            raise RewardInvalid(
                f"the observation has no number at {given.at!r}",
                hint="set `missing` for observations that lack it",
            )
        return given.scale * given.missing

    def reward(step: Transition) -> float:
        after = 0.0 if step.terminated else potential(step.next_observation)
        return given.gamma * after - potential(step.observation)

    return reward


def _at(value: JsonValue, steps: list[str]) -> JsonValue:
    for step in steps:
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and step.isdecimal() and int(step) < len(value):
            value = value[int(step)]
        else:
            return None
    return value
