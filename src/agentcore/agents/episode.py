"""Playing one episode: render the playbook, then think and act until the environment is done.

The agent speaks A2A JSON-RPC only (``environment.*``, ``agent.*`` and ``task.execute``, see the
design's section on the JSON-RPC endpoint), so the same code plays in process and over HTTP.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from decimal import Decimal

from agentcore.agents.ports import Messages, Mind, Playbooks, Rendered, Thought, World
from agentcore.kit.jsonvalue import JsonObject, JsonValue, dumps

MOST_STEPS = 60
# Replies that are no action end an episode: an environment cannot be asked about them for ever.
MOST_UNREADABLE = 5
GOOD_QUALITY = 0.8
METHODS = {"discover_agents": "agent.discover", "delegate_task": "agent.delegate"}

SYSTEM = """You are {agent_id}, an agent that acts in the environment {name}.
{description}

Each turn you see one observation as JSON. Answer with exactly one JSON object{form}
and nothing else. It must match this schema:
{schema}
{playbook}"""
TYPED_FORM = ' {"type": "...", "parameters": {...}}'
# Environments of others take their own members as they are; the type then says nothing.
PLAIN = "act"


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodePlan:
    agent_id: str
    environment: str
    seed: int | None = None
    max_steps: int = MOST_STEPS
    # What the trace will call the task.
    task_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    number: int
    action: str
    reward: float
    done: bool


@dataclass(slots=True)
class EpisodeReport:
    """What an episode came to; ``quality`` lies in [0, 1] where the environment scores itself."""

    plan: EpisodePlan
    stamp: JsonObject | None = None
    steps: int = 0
    reward: float = 0.0
    quality: float | None = None
    terminated: bool = False
    truncated: bool = False
    tokens: int = 0
    cost_usd: Decimal | None = Decimal(0)
    calls: Counter[str] = field(default_factory=Counter)
    violations: Counter[str] = field(default_factory=Counter)

    @property
    def success(self) -> bool:
        """The environment's own score where it gives one, else a good end within the limits."""
        if self.quality is not None:
            return self.quality >= GOOD_QUALITY
        return self.terminated and not self.truncated and self.reward > 0

    @property
    def error(self) -> str | None:
        if self.success:
            return None
        found = "; ".join(f"{text} (x{count})" for text, count in self.violations.most_common(5))
        ended = "ended" if self.terminated else "stopped"
        return f"{ended} after {self.steps} steps with reward {self.reward:.2f}" + (
            f": {found}" if found else ""
        )

    def metadata(self) -> JsonObject:
        """The members of a trace that seed 002 leaves to ``metadata``."""
        return {
            "environment": self.plan.environment,
            "seed": self.plan.seed,
            "reward": round(self.reward, 4),
            "steps": self.steps,
            "violations": dict(self.violations),
            "tokens": self.tokens,
            "cost_usd": None if self.cost_usd is None else str(self.cost_usd),
            "calls": dict(self.calls),
        }

    def thought(self, thought: Thought) -> None:
        self.tokens += thought.tokens
        self.calls[thought.provider] += 1
        if thought.cost_usd is None or self.cost_usd is None:
            self.cost_usd = None
        else:
            self.cost_usd += thought.cost_usd

    def outcome(self, result: JsonObject) -> StepReport:
        self.steps += 1
        reward = _number(result.get("reward"))
        self.reward += reward
        self.terminated = result.get("terminated") is True
        self.truncated = result.get("truncated") is True
        info = result.get("info")
        info = info if isinstance(info, dict) else {}
        found = info.get("violations")
        if isinstance(found, list):
            self.violations.update(str(text) for text in found if text)
        if isinstance(score := info.get("score"), int | float):
            self.quality = min(1.0, max(0.0, float(score)))
        return StepReport(
            number=self.steps,
            action="",
            reward=reward,
            done=self.terminated or self.truncated,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenAction:
    type: str
    parameters: JsonObject


class EpisodePlayer:
    """Plays episodes for one caller; holds nothing between them."""

    def __init__(self, mind: Mind, world: World, playbooks: Playbooks) -> None:
        self._mind = mind
        self._world = world
        self._playbooks = playbooks

    async def play(self, plan: EpisodePlan, report: EpisodeReport) -> AsyncGenerator[StepReport]:
        """Play one episode, filling ``report`` as it goes; the session is closed at the end."""
        task = f"Play an episode of {plan.environment}."
        rendered = await self._playbooks.render(plan.agent_id, task, task_id=plan.task_id)
        report.stamp = rendered.stamp
        opened = await self._world.call("environment.open", {"environment": plan.environment})
        session_id = str(opened["session_id"])
        try:
            async with aclosing(self._turns(plan, report, rendered, opened)) as turns:
                async for step in turns:
                    yield step
        finally:
            await self._world.call("environment.close", {"session_id": session_id})

    async def _turns(
        self, plan: EpisodePlan, report: EpisodeReport, rendered: Rendered, opened: JsonObject
    ) -> AsyncGenerator[StepReport]:
        session_id = str(opened["session_id"])
        space = action_space(opened)
        system = system_prompt(plan, opened, rendered)
        reset: JsonObject = {"session_id": session_id}
        if plan.seed is not None:
            reset["seed"] = plan.seed
        seen = await self._world.call("environment.reset", reset)
        observation, unreadable = seen.get("observation"), 0
        while report.steps < plan.max_steps and unreadable < MOST_UNREADABLE:
            thought = await self._mind.think(
                turn(system, observation),
                # The task's own, where it is one: that is how its trace finds what it cost.
                trace_id=plan.task_id or f"{plan.agent_id}:{session_id}",
            )
            report.thought(thought)
            action = read_action(thought.text, typed=is_typed(space))
            if action is None:
                unreadable += 1
                report.violations["The reply was not one JSON action"] += 1
                continue
            result = await self._act(session_id, action)
            step = report.outcome(result)
            observation = result.get("observation")
            yield StepReport(
                number=step.number, action=action.type, reward=step.reward, done=step.done
            )
            if step.done:
                return

    async def _act(self, session_id: str, action: ChosenAction) -> JsonObject:
        method = METHODS.get(action.type)
        if method is not None:
            return await self._world.call(method, {**action.parameters, "session_id": session_id})
        params: JsonObject = {
            "action": action.type,
            "parameters": action.parameters,
            "session_id": session_id,
        }
        return await self._world.call("task.execute", params)


def action_space(opened: JsonObject) -> JsonObject:
    """The JSON Schema of the environment's actions; empty where it gives none."""
    match opened:
        case {"environment": {"action_space": dict(space)}}:
            return space
        case _:
            return {}


def is_typed(space: JsonObject) -> bool:
    """Whether actions are told apart by a member ``type``, at the top or in every alternative."""
    properties = space.get("properties")
    if isinstance(properties, dict):
        return "type" in properties and "parameters" in properties
    branches = space.get("oneOf", space.get("anyOf"))
    if not isinstance(branches, list):
        return True
    return all(isinstance(branch, dict) and is_typed(branch) for branch in branches)


def system_prompt(plan: EpisodePlan, opened: JsonObject, rendered: Rendered) -> str:
    """Static parts first, so that a provider's prefix cache serves all turns and episodes."""
    info = opened.get("environment")
    info = info if isinstance(info, dict) else {}
    space = action_space(opened)
    return SYSTEM.format(
        agent_id=plan.agent_id,
        name=plan.environment,
        description=info.get("description") or "",
        form=TYPED_FORM if is_typed(space) else "",
        schema=dumps(space).decode(),
        playbook=f"\n{rendered.text}" if rendered.text else "",
    )


def turn(system: str, observation: JsonValue) -> Messages:
    return (
        {"role": "system", "content": system},
        {"role": "user", "content": f"Observation:\n{dumps(observation).decode()}"},
    )


def read_action(text: str, *, typed: bool = True) -> ChosenAction | None:
    """The first JSON object in a model's reply that is an action; None when there is none."""
    decoder = json.JSONDecoder()
    start = text.find("{")
    while start != -1:
        try:
            value, _ = decoder.raw_decode(text, start)
            dumps(value)
        except (ValueError, TypeError, RecursionError):
            # Not JSON, or nothing that could be sent: too deep, lone surrogates, endless numbers.
            value = None
        if isinstance(value, dict) and (action := _action(value, typed=typed)) is not None:
            return action
        start = text.find("{", start + 1)
    return None


def _action(value: JsonObject, *, typed: bool) -> ChosenAction | None:
    kind, parameters = value.get("type"), value.get("parameters", {})
    if isinstance(kind, str) and (typed or "parameters" in value):
        return ChosenAction(
            type=kind, parameters=parameters if isinstance(parameters, dict) else {}
        )
    return None if typed else ChosenAction(type=PLAIN, parameters=value)


def _number(value: JsonValue) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
