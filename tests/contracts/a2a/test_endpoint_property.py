"""Whatever a call holds, its answer is one that JSON-RPC and A2A know, and never an inner fault."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentcore.a2a_protocol.dispatcher import Caller
from agentcore.a2a_protocol.models.config import A2AConfig
from agentcore.a2a_protocol.runtime import A2ARuntime
from agentcore.a2a_protocol.sdk.current import REQUESTS
from agentcore.a2a_protocol.sdk.previous import METHODS as OLD_METHODS
from agentcore.kit.db import Database
from agentcore.kit.jsonvalue import JsonObject, JsonValue
from tests.fakes.a2a import a2a, principal

OWN = ("task.query", "task.cancel", "agent.discover", "agent.register", "agent.get", "agent.drain")
KNOWN = frozenset({-32700, -32600, -32601, -32602, *range(-32009, -32000), *range(-32099, -32049)})

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=8)
    | st.sampled_from(["", "t1", "\0", "\ud800", "x" * 1025, "TASK_STATE_WORKING", "ROLE_USER"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=5,
)


def objects(*names: str, **known: st.SearchStrategy[JsonValue]) -> st.SearchStrategy[JsonObject]:
    """Objects with some of these members, of the right kind or of any."""
    members = dict.fromkeys(names, VALUES) | {n: kind | VALUES for n, kind in known.items()}
    return st.fixed_dictionaries({}, optional=members)


PARTS = objects("metadata", "kind", text=st.text(max_size=8), raw=st.just("AAAA"), data=VALUES)
MESSAGES = objects(
    "metadata",
    "extensions",
    messageId=st.text(min_size=1, max_size=4),
    role=st.sampled_from(["ROLE_USER", "user", "agent"]),
    parts=st.lists(PARTS, min_size=1, max_size=2),
    taskId=st.just("t1"),
    contextId=st.text(max_size=4),
)
OPTIONS = objects("acceptedOutputModes", historyLength=st.integers(-1, 3), returnImmediately=VALUES)
PARAMS = objects(
    "tenant",
    "metadata",
    "status",
    "filter",
    "agent_card",
    id=st.just("t1"),
    taskId=st.just("t1"),
    message=MESSAGES,
    configuration=OPTIONS,
    historyLength=st.integers(-1, 3),
    pageSize=st.integers(-1, 101),
    pageToken=st.text(max_size=8),
    task_id=st.just("t1"),
    agent_id=st.text(max_size=8),
    capabilities=st.lists(st.text(max_size=8), max_size=2),
)
CALLS = st.fixed_dictionaries(
    {"jsonrpc": st.just("2.0"), "method": st.sampled_from([*REQUESTS, *OLD_METHODS, *OWN])},
    optional={"id": st.integers() | st.text(max_size=4) | VALUES, "params": PARAMS | VALUES},
)


@pytest.fixture
async def runtime(database: Database) -> AsyncIterator[A2ARuntime]:
    async with a2a(database, config=A2AConfig.model_validate({"push": False})) as opened:
        yield opened


def codes(answer: JsonValue) -> list[int]:
    answers = answer if isinstance(answer, list) else [answer]
    errors = [each["error"] for each in answers if isinstance(each, dict) and "error" in each]
    return [int(str(error["code"])) for error in errors if isinstance(error, dict)]


@settings(
    max_examples=80,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(document=CALLS | st.lists(CALLS, max_size=3), version=st.sampled_from(["1.0", "0.3", ""]))
async def test_any_call(runtime: A2ARuntime, document: JsonValue, version: str) -> None:
    raw = json.dumps(document).encode("utf-8", "surrogatepass")
    answer = await runtime.dispatcher.answer(raw, Caller(principal=principal(), version=version))
    if answer.body is not None:
        assert set(codes(json.loads(answer.body))) <= KNOWN
