"""What A2AProtocolTestEnv takes and shows, as JSON Schema (draft 2020-12)."""

from __future__ import annotations

from agentcore.kit.jsonvalue import JsonObject
from agentcore.training.openenv.environments.base import action_envelope
from agentcore.training.openenv.environments.spaces import COUNT, STRING, STRINGS, listed, record

_PARAMETERS: JsonObject = {
    "discover_agents": {
        "description": "Ask which agents have at least one of the capabilities.",
        "properties": {"capabilities": STRINGS},
        "required": ["capabilities"],
    },
    "delegate_task": {
        "description": "Hand a pending task to an agent that has the task's type as capability.",
        "properties": {
            "task_id": STRING,
            "target_agent": STRING,
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
            "task_id": STRING,
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

OBSERVATION_SPACE: JsonObject = record(
    {
        "available_agents": listed(
            "Agents that may be asked and delegated to.",
            {"id": STRING, "capabilities": STRINGS, "success_rate": {"type": "number"}},
        ),
        "pending_tasks": listed(
            "Tasks that wait for an agent.",
            {"id": STRING, "type": STRING, "complexity": {"type": "number"}},
        ),
        "message_queue": listed(
            "Open task requests of other agents, then the latest responses.", {"type": STRING}
        ),
        "protocol_state": record({"step": COUNT, "completed_tasks": COUNT, "violations": COUNT}),
    },
    title="A2AProtocolTestObservation",
)
