from __future__ import annotations

import json
from typing import Any

import pytest

from agentcore.kit.jsonvalue import JsonObject
from agentcore.simulators.lessons import BY_MISTAKE
from agentcore.simulators.prompt import Message, Prompt
from agentcore.simulators.reflector import MAX_DELTAS, reflect, traces_in

ASK = """Answer with JSON only: {"deltas": [{"changes": {"ops": [{"op": "ADD", "section":
"strategies", "text": "Prefer the most reliable agent", "evidence": []}]}, "confidence": 0.8}]}"""
PLAIN_ASK = '{"deltas": [{"changes": {"key": "new_value"}, "confidence": 0.85}]}'
CAPABILITIES = "Protocol violation: missing capabilities"
INCAPABLE = "Target agent cannot handle task"


def trace(number: int = 1, /, *, error: str | None = None, **violations: int) -> JsonObject:
    notes: JsonObject = {
        {"capabilities": CAPABILITIES, "incapable": INCAPABLE}.get(name, name): count
        for name, count in violations.items()
    }
    return {
        "trace_id": f"trace-{number}",
        "success": False,
        "error_message": error,
        "output_quality": 0.1,
        "metadata": {"environment": "a2a_protocol_test", "steps": 9, "violations": notes},
    }


def answer(traces: list[JsonObject], playbook: str = "", ask: str = ASK) -> list[Any]:
    text = f"{playbook}\n## Traces\n{json.dumps(traces)}\n{ask}"
    prompt = Prompt((Message("system", "You improve playbooks."), Message("user", text)))
    found = traces_in(prompt)
    assert found is not None
    deltas = reflect(prompt, found)["deltas"]
    assert isinstance(deltas, list)
    return deltas


def text_of(delta: Any) -> str:
    return str(delta["changes"]["ops"][0]["text"])


def test_the_most_frequent_failure_becomes_the_first_rule() -> None:
    deltas = answer([trace(1, capabilities=1, incapable=3), trace(2, capabilities=1)])
    rules = [text_of(delta) for delta in deltas]
    assert rules == [BY_MISTAKE["incapable_agent"].rule, BY_MISTAKE["bare_discovery"].rule]


def test_a_delta_is_an_operation_with_quotes_from_the_traces() -> None:
    (delta,) = answer([trace(n, capabilities=2) for n in range(5)])
    (op,) = delta["changes"]["ops"]
    assert op["op"] == "ADD"
    assert op["section"] == "strategies"
    assert op["evidence"] == [{"trace_id": f"trace-{n}", "quote": CAPABILITIES} for n in range(3)]
    assert delta["confidence"] == 0.85
    assert "10 failures in 5 traces" in delta["reasoning"]


def test_one_sighting_is_not_enough_to_be_sure() -> None:
    assert answer([trace(capabilities=9)])[0]["confidence"] < 0.7
    assert answer([trace(1, capabilities=9), trace(2, capabilities=1)])[0]["confidence"] >= 0.7
    assert answer([trace(n, capabilities=1) for n in range(50)])[0]["confidence"] == 0.95


@pytest.mark.parametrize(
    "playbook",
    [
        "## PLAYBOOK\n- [b-1] Never call discover_agents without capabilities.",
        (
            '{"playbook": {"sections": {"s": [{"id": "b-1", "text": "Send the capabilities '
            'you need with discover_agents"}]}}}'
        ),
        '{"strategies": ["Discovery must name capabilities"]}',
    ],
)
def test_what_the_playbook_already_says_is_not_learned_again(playbook: str) -> None:
    assert answer([trace(1, capabilities=9, incapable=1)], playbook) == answer(
        [trace(1, incapable=1)]
    )


def test_the_prompts_own_example_is_no_rule() -> None:
    (delta,) = answer([trace(error="Task execution failed")])
    assert text_of(delta) == BY_MISTAKE["unreliable_agent"].rule


def test_nothing_to_learn_is_an_answer() -> None:
    assert answer([trace(), trace(2, error="The reply was not one JSON action")]) == []


def test_not_more_than_two_at_once() -> None:
    both = trace(1, error="Task not found", capabilities=1, incapable=1)
    assert len(answer([both])) == MAX_DELTAS


def test_a_prompt_without_operations_gets_plain_changes() -> None:
    (delta,) = answer([trace(capabilities=1)], ask=PLAIN_ASK)
    assert delta["changes"] == {"strategies": [BY_MISTAKE["bare_discovery"].rule]}


@pytest.mark.parametrize(
    "found",
    [
        {"violations": [CAPABILITIES, CAPABILITIES]},
        {"violations": {CAPABILITIES: 2}},
        {"notes": [{"text": CAPABILITIES}, {"text": CAPABILITIES}]},
        {"failures": {CAPABILITIES: {"count": 2}, "why": CAPABILITIES}, "more": CAPABILITIES},
    ],
)
def test_failures_are_counted_in_any_form(found: JsonObject) -> None:
    (delta,) = answer([{**trace(), "metadata": found}])
    assert delta["reasoning"].startswith("2 failures in 1 traces")


def test_a_quote_is_a_part_of_the_traces_json_whatever_surrounds_it() -> None:
    noisy = trace(error='He said "Target agent cannot handle task" and left\n')
    (delta,) = answer([noisy])
    quote = delta["changes"]["ops"][0]["evidence"][0]["quote"]
    assert quote in json.dumps(noisy)
    assert "cannot handle task" in quote


@pytest.mark.parametrize(
    "text",
    [
        f"Just traces: {json.dumps([trace()])}",
        f"{ASK} but no traces",
        f"{ASK} []",
    ],
)
def test_no_reflection_without_traces_and_a_wish_for_deltas(text: str) -> None:
    assert traces_in(Prompt((Message("user", text),))) is None


def test_traces_in_lines_and_in_members_are_read_too() -> None:
    lines = "\n".join(json.dumps(trace(n)) for n in range(3))
    wrapped = json.dumps({"traces": [trace(3), trace(4)]})
    found = traces_in(Prompt((Message("user", f"{lines}\n{wrapped}\n{ASK}"),)))
    assert found is not None
    assert [t["trace_id"] for t in found] == [f"trace-{n}" for n in range(5)]


def test_asked_for_reflections_it_says_where_it_saw_them() -> None:
    traces = [trace(n, capabilities=2) for n in range(3)]
    text = f'{json.dumps(traces)} Answer with {{"reflections": []}}'
    prompt = Prompt((Message("user", text),))
    found = traces_in(prompt)
    assert found is not None
    said: dict[str, Any] = reflect(prompt, found)
    (reflection,) = said["reflections"]
    assert reflection["key_insight"] == BY_MISTAKE["bare_discovery"].rule
    assert reflection["evidence"] == [
        {"trace_id": f"trace-{n}", "quote": CAPABILITIES} for n in range(3)
    ]
