from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcore.simulators.lessons import BY_MISTAKE, LESSONS
from agentcore.simulators.model import ScriptedModel
from agentcore.simulators.prompt import Message
from tests.unit.simulators.conftest import Observe

MODEL = ScriptedModel("simulated/test", seed=0, slip_rate=0)
PLAYBOOK = "## PLAYBOOK\n" + "\n".join(f"- [b-{n}] {x.rule}" for n, x in enumerate(LESSONS))


def ask(*contents: str) -> tuple[Message, ...]:
    roles = ["system"] * (len(contents) - 1) + ["user"]
    return tuple(Message(role, content) for role, content in zip(roles, contents, strict=True))


def test_an_observation_is_acted_on_with_the_rules_of_the_prompt(observe: Observe) -> None:
    question = json.dumps(observe())
    ruled = MODEL.reply(ask(f"Play.\n{PLAYBOOK}", question))
    assert ruled.behaviour == "act"
    assert json.loads(ruled.text)["parameters"]["target_agent"] == "agent-2"
    assert MODEL.reply(ask("Play.", question)) != ruled


def test_rules_may_stand_in_the_question_itself(observe: Observe) -> None:
    question = json.dumps(observe())
    apart = MODEL.reply(ask(PLAYBOOK, question))
    assert MODEL.reply(ask(f"{PLAYBOOK}\n{question}")) == apart


def test_equal_prompts_get_equal_replies_and_seeds_differ(observe: Observe) -> None:
    other = ScriptedModel("simulated/test", seed=1, slip_rate=0)
    replies = [MODEL.reply(ask("Play.", json.dumps(observe(n)))).text for n in range(30)]
    assert replies == [MODEL.reply(ask("Play.", json.dumps(observe(n)))).text for n in range(30)]
    assert replies != [other.reply(ask("Play.", json.dumps(observe(n)))).text for n in range(30)]


def test_traces_are_reflected_on_even_when_they_show_observations(observe: Observe) -> None:
    trace = {
        "trace_id": "t-1",
        "success": False,
        "error_message": "Task not found",
        "metadata": {"last_observation": observe()},
    }
    reply = MODEL.reply(ask(f'Traces: {json.dumps([trace])} Give {{"deltas": [{{"ops": []}}]}}'))
    assert reply.behaviour == "reflect"
    (delta,) = json.loads(reply.text)["deltas"]
    assert delta["changes"]["ops"][0]["text"] == BY_MISTAKE["stale_task"].rule


def test_another_environments_schema_gets_an_instance() -> None:
    schema = {"properties": {"type": {"const": "guess"}, "parameters": {"type": "object"}}}
    reply = MODEL.reply(ask(f"Act by {json.dumps(schema)}", 'Observation: {"hint": "higher"}'))
    assert reply.behaviour == "schema"
    assert json.loads(reply.text) == {"type": "guess", "parameters": {}}


def test_chat_says_what_it_is_and_what_it_received() -> None:
    reply = MODEL.reply(ask("Be kind.", "What is\n the capital of France?"))
    assert reply.behaviour == "chat"
    assert "simulated/test" in reply.text
    assert "no real answer" in reply.text
    assert reply.text.endswith("What is the capital of France?")


def test_a_long_question_is_cut_in_the_echo() -> None:
    assert len(MODEL.reply(ask("x " * 10_000)).text) < 500


@pytest.mark.parametrize("messages", [(), (Message("assistant", "I"),), (Message("user", ""),)])
def test_empty_prompts_are_chat(messages: tuple[Message, ...]) -> None:
    assert MODEL.reply(messages).behaviour == "chat"


@given(st.lists(st.text(alphabet='{}[]":,ab#- \n1', max_size=80), max_size=4))
def test_no_text_breaks_it(contents: list[str]) -> None:
    marked = [f'"deltas" "pending_tasks" {content}' for content in contents]
    assert MODEL.reply(tuple(Message("user", content) for content in marked)).text
