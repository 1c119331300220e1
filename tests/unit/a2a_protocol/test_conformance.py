from __future__ import annotations

import json

import pytest

from agentcore.a2a_protocol import conformance
from agentcore.a2a_protocol.dispatcher import Caller
from agentcore.a2a_protocol.models.config import A2AConfig
from agentcore.a2a_protocol.runtime import A2ARuntime
from agentcore.kit.db import Database
from agentcore.kit.jsonvalue import JsonObject, JsonValue
from tests.fakes.a2a import a2a, at, principal
from tests.fakes.asgi_call import Call

CONFIG = A2AConfig.model_validate({"conformance_agent": True})
CALLER = Caller(principal=principal(), version="1.0")
TEXT = {"text": "Generated text content", "mediaType": "text/plain"}
# What the kits document of each prefix: how the task ends, and its artifact's parts.
CASES: list[tuple[str, str, JsonValue]] = [
    ("tck-complete-task", "COMPLETED", None),
    ("tck-input-required", "INPUT_REQUIRED", None),
    ("tck-reject-task", "REJECTED", None),
    ("tck-artifact-text", "COMPLETED", [{**TEXT}]),
    ("tck-artifact-data", "COMPLETED",
     [{"data": {"key": "value", "count": 42}, "mediaType": "application/json"}]),
    ("tck-artifact-file-url", "COMPLETED",
     [{"url": "https://example.com/output.txt", "mediaType": "text/plain",
       "filename": "output.txt"}]),
    ("tck-artifact-file", "COMPLETED",
     [{"raw": "R2VuZXJhdGVkIGZpbGUgY29udGVudA==", "mediaType": "text/plain",
       "filename": "output.txt"}]),
    ("tck-stream-artifact-chunked", "COMPLETED",
     [{"text": "chunk-1 ", "mediaType": "text/plain"},
      {"text": "chunk-2", "mediaType": "text/plain"}]),
    ("tck-stream-ordering-001", "COMPLETED",
     [{"text": "Ordered output", "mediaType": "text/plain"}]),
    ("test-resubscribe-message-id", "COMPLETED", None),
    ("anything else", "INPUT_REQUIRED", None),
]  # fmt: skip


async def send(runtime: A2ARuntime, message_id: str) -> JsonValue:
    message: JsonObject = {"messageId": message_id, "role": "ROLE_USER", "parts": [{"text": "x"}]}
    document = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "SendMessage",
        "params": {"message": message},
    }
    answer = await runtime.dispatcher.answer(json.dumps(document).encode(), CALLER)
    return at(json.loads(answer.body or b""), "result")


async def test_what_the_kits_document(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conformance, "OPEN_SECONDS", 0.0)
    monkeypatch.setattr(conformance, "OLD_SECONDS", 0.0)
    async with a2a(database, config=CONFIG) as runtime:
        for prefix, state, parts in CASES:
            task = at(await send(runtime, f"{prefix}-session"), "task")
            assert at(task, "status", "state") == f"TASK_STATE_{state}", prefix
            assert parts is None or at(task, "artifacts", 0, "parts") == parts, prefix
        said = await send(runtime, "tck-message-response-session")
        assert at(said, "message", "parts", 0, "text") == "Direct message response"
        assert at(said, "message", "role") == "ROLE_AGENT"


async def test_a_message_that_comes_again_is_a_new_one(database: Database) -> None:
    async with a2a(database, config=CONFIG) as runtime:
        tasks = [await send(runtime, "tck-complete-task") for _ in range(2)]
        assert at(tasks[0], "task", "id") != at(tasks[1], "task", "id")


async def test_a_direct_message_is_a_stream_of_one(database: Database) -> None:
    message: JsonObject = {"messageId": "tck-stream-002-x", "role": "ROLE_USER",
                           "parts": [{"text": "x"}]}  # fmt: skip
    document = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "SendStreamingMessage",
        "params": {"message": message},
    }
    async with a2a(database, config=CONFIG) as runtime:
        answer = await runtime.dispatcher.answer(json.dumps(document).encode(), CALLER)
        assert answer.stream is not None
        body = (await Call(answer.stream).run()).body
    assert b"Single message stream" in body
    assert body.count(b"data: ") == 1


async def test_it_is_there_only_when_asked_for(database: Database) -> None:
    async with a2a(database) as runtime:
        assert conformance.AGENT_ID not in runtime.hosted
