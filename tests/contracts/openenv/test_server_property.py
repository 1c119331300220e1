"""Whatever arrives at a socket: an answer per frame, finite rewards, one end per episode."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.types import Message

from agentcore.training.openenv.environments.catalog import BUNDLED
from agentcore.training.openenv.models import EnvironmentServerConfig
from agentcore.training.openenv.server import EnvironmentServer

CODES = {"INVALID_JSON", "UNKNOWN_TYPE", "VALIDATION_ERROR", "EXECUTION_ERROR"}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)
GUESS = st.fixed_dictionaries(
    {"type": st.just("guess"), "parameters": st.fixed_dictionaries({"number": st.integers(0, 101)})}
)
DELEGATE = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["discover_agents", "delegate_task", "respond_to_task"]),
        "parameters": st.fixed_dictionaries(
            {},
            optional={
                "capabilities": st.just(["api_calls"]) | JSON,
                "task_id": st.sampled_from(["task-0", "request-0"]) | JSON,
                "target_agent": st.just("agent-0") | JSON,
                "message": JSON,
                "status": st.just("failure") | JSON,
            },
        ),
    }
)
STEP = st.fixed_dictionaries({"type": st.just("step"), "data": GUESS | DELEGATE | JSON})
RESET = st.fixed_dictionaries(
    {"type": st.just("reset")},
    optional={"data": st.fixed_dictionaries({"seed": st.integers(-1, 9)}) | JSON},
)
OTHER = st.sampled_from([{"type": "state"}, {"type": "render"}, {"type": "fly"}])
OBJECT = st.dictionaries(st.text(max_size=8), JSON).filter(lambda it: it.get("type") != "close")
FRAMES = st.lists(
    st.one_of(STEP, STEP, STEP, RESET, OTHER, OBJECT).map(json.dumps) | st.just("{oops"),
    max_size=30,
)


async def conversation(name: str, texts: list[str]) -> list[Any]:
    """All that the server sends in one session in which ``texts`` arrive."""
    limits = EnvironmentServerConfig(max_sessions=1)
    server = EnvironmentServer(name, BUNDLED[name], limits)
    frames: list[Message] = [{"type": "websocket.receive", "text": text} for text in texts]
    incoming = [{"type": "websocket.connect"}, *frames, {"type": "websocket.disconnect"}]
    sent: list[Any] = []

    async def receive() -> Message:
        return incoming.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    await server({"type": "websocket", "path": "/ws", "headers": []}, receive, send)
    assert server.slots.capacity.active == 0
    assert sent.pop(0)["type"] == "websocket.accept"
    return [json.loads(message["text"]) for message in sent]


@pytest.mark.parametrize("name", BUNDLED)
@settings(max_examples=40, deadline=None)
@given(texts=FRAMES)
async def test_any_frames_get_sound_answers(name: str, texts: list[str]) -> None:
    started = ['{"type":"reset","data":{"seed":1,"episode_id":"e"}}', *texts]
    answers = await conversation(name, started)
    assert len(answers) == len(started)
    playing = False
    for text, answer in zip(started, answers, strict=True):
        data = answer["data"]
        if answer["type"] == "error":
            assert data["code"] in CODES
        elif answer["type"] == "observation":
            resetting = json.loads(text)["type"] == "reset"
            assert resetting or playing, "a step was carried out outside an episode"
            assert data["reward"] is None if resetting else math.isfinite(data["reward"])
            playing = not data["done"]
