"""The seam: the model understands the prompts that AgentCore's own packages write."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from agentcore.ace.grounding import grounded
from agentcore.ace.models import ContextPlaybook, ExecutionTrace
from agentcore.ace.prompt import compose
from agentcore.ace.rendering import render
from agentcore.agents.episode import EpisodePlan, system_prompt, turn
from agentcore.agents.ports import Rendered
from agentcore.kit.jsonvalue import JsonObject
from agentcore.simulators.lessons import BY_MISTAKE, LESSONS
from agentcore.simulators.model import ScriptedModel
from agentcore.simulators.prompt import Message
from agentcore.training.openenv.environments.a2a_protocol_test import A2AProtocolTestEnv
from tests.unit.simulators.conftest import Observe

MODEL = ScriptedModel("simulated/test", seed=0, slip_rate=0)
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def playbook_with(*rules: str) -> ContextPlaybook:
    bullets = [{"id": f"b-{n}", "text": rule} for n, rule in enumerate(rules, start=1)]
    content = {
        "goals": ["Complete all tasks."],
        "playbook": {
            "schema": "ace/1",
            "next_id": len(bullets) + 1,
            "sections": {"strategies": bullets},
        },
    }
    return ContextPlaybook.model_validate(
        {
            "playbook_id": "00000000-0000-0000-0000-000000000001",
            "agent_id": "player",
            "version": 1,
            "content": content,
            "created_at": NOW,
            "updated_at": NOW,
        }
    )


def trace(number: int, violations: dict[str, int]) -> ExecutionTrace:
    return ExecutionTrace.model_validate(
        {
            "trace_id": f"00000000-0000-0000-0000-0000000000{number:02}",
            "agent_id": "player",
            "task_id": "episode",
            "execution_time": 1.0,
            "success": False,
            "error_message": "ended after 9 steps with reward -2.00",
            "metadata": {"environment": "a2a_protocol_test", "violations": violations},
            "captured_at": NOW,
        }
    )


def test_an_episodes_prompt_is_played_by_its_playbook(observe: Observe) -> None:
    env = A2AProtocolTestEnv()
    opened: JsonObject = {
        "info": {"description": env.description, "action_space": env.action_space()}
    }
    plan = EpisodePlan(agent_id="player", environment="a2a_protocol_test")
    targets: dict[int, list[object]] = {}
    for rules in ((), tuple(lesson.rule for lesson in LESSONS)):
        text = render(playbook_with(*rules), task_text="", token_budget=2000).text
        system = system_prompt(plan, opened, Rendered(text=text, stamp=None))
        for step in range(1, 20):
            messages = turn(system, observe(step))
            reply = MODEL.reply(tuple(Message(str(m["role"]), str(m["content"])) for m in messages))
            assert reply.behaviour == "act"
            action = json.loads(reply.text)
            targets.setdefault(len(rules), []).append(action["parameters"].get("target_agent"))
    assert set(targets[len(LESSONS)]) == {"agent-2"}
    assert set(targets[0]) != {"agent-2"}


def test_the_prompt_for_deltas_gets_rules_with_evidence_that_holds() -> None:
    known = BY_MISTAKE["bare_discovery"].rule
    notes = {"Protocol violation: missing capabilities": 9, "Target agent cannot handle task": 2}
    prompt = compose(
        playbook_with(known),
        [trace(n, notes) for n in range(4)],
        token_budget=3000,
        max_deltas=5,
    )
    reply = MODEL.reply((Message("user", prompt.text),))
    assert reply.behaviour == "reflect"
    (delta,) = json.loads(reply.text)["deltas"]
    assert delta["confidence"] >= 0.7
    changes = json.loads(json.dumps(grounded(delta, prompt.digests)))
    (operation,) = changes["ops"]
    assert operation["text"] == BY_MISTAKE["incapable_agent"].rule
    assert operation["evidence"]
