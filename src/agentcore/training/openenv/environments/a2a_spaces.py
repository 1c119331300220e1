"""What A2AProtocolTestEnv takes and shows, as JSON Schema (draft 2020-12)."""

from __future__ import annotations

from agentcore.kit.jsonvalue import JsonObject
from agentcore.training.openenv.environments.base import action_envelope

_STRING: JsonObject = {"type": "string"}
_STRINGS: JsonObject = {"type": "array", "items": {"type": "string"}}
_COUNT: JsonObject = {"type": "integer", "minimum": 0}
_PARAMETERS: JsonObject = {
    "discover_agents": {
        "description": "Ask which agents have at least one of the capabilities.",
        "properties": {"capabilities": _STRINGS},
        "required": ["capabilities"],
    },
    "delegate_task": {
        "description": "Hand a pending task to an agent that has the task's type as capability.",
        "properties": {
            "task_id": _STRING,
            "target_agent": _STRING,
            "message": {
                "type": "object",
                "description": "An A2A message, such as "
                '{"messageId": "m-1", "role": "ROLE_USER", "parts": [{"text": "..."}]}.',
            },
        },
        "required": ["task_id", "target_agent", "message"],
    },
    "respond_to_task": {
        "description": "Answer a task_request of the message queue before it expires.",
        "properties": {
            "task_id": _STRING,
            "status": {"type": "string", "enum": ["success", "failure"]},
            "result": {"type": "object", "description": "What the request asks for."},
        },
        "required": ["task_id", "status"],
    },
}

# Every type and every parameter is taken: what breaks the protocol costs reward, it is not refused.
ACTION_SPACE: JsonObject = {
    **action_envelope("A2AProtocolTestAction"),
    "description": "One of the action types under $defs, each with the parameters given there.",
    "examples": [{"type": "discover_agents", "parameters": {"capabilities": ["api_calls"]}}],
    "$defs": _PARAMETERS,
}


def _listed(description: str, properties: JsonObject) -> JsonObject:
    item: JsonObject = {
        "type": "object",
        "properties": properties,
        "required": list(properties),
    }
    return {"type": "array", "description": description, "items": item}


OBSERVATION_SPACE: JsonObject = {
    "title": "A2AProtocolTestObservation",
    "type": "object",
    "properties": {
        "available_agents": _listed(
            "Agents that may be asked and delegated to.",
            {"id": _STRING, "capabilities": _STRINGS, "success_rate": {"type": "number"}},
        ),
        "pending_tasks": _listed(
            "Tasks that wait for an agent.",
            {"id": _STRING, "type": _STRING, "complexity": {"type": "number"}},
        ),
        "message_queue": _listed(
            "Open task requests of other agents, then the latest responses.", {"type": _STRING}
        ),
        "protocol_state": {
            "type": "object",
            "properties": {"step": _COUNT, "completed_tasks": _COUNT, "violations": _COUNT},
            "required": ["step", "completed_tasks", "violations"],
        },
    },
    "required": ["available_agents", "pending_tasks", "message_queue", "protocol_state"],
}
