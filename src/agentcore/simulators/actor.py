"""ACT: one step of the ``a2a_protocol_test`` environment, as well as the rules at hand allow.

The policy is that of a capable model which was never told the protocol's small print. It knows
what to do next (answer, discover, delegate); each lesson of the table that no rule taught it, it
gets wrong at the lesson's rate.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import orjson

from agentcore.kit.jsonvalue import JsonObject, JsonValue
from agentcore.simulators.dice import Dice
from agentcore.simulators.lessons import BY_MISTAKE, Knowledge, Mistake
from agentcore.simulators.prompt import Prompt, json_values, objects

OBSERVATION_KEYS = frozenset({"available_agents", "pending_tasks"})
REDISCOVERY_RATE = 0.2
UNKNOWN_ACTION = "query_status"

_ARITHMETIC = re.compile(
    r"\b(?P<operation>sum|maximum|minimum) of \[(?P<values>-?\d+(?:\s*,\s*-?\d+)*)\]"
)
_OPERATIONS: dict[str, Callable[[list[int]], int]] = {"sum": sum, "maximum": max, "minimum": min}


def observation_in(prompt: Prompt) -> JsonObject | None:
    """The newest observation in the question, however deep it is wrapped."""
    question = prompt.question
    if '"pending_tasks"' not in question:
        return None
    found: JsonObject | None = None
    for value in json_values(question):
        found = next((o for o in objects(value) if o.keys() >= OBSERVATION_KEYS), found)
    return found


def act(
    observation: JsonObject, knowledge: Knowledge, *, seed: int, slip_rate: float
) -> JsonObject:
    """The action that the model takes; equal arguments give the equal action."""
    return _Step(observation, knowledge, seed=seed, slip_rate=slip_rate).action()


class _Step:
    def __init__(
        self, observation: JsonObject, knowledge: Knowledge, *, seed: int, slip_rate: float
    ) -> None:
        situation = orjson.dumps(observation, option=orjson.OPT_SORT_KEYS)
        self._dice = Dice(seed, situation)
        self._knowledge = knowledge
        self._forgetful = self._dice.chance("slip") < slip_rate
        self._agents = _rows(observation.get("available_agents"))
        self._tasks = _rows(observation.get("pending_tasks"))
        self._messages = _rows(observation.get("message_queue"))
        state = observation.get("protocol_state")
        self._state: JsonObject = state if isinstance(state, dict) else {}

    def action(self) -> JsonObject:
        request = next((m for m in self._messages if _is_open_request(m)), None)
        if request is not None and not self._errs("ignored_request"):
            return _respond(request)
        if self._errs("unknown_action"):
            return _action(UNKNOWN_ACTION, {"task_id": _text(self._tasks, "id")})
        if self._wants_discovery() or not self._tasks:
            return self._discover()
        return self._delegate()

    def _errs(self, mistake: Mistake) -> bool:
        """Whether this step makes ``mistake``: ordered to, untaught and unlucky, or forgetful."""
        if mistake in self._knowledge.ordered:
            return True
        if mistake in self._knowledge.learned and not self._forgetful:
            return False
        return self._dice.chance(mistake) < BY_MISTAKE[mistake].rate

    def _wants_discovery(self) -> bool:
        if not self._agents:
            return True
        if any(_kind(m) == "discovery_response" for m in self._messages):
            return False
        step = self._state.get("step", 0)
        return step == 0 or (
            "bare_discovery" not in self._knowledge.learned
            and self._dice.chance("rediscovery") < REDISCOVERY_RATE
        )

    def _discover(self) -> JsonObject:
        if self._errs("bare_discovery"):
            return _action("discover_agents", {})
        wanted = sorted({str(task.get("type")) for task in self._tasks if task.get("type")})
        return _action("discover_agents", {"capabilities": list[JsonValue](wanted or ["any"])})

    def _delegate(self) -> JsonObject:
        task = self._task()
        task_id = str(task.get("id"))
        parameters: JsonObject = {"task_id": task_id, "target_agent": self._target(task)}
        if not self._errs("incomplete_delegation"):
            parameters["message"] = self._message(task)
        return _action("delegate_task", parameters)

    def _task(self) -> JsonObject:
        if self._errs("stale_task"):
            done = [m for m in self._messages if _kind(m) == "task_response"]
            finished = str(done[-1].get("task_id")) if done else f"task-{len(self._tasks) + 90}"
            return {"id": finished, "type": None}
        return self._tasks[0]

    def _target(self, task: JsonObject) -> str:
        if self._knowledge.fixed_agent:
            return self._knowledge.fixed_agent
        if self._errs("invented_agent"):
            return f"{task.get('type') or 'worker'}-agent"
        able = [agent for agent in self._agents if task.get("type") in _capabilities(agent)]
        if not able or self._errs("incapable_agent"):
            return _text(self._agents, "id")
        if self._errs("unreliable_agent"):
            return _text(able, "id")
        return str(max(able, key=_success_rate).get("id"))

    def _message(self, task: JsonObject) -> JsonObject:
        request = f"Please execute {task.get('id')} ({task.get('type')})."
        if self._errs("loose_message"):
            return {"text": request}
        return {
            "messageId": f"msg-{self._dice.number('message'):016x}",
            "role": "ROLE_USER",
            "parts": [{"text": request}],
        }


def _action(kind: str, parameters: JsonObject) -> JsonObject:
    return {"type": kind, "parameters": parameters}


def _respond(request: JsonObject) -> JsonObject:
    task_id = str(request.get("task_id") or request.get("id"))
    value = _solution(request)
    result: JsonObject = {"summary": f"{task_id} is done."} if value is None else {"value": value}
    return _action("respond_to_task", {"task_id": task_id, "status": "success", "result": result})


def _solution(request: JsonObject) -> int | None:
    """The sum, maximum or minimum that the request's text asks for; None where it asks for none."""
    texts = (part["text"] for part in objects(request) if isinstance(part.get("text"), str))
    for text in texts:
        if asked := _ARITHMETIC.search(str(text)):
            return _OPERATIONS[asked["operation"]]([int(n) for n in asked["values"].split(",")])
    return None


def _is_open_request(message: JsonObject) -> bool:
    if "request" not in _kind(message) or not (message.get("task_id") or message.get("id")):
        return False
    return not message.get("answered") and message.get("status") in {None, "pending", "open"}


def _rows(value: JsonValue) -> list[JsonObject]:
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


def _kind(message: JsonObject) -> str:
    return str(message.get("type") or message.get("kind") or "")


def _text(rows: Sequence[JsonObject], key: str) -> str:
    return str(rows[0].get(key)) if rows else ""


def _capabilities(agent: JsonObject) -> list[JsonValue]:
    capabilities = agent.get("capabilities")
    return capabilities if isinstance(capabilities, list) else []


def _success_rate(agent: JsonObject) -> float:
    rate = agent.get("success_rate")
    return float(rate) if isinstance(rate, int | float) else 0.0
