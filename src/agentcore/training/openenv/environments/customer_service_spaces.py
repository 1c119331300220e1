"""What CustomerServiceEnv shows, as JSON Schema (draft 2020-12)."""

from __future__ import annotations

from agentcore.kit.jsonvalue import JsonObject
from agentcore.training.openenv.environments.customer_service_world import (
    MOST_CONTACTS,
    MOST_OPEN,
    TOPICS,
)
from agentcore.training.openenv.environments.spaces import COUNT, STRING, described, listed, record

_TOPIC: JsonObject = {"type": "string", "enum": list(TOPICS)}

OBSERVATION_SPACE: JsonObject = record(
    {
        "clock": described(COUNT, "The present tick."),
        "tickets": listed(
            "Tickets that wait for an agent.",
            {
                "id": STRING,
                "subject": described(STRING, "The customer's own words."),
                "label": described(_TOPIC, "A classifier's guess at the topic; may be wrong."),
                "tier": {"type": "string", "enum": ["standard", "premium"]},
                "waited": described(COUNT, "Ticks since the customer first wrote."),
                "contacts": described(COUNT, f"Failed attempts; {MOST_CONTACTS} lose a customer."),
            },
        ),
        "agents": listed(
            f"The roster; an agent takes at most {MOST_OPEN} tickets at once.",
            {"id": STRING, "skills": {"type": "array", "items": _TOPIC}, "open_tickets": COUNT},
        ),
        "outcomes": listed(
            "What became of tickets lately, the latest at the end.",
            {
                "tick": COUNT,
                "ticket": STRING,
                "topic": described(_TOPIC, "What it was really about."),
                "agent": described({"type": ["string", "null"]}, "Null if nobody attended."),
                "outcome": {"type": "string", "enum": ["resolved", "reopened", "lost"]},
                "satisfaction": {"type": "number"},
            },
        ),
        "tickets_to_come": described(COUNT, "Tickets that have not been written yet."),
    },
    title="CustomerServiceObservation",
)
