from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcore.agents.episode import (
    MOST_STEPS,
    MOST_UNREADABLE,
    EpisodePlan,
    EpisodePlayer,
    EpisodeReport,
    is_typed,
    read_action,
)
from agentcore.kit.errors import AgentCoreError, Unavailable
from agentcore.kit.jsonvalue import JsonObject, JsonValue
from tests.fakes.agent_doors import FixedPlaybooks, ScriptedMind, ScriptedWorld

DELEGATE = (
    '{"type": "delegate_task", "parameters": {"task_id": "t", "target_agent": "a", "message": {}}}'
)
RESPOND = '{"type": "respond_to_task", "parameters": {"status": "success"}}'


def result(reward: float, *, done: bool = False, **info: JsonValue) -> JsonObject:
    return {
        "observation": {"n": 1},
        "reward": reward,
        "terminated": done,
        "truncated": False,
        "info": {**info},
    }


async def play(
    mind: ScriptedMind, world: ScriptedWorld, playbook: str = "", max_steps: int = MOST_STEPS
) -> EpisodeReport:
    plan = EpisodePlan(agent_id="agent", environment="test", seed=0, max_steps=max_steps)
    report = EpisodeReport(plan)
    player = EpisodePlayer(mind, world, FixedPlaybooks(playbook))
    async for _ in player.play(report.plan, report):
        pass
    return report


async def test_actions_travel_as_the_methods_that_mean_them() -> None:
    world = ScriptedWorld([result(0.5), result(2.0), result(1.0, done=True)])
    discover = '{"type": "discover_agents", "parameters": {"capabilities": ["x"]}}'
    report = await play(ScriptedMind(discover, DELEGATE, RESPOND), world)
    assert world.methods() == [
        "environment.open",
        "environment.reset",
        "agent.discover",
        "agent.delegate",
        "task.execute",
        "environment.close",
    ]
    assert world.calls[1][1]["seed"] == 0, "0 is a seed"
    assert world.calls[3][1]["target_agent"] == "a"
    assert world.calls[4][1]["action"] == "respond_to_task"
    assert world.calls[4][1]["parameters"] == {"status": "success"}
    assert (report.steps, report.reward, report.terminated) == (3, 3.5, True)


async def test_the_playbook_stands_in_the_prompt_and_its_stamp_in_the_report() -> None:
    mind = ScriptedMind(RESPOND)
    report = await play(mind, ScriptedWorld([result(1, done=True)]), "## PLAYBOOK\n- [b1] rule")
    assert "## PLAYBOOK\n- [b1] rule" in str(mind.prompts[0][0]["content"])
    assert '"title":"Action"' in str(mind.prompts[0][0]["content"])
    assert str(mind.prompts[0][1]["content"]).endswith('{"n":0}')
    assert report.stamp == {"version": 3}


async def test_failures_and_costs_are_counted() -> None:
    steps = [
        result(-0.5, violations=["missing capabilities"]),
        result(-0.5, violations=["missing capabilities", "unknown task"]),
        result(0, done=True, score=0.25),
    ]
    report = await play(ScriptedMind(RESPOND), ScriptedWorld(steps))
    assert report.violations == {"missing capabilities": 2, "unknown task": 1}
    assert (report.tokens, report.cost_usd, report.quality) == (30, Decimal("0.003"), 0.25)
    assert not report.success
    assert report.error is not None
    assert "missing capabilities (x2)" in report.error
    metadata = report.metadata()
    assert (metadata["steps"], metadata["cost_usd"], metadata["seed"]) == (3, "0.003", 0)


async def test_an_unknown_price_stays_unknown() -> None:
    mind = ScriptedMind(RESPOND, cost=None)
    report = await play(mind, ScriptedWorld([result(1, done=True)]))
    assert report.metadata()["cost_usd"] is None


async def test_replies_that_are_no_action_end_the_episode_and_count() -> None:
    world = ScriptedWorld([])
    report = await play(ScriptedMind("I think I should wait."), world)
    assert report.violations == {"The reply was not one JSON action": MOST_UNREADABLE}
    assert world.methods()[-1] == "environment.close"
    assert not report.success


async def test_the_step_limit_holds() -> None:
    report = await play(ScriptedMind(RESPOND), ScriptedWorld([result(1)] * 9), max_steps=4)
    assert (report.steps, report.terminated) == (4, False)


async def test_the_session_is_closed_when_a_step_fails() -> None:
    class Broken(ScriptedWorld):
        async def call(self, method: str, params: JsonObject) -> JsonObject:
            if method == "task.execute":
                self.calls.append((method, params))
                raise Unavailable("gone")
            return await super().call(method, params)

    world = Broken([])
    with pytest.raises(AgentCoreError, match="gone"):
        await play(ScriptedMind(RESPOND), world)
    assert world.methods()[-1] == "environment.close"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('{"type": "a", "parameters": {"x": 1}}', "a"),
        ('```json\n{"type": "a"}\n```', "a"),
        ('Thinking {not json} then {"type": "b", "parameters": []} and {"type": "c"}', "b"),
        ('{"kind": "a"} {"type": "z"}', "z"),
        ('{"type": 1}', None),
        ("no action", None),
        ('{"type": "a", "parameters": {"x": "\\ud800"}}', None),
        ('{"type": "a", "parameters": {"x": %s}}' % ("9" * 40), None),
        ('{"type":' * 5000, None),
        ('{"type": "a", "parameters": {"x": ' + "[" * 3000, None),
        ('{"type": "a", "parameters": {"x": "\\ud800"}} {"type": "b"}', "b"),
        ("", None),
    ],
)
def test_the_first_object_with_a_type_is_the_action(text: str, kind: str | None) -> None:
    found = read_action(text)
    assert (found.type if found else None) == kind


@pytest.mark.parametrize(
    ("text", "parameters"),
    [
        ('{"message": "hi"}', {"message": "hi"}),
        ('{"type": "say", "parameters": {"message": "hi"}}', {"message": "hi"}),
        ('{"type": "loud"}', {"type": "loud"}),
    ],
)
def test_an_untyped_environment_gets_the_object_itself(text: str, parameters: JsonObject) -> None:
    found = read_action(text, typed=False)
    assert found is not None
    assert found.parameters == parameters


TYPED: JsonObject = {"properties": {"type": {}, "parameters": {}}}


@pytest.mark.parametrize(
    ("space", "typed"),
    [
        (TYPED, True),
        ({"properties": {"message": {}}}, False),
        ({"oneOf": [TYPED, TYPED]}, True),
        ({"anyOf": [TYPED, {"properties": {"x": {}}}]}, False),
        ({}, True),
    ],
)
def test_the_schema_says_how_actions_look(space: JsonObject, typed: bool) -> None:
    assert is_typed(space) is typed


@given(st.text(alphabet='{}[]":,type\\ a1', max_size=80))
def test_no_reply_breaks_the_reader(text: str) -> None:
    found = read_action(text)
    assert found is None or isinstance(found.parameters, dict)
