from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from agentcore.a2a_protocol.models.handover import Handover, Hop
from agentcore.a2a_protocol.models.task import Part
from agentcore.a2a_protocol.ports import InboundMessage
from agentcore.a2a_protocol.tasks.handle import Run
from agentcore.agents.playbook_agent import AGENT_ID, PlaybookAgent, handed_context, own_id
from agentcore.agents.ports import Messages, Thought
from agentcore.kit.errors import Unavailable
from agentcore.kit.jsonvalue import JsonObject
from agentcore.kit.security import Principal
from tests.fakes.agent_doors import FixedPlaybooks, ScriptedMind, ScriptedWorld

ACTION = '{"type": "go", "parameters": {}}'
ANN = Principal(subject="ann", tenant="acme", scopes=frozenset({"a2a"}))


@dataclass
class RecordedTask:
    """What an agent did with its task."""

    task_id: str = "task-1"
    context_id: str = "context-1"
    cancelled: bool = False
    said: list[str] = field(default_factory=list)
    artifacts: list[JsonObject] = field(default_factory=list)
    ended: tuple[str, object] | None = None
    run: Run = field(default_factory=lambda: Run(task_id="task-1", agent_id=AGENT_ID, began=0))

    def __post_init__(self) -> None:
        self.report = self.run.report

    async def progress(self, text: str) -> None:
        self.said.append(text)

    async def artifact(self, name: str, *parts: Part | str | JsonObject) -> None:
        self.artifacts.extend(part for part in parts if isinstance(part, dict))

    async def append(self, name: str, *parts: Part | str | JsonObject, last: bool = False) -> None:
        await self.artifact(name, *parts)

    async def ask(self, question: str) -> None:
        self.ended = ("asked", question)

    async def ask_authorization(self, text: str) -> None:
        self.ended = ("asked", text)

    async def shown(self, playbook: JsonObject) -> None:
        self.report(playbook=playbook)

    async def complete(self, result: str | JsonObject | None = None) -> None:
        self.ended = ("completed", result)

    async def fail(self, reason: str) -> None:
        self.ended = ("failed", reason)

    async def reject(self, reason: str) -> None:
        self.ended = ("rejected", reason)

    async def relay(self, event: JsonObject) -> None:
        self.artifacts.append(event)


def message(text: str = "", data: JsonObject | None = None) -> InboundMessage:
    return InboundMessage(
        message_id="m1",
        text=text,
        data=(data,) if data else (),
        parts=(),
        metadata={},
        context_id="context-1",
        task_id="task-1",
        agent_id=AGENT_ID,
        principal=ANN,
    )


def agent(
    mind: ScriptedMind, world: ScriptedWorld, playbooks: FixedPlaybooks | None = None
) -> PlaybookAgent:
    known = FixedPlaybooks("## PLAYBOOK\n- [b1] rule") if playbooks is None else playbooks
    return PlaybookAgent(minds=lambda _: mind, worlds=lambda _: world, playbooks=lambda _: known)


async def test_a_play_request_is_played_and_reported() -> None:
    step: JsonObject = {"observation": {}, "reward": 1.0, "info": {}}
    last: JsonObject = {**step, "terminated": True, "info": {"score": 1.0}}
    world, task = ScriptedWorld([step] * 6 + [last]), RecordedTask()
    playbooks = FixedPlaybooks()
    request: JsonObject = {"play": {"environment": "test", "seed": 4}}
    await agent(ScriptedMind(ACTION), world, playbooks).handle(message(data=request), task)
    assert task.ended == ("completed", "reward 7.00 in 7 steps")
    assert task.said == ["step 5: go, reward so far 5.00"]
    assert task.artifacts[0]["seed"] == 4
    assert task.run.tokens == 70
    assert task.run.output_quality == 1.0
    assert playbooks.asked == [own_id("acme")], "each tenant learns for itself"


async def test_a_private_callers_task_says_so_whatever_becomes_of_it() -> None:
    task = RecordedTask()
    asked = replace(message(data={"play": "nonsense"}), principal=replace(ANN, private=True))
    await agent(ScriptedMind(ACTION), ScriptedWorld([])).handle(asked, task)
    assert task.run.metadata == {"private": True}


async def test_an_episode_without_success_fails_the_task_with_its_reasons() -> None:
    bad: JsonObject = {
        "reward": -1.0,
        "terminated": True,
        "info": {"violations": ["Task not found"]},
    }
    task = RecordedTask()
    request: JsonObject = {"play": {"environment": "test"}}
    await agent(ScriptedMind(ACTION), ScriptedWorld([bad])).handle(message(data=request), task)
    assert task.ended is not None
    assert task.ended[0] == "failed"
    assert "Task not found (x1)" in str(task.ended[1])


async def test_an_episode_that_breaks_off_still_tells_what_it_cost() -> None:
    class DyingWorld(ScriptedWorld):
        async def call(self, method: str, params: JsonObject) -> JsonObject:
            if self.methods().count("task.execute") == 2:
                raise Unavailable("the environment is gone")
            return await super().call(method, params)

    task = RecordedTask()
    world = DyingWorld([{"observation": {}, "reward": 1.0, "info": {}}] * 2)
    request: JsonObject = {"play": {"environment": "test"}}
    await agent(ScriptedMind(ACTION), world).handle(message(data=request), task)
    assert task.ended == ("failed", "the environment is gone")
    assert task.run.tokens == 30


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({"environment": "test", "seed": -1}, "seed: "),
        ({"environment": "test", "speed": 1}, "speed: "),
        ({}, "environment: "),
        ("all", "valid"),
    ],
)
async def test_a_wrong_request_says_what_is_wrong(request_: Any, said: str) -> None:
    task = RecordedTask()
    request: JsonObject = {"play": request_}
    await agent(ScriptedMind(ACTION), ScriptedWorld([])).handle(message(data=request), task)
    assert task.ended is not None
    assert task.ended[0] == "failed"
    assert said in str(task.ended[1])


async def test_a_text_is_answered_from_the_playbook() -> None:
    mind, task = ScriptedMind("Forty-two."), RecordedTask()
    await agent(mind, ScriptedWorld([])).handle(message("What is the answer?"), task)
    assert task.ended == ("completed", "Forty-two.")
    assert "- [b1] rule" in str(mind.prompts[0][0]["content"])
    assert task.run.playbook == {"version": 3}


async def test_a_task_that_fails_behind_the_render_has_its_stamp() -> None:
    class Speechless(ScriptedMind):
        async def think(self, messages: Messages, *, trace_id: str) -> Thought:
            raise Unavailable("no model answers")

    task = RecordedTask()
    await agent(Speechless(""), ScriptedWorld([])).handle(message("What is the answer?"), task)
    assert task.ended is not None
    assert task.ended[0] == "failed"
    assert task.run.playbook == {"version": 3}


def test_what_is_handed_on_reaches_the_prompt_within_limits() -> None:
    chain = tuple(Hop(installation="here", agent=name) for name in ("boss", AGENT_ID))
    long = Handover(chain=chain, playbook={"text": "x" * 20_000})
    assert "from boss" in handed_context(long)
    assert len(handed_context(long)) < 9000
    for nothing in (Handover(chain=chain), Handover(chain=chain, playbook={"stamp": {}})):
        assert handed_context(nothing) == ""
    assert handed_context(Handover(chain=chain[1:], playbook={"text": "x"})) == ""
