"""An agent's mind, world and playbooks as a test decides them."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from agentcore.agents.ports import Messages, Rendered, Thought
from agentcore.kit.errors import NotFound
from agentcore.kit.jsonvalue import JsonObject


class ScriptedMind:
    """Answers with the given texts in turn, the last one for ever."""

    def __init__(self, *texts: str, cost: Decimal | None = Decimal("0.001")) -> None:
        self._texts = list(texts)
        self._cost = cost
        self.prompts: list[Messages] = []

    async def think(self, messages: Messages, *, trace_id: str) -> Thought:
        self.prompts.append(messages)
        text = self._texts.pop(0) if len(self._texts) > 1 else self._texts[0]
        return Thought(text=text, tokens=10, cost_usd=self._cost, provider="scripted")


class ScriptedWorld:
    """An environment whose steps give the listed results; remembers every call."""

    def __init__(self, results: Iterable[JsonObject]) -> None:
        self._results = list(results)
        self.calls: list[tuple[str, JsonObject]] = []

    async def call(self, method: str, params: JsonObject) -> JsonObject:
        self.calls.append((method, params))
        if method == "environment.open":
            space: JsonObject = {"title": "Action"}
            return {
                "session_id": "s1",
                "environment": {"description": "A test.", "action_space": space},
            }
        if method == "environment.reset":
            return {"observation": {"n": 0}}
        if method == "environment.close":
            return {"closed": True}
        if params.get("session_id") != "s1":
            raise NotFound("no such session")
        return self._results.pop(0)

    def methods(self) -> list[str]:
        return [method for method, _ in self.calls]


class FixedPlaybooks:
    def __init__(self, text: str = "") -> None:
        self._text = text
        self.asked: list[str] = []
        self.tasks: list[str] = []

    async def render(self, agent_id: str, task: str, *, task_id: str = "") -> Rendered:
        self.asked.append(agent_id)
        self.tasks.append(task_id)
        return Rendered(text=self._text, stamp={"version": 3})
