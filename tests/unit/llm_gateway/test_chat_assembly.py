"""What is put together from a stream is what the plain answer would have said."""

from __future__ import annotations

import copy
import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from agentcore.llm_gateway.chat_assembly import Assembly

Json = dict[str, Any]
TEXT = st.text(max_size=12)
LOGPROB = st.fixed_dictionaries(
    {"token": TEXT, "logprob": st.floats(-9, 0), "top_logprobs": st.just([])}
)
CALL = st.fixed_dictionaries(
    {
        "id": st.text("abc123", min_size=1, max_size=6).map("call_".__add__),
        "type": st.just("function"),
        "function": st.fixed_dictionaries(
            {"name": st.text("xyz_", min_size=1, max_size=8), "arguments": TEXT}
        ),
    }
)
SPOKEN = st.fixed_dictionaries(
    {"role": st.just("assistant"), "content": TEXT},
    optional={"reasoning": TEXT, "reasoning_content": TEXT, "annotations": st.lists(LOGPROB)},
)
ACTED = st.fixed_dictionaries(
    {
        "role": st.just("assistant"),
        "content": st.none() | st.text(min_size=1, max_size=9),
        "tool_calls": st.lists(CALL, min_size=1, max_size=3),
    }
)
REFUSED = st.fixed_dictionaries(
    {
        "role": st.just("assistant"),
        "content": st.none(),
        "refusal": st.text(min_size=1, max_size=9),
    }
)
CHOICE = st.fixed_dictionaries(
    {
        "message": SPOKEN | ACTED | REFUSED,
        "finish_reason": st.sampled_from(["stop", "length", "tool_calls", "content_filter"]),
        "logprobs": st.none() | st.fixed_dictionaries({"content": st.lists(LOGPROB, max_size=4)}),
    },
    optional={"stop_reason": st.none() | st.integers() | TEXT},
)
USAGE = st.fixed_dictionaries(
    {"prompt_tokens": st.integers(0, 99), "completion_tokens": st.integers(0, 99)}
)
ANSWER = st.fixed_dictionaries(
    {
        "id": TEXT,
        "created": st.integers(0, 2**31),
        "model": TEXT,
        "choices": st.lists(CHOICE, min_size=1, max_size=3),
    },
    optional={
        "usage": USAGE,
        "system_fingerprint": st.none() | TEXT,
        "service_tier": TEXT,
        "unknown_member": TEXT,
    },
)


def pieces(text: str, dice: random.Random) -> list[str]:
    if len(text) < 2:
        return [text]
    cut = dice.randrange(1, len(text))
    return [text[:cut], *pieces(text[cut:], dice)] if dice.random() < 0.6 else [text]


def deltas(message: Json, dice: random.Random) -> list[Json]:
    """A message as servers stream it: the role first, each text in pieces."""
    parts: list[Json] = [{"role": message["role"], "content": ""}]
    for name, value in message.items():
        if name == "tool_calls":
            for index, call in enumerate(value):
                function = {**call["function"], "arguments": ""}
                parts.append({"tool_calls": [{**call, "index": index, "function": function}]})
                parts += [
                    {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}
                    for piece in pieces(call["function"]["arguments"], dice)
                ]
        elif isinstance(value, str) and name != "role":
            parts += [{name: piece} for piece in pieces(value, dice)]
        elif isinstance(value, list):
            parts += [{name: [item]} for item in value] or [{name: []}]
    return parts


def chunks(answer: Json, dice: random.Random) -> list[Json]:
    head = {name: answer[name] for name in answer if name not in {"choices", "usage"}}
    queues: list[list[Json]] = []
    for index, choice in enumerate(answer["choices"]):
        spoken: list[Json] = [
            {"index": index, "delta": delta, "finish_reason": None, "logprobs": None}
            for delta in deltas(choice["message"], dice)
        ]
        if choice["logprobs"] is not None:
            spoken[0]["logprobs"] = {"content": []}
            for each in choice["logprobs"]["content"]:
                part = {"index": index, "delta": {}, "logprobs": {"content": [each]}}
                spoken.insert(dice.randrange(1, len(spoken) + 1), part)
            spoken = in_order_of_logprobs(spoken, choice["logprobs"]["content"])
        last = {name: value for name, value in choice.items() if name != "message"}
        queues.append([*spoken, {**last, "index": index, "delta": {}, "logprobs": None}])
    mixed = []
    while any(queues):
        queue = dice.choice([each for each in queues if each])
        mixed.append({**head, "object": "chat.completion.chunk", "choices": [queue.pop(0)]})
    if "usage" in answer:
        half = {"prompt_tokens": 1, "completion_tokens": 0}
        mixed[0] = {**mixed[0], "usage": half if dice.random() < 0.5 else None}
        mixed.append({**head, "choices": [], "usage": answer["usage"]})
    return mixed


def in_order_of_logprobs(parts: list[Json], wanted: list[Json]) -> list[Json]:
    """The parts with the log probabilities where they stand, but those in their order."""
    rest = iter(wanted)
    return [
        {**part, "logprobs": {"content": [next(rest)]}}
        if part.get("logprobs") and part["logprobs"]["content"]
        else part
        for part in parts
    ]


@given(ANSWER, st.randoms(use_true_random=False))
def test_the_assembled_answer_is_the_plain_one(answer: Json, dice: random.Random) -> None:
    assembly = Assembly()
    for chunk in chunks(copy.deepcopy(answer), dice):
        assembly.add(chunk)
    plain = {
        **answer,
        "object": "chat.completion",
        "choices": [{"index": place, **each} for place, each in enumerate(answer["choices"])],
    }
    assert assembly.document() == plain


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["choices", "delta", "index", "content", "tool_calls", "function", "logprobs"]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=20,
    ).filter(lambda value: isinstance(value, dict))
)
def test_nothing_that_is_json_breaks_it(chunk: Json) -> None:
    assembly = Assembly()
    assembly.add(chunk)
    assembly.add(chunk)
    assert assembly.document()["object"] == "chat.completion"


def test_calls_without_an_index_and_with_repeated_ids() -> None:
    assembly = Assembly()
    parts: list[Json] = [
        {"tool_calls": [{"id": "x", "type": "function", "function": {"arguments": piece}}]}
        for piece in ('{"a"', ":1}")
    ]
    parts.append({"function_call": {"name": "f", "arguments": "{"}})
    parts.append({"function_call": {"arguments": "}"}})
    for part in parts:
        assembly.add({"choices": [{"delta": part}]})
    whole: Any = assembly.document()
    message = whole["choices"][0]["message"]
    assert message["tool_calls"] == [
        {"id": "x", "type": "function", "function": {"arguments": '{"a":1}'}}
    ]
    assert message["function_call"] == {"name": "f", "arguments": "{}"}
