"""Requests and answers for ``/docs`` and the reference; the wire tests send the requests."""

from __future__ import annotations

from typing import TypedDict

from agentcore.kit.jsonvalue import JsonObject, JsonValue, object_of


class Example(TypedDict):
    """One example as OpenAPI has them."""

    value: JsonValue


SEND_1_0: JsonObject = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "SendMessage",
    "params": {"message": {"messageId": "m-1", "role": "ROLE_USER", "parts": [{"text": "hello"}]}},
}
SEND_0_3: JsonObject = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "message/send",
    "params": {
        "message": {
            "kind": "message",
            "messageId": "m-1",
            "role": "user",
            "parts": [{"kind": "text", "text": "hello"}],
        }
    },
}
REGISTER: JsonObject = {
    "jsonrpc": "2.0",
    "id": "r-1",
    "method": "agent.register",
    "params": {
        "agent_id": "summarizer",
        "agent_card": {
            "name": "Summarizer",
            "description": "Shortens texts.",
            "version": "1.0.0",
            "capabilities": ["summarization"],
            "skills": [{"id": "summarize", "name": "Summarize", "tags": ["text"]}],
        },
    },
}
DISCOVER: JsonObject = {
    "jsonrpc": "2.0",
    "id": "d-1",
    "method": "agent.discover",
    "params": {"capabilities": ["summarization"], "limit": 5},
}
BATCH: list[JsonValue] = [DISCOVER, {**DISCOVER, "id": "d-2", "params": {"text": "texts"}}]
REQUESTS: dict[str, JsonObject] = {
    "SendMessage (A2A 1.0, header A2A-Version: 1.0)": {"value": SEND_1_0},
    "message/send (A2A 0.3)": {"value": SEND_0_3},
    "agent.register": {"value": REGISTER},
    "agent.discover": {"value": DISCOVER},
    "a batch": {"value": BATCH},
}
SENT: JsonObject = {
    "jsonrpc": "2.0",
    "id": 1,
    "result": {
        "task": {
            "id": "0198a1c0-0000-7000-8000-000000000001",
            "contextId": "0198a1c0-0000-7000-8000-000000000002",
            "status": {"state": "TASK_STATE_COMPLETED", "timestamp": "2026-01-01T00:00:00Z"},
        }
    },
}
REFUSED: JsonObject = {
    "jsonrpc": "2.0",
    "id": 1,
    "error": {
        "code": -32601,
        "message": "there is no method 'agent.fly'",
        "data": {"code": "unknown_method", "hint": "", "retryable": False},
    },
}
AGENT: JsonObject = {
    "agent_id": "summarizer",
    "name": "Summarizer",
    "version": "1.0.0",
    "status": "active",
    "health": "healthy",
    "description": "Shortens texts.",
    "capabilities": ["summarization"],
    "skills": [{"id": "summarize", "name": "Summarize", "description": "", "tags": ["text"]}],
    "endpoint": None,
    "handler": None,
    "metadata": {},
    "created_at": "2026-01-01T00:00:00+00:00",
    "updated_at": "2026-01-01T00:00:00+00:00",
    "last_seen": "2026-01-01T00:00:00+00:00",
}
FOUND: JsonObject = {**AGENT, "score": 10}
AGENT_DETAILS: JsonObject = {
    **AGENT,
    "owner": "alice",
    "changed_at": "2026-01-01T00:00:00+00:00",
    "moves": ["drain", "suspend", "terminate"],
    "heartbeat_seconds": 60.0,
    "expires_at": "2026-01-01T00:01:00+00:00",
    "health_reason": "",
    "failures": 0,
    "checked_at": None,
    "check_at": None,
    "card_url": None,
    "card": object_of(object_of(REGISTER["params"])["agent_card"]),
    "events": [
        {
            "what": "registered",
            "before": "",
            "after": "active",
            "reason": "",
            "by": "alice",
            "at": "2026-01-01T00:00:00+00:00",
        }
    ],
}
REGISTRATIONS: dict[str, Example] = {
    "by card": {"value": {**object_of(REGISTER["params"]), "heartbeat_seconds": 60}},
    "by the address of the card": {
        "value": {"card_url": "https://agents.example.com/.well-known/agent-card.json"}
    },
}
WISHES: dict[str, Example] = {
    "by capability": {"value": DISCOVER["params"]},
    "by skill, tag and words": {
        "value": {"skills": ["summarize"], "tags": ["text"], "text": "short texts"}
    },
}
MOVES = {
    "resume": "It takes tasks, again or for the first time.",
    "drain": "It ends what it works on and gets nothing new; then it is suspended by itself.",
    "suspend": "It gets nothing new at once; tasks that wait for their clients go on later.",
    "terminate": "It is out of service; its owner may register it again.",
}
TASK: JsonObject = {
    "id": "0198a1c0-0000-7000-8000-000000000001",
    "contextId": "0198a1c0-0000-7000-8000-000000000002",
    "status": {"state": "TASK_STATE_COMPLETED", "timestamp": "2026-01-01T00:00:00Z"},
    "metadata": {"agentId": "playbook-agent"},
}
