from __future__ import annotations

import json

import pytest

from agentcore.ace.models import ContextPlaybook, ExecutionTrace
from agentcore.ace.ops import Add, apply
from agentcore.ace.prompt import DELTA_GENERATION_PROMPT, compose
from agentcore.ace.token_estimate import estimated_tokens
from agentcore.kit.jsonvalue import JsonObject
from tests.fakes.playbooks import NOW, made_playbook


def playbook(content: JsonObject, bullets: int = 0) -> ContextPlaybook:
    lessons = [Add(section="checks", text=f"Lesson {n} " + "word " * 20) for n in range(bullets)]
    return made_playbook(content, lessons, version=4, agent_id="secret-agent")


def traces(count: int, *bullets: str, error: str = "missing field 'to'") -> list[ExecutionTrace]:
    return [
        ExecutionTrace(
            trace_id=f"id-{n}",
            agent_id="secret-agent",
            task_id="task",
            execution_time=1,
            success=False,
            error_message=f"{error} in step {n}",
            metadata={"playbook": {"playbook_id": "p", "bullets": list(bullets)}},
            captured_at=NOW,
        )
        for n in range(count)
    ]


def test_prompt_construction() -> None:
    prompt = compose(
        playbook({"goals": ["win"]}, 2), traces(3), token_budget=3072, max_deltas=5
    ).text
    assert "(last 3)" in prompt
    assert "missing field 'to' in step 2" in prompt
    assert '"id":"b1","text":"Lesson 0' in prompt
    assert "win" in prompt
    assert '"deltas"' in prompt
    assert "secret-agent" not in prompt
    lines = [json.loads(line) for line in prompt.splitlines() if line.startswith('{"trace_id"')]
    assert [line["trace_id"] for line in lines] == ["t1", "t2", "t3"]


@pytest.mark.parametrize("budget", [900, 1500, 3072, 12_000])
def test_the_prompt_stays_within_its_budget_whatever_there_is(budget: int) -> None:
    grown = playbook({"notes": "n" * 5000}, 300)
    prompt = compose(grown, traces(500), token_budget=budget, max_deltas=5)
    assert prompt.tokens <= budget
    assert len(prompt.digests) > 3
    assert '"bullets":300' in prompt.text


def test_bullets_that_the_traces_were_shown_come_first() -> None:
    prompt = compose(playbook({}, 300), traces(2, "b250"), token_budget=900, max_deltas=5)
    assert '"id":"b250"' in prompt.text
    assert '"id":"b200"' not in prompt.text


@pytest.mark.parametrize("where", ["error", "goal", "key", "section", "bullet"])
def test_no_pii_in_prompts(where: str) -> None:
    mail = "jane@example.com"
    said = dict.fromkeys(("error", "goal", "key", "section", "bullet"), "go")
    said[where] = f"ask {mail} now"
    book = playbook({said["key"]: [said["goal"]], "password": "geheim"})
    content = apply(
        book.content, [Add(section=said["section"], text=said["bullet"])], version=2
    ).content
    prompt = compose(
        book.model_copy(update={"content": content}),
        traces(1, error=said["error"]),
        token_budget=3072,
        max_deltas=5,
    )
    assert mail not in prompt.text
    assert "geheim" not in prompt.text
    assert "[e-mail address]" in prompt.text


def test_the_same_input_has_the_same_hash() -> None:
    one, two = (compose(playbook({}), traces(2), token_budget=900, max_deltas=5) for _ in "ab")
    assert one.hash == two.hash
    assert estimated_tokens(DELTA_GENERATION_PROMPT) < 600
