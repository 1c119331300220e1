from __future__ import annotations

import re
from typing import Any

import pytest

from agentcore.kit.jsonvalue import JsonObject, JsonValue
from agentcore.training.openenv.environments.a2a_message import fault_of, text_message

V1: dict[str, Any] = {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "hi"}]}
V03: dict[str, Any] = {"messageId": "m", "role": "user", "parts": [{"kind": "text", "text": "hi"}]}


@pytest.mark.parametrize(
    "message",
    [
        text_message("m-1", "hi"),
        V1,
        V03,
        {**V03, "kind": "message"},
        {
            **V1,
            "parts": [{"data": [1]}, {"url": "https://x", "mediaType": "text/plain"}, {"raw": ""}],
        },
        {**V1, "contextId": "c", "taskId": "t", "metadata": {"a": 1}},
        {**V03, "parts": [{"kind": "file", "file": {"uri": "x"}}, {"kind": "data", "data": {}}]},
    ],
)
def test_messages_of_both_versions_pass(message: JsonObject) -> None:
    assert fault_of(message) is None


@pytest.mark.parametrize(
    ("message", "why"),
    [
        ("do it", "not an object"),
        (None, "not an object"),
        ({}, "messageId"),
        ({**V1, "messageId": ""}, "messageId"),
        ({**V1, "messageId": 7}, "messageId"),
        ({**V1, "role": "ROLE_AGENT"}, "role"),
        ({**V1, "role": ["user"]}, "role"),
        ({**V1, "kind": "task"}, "kind"),
        ({**V1, "contextId": 1}, "contextId"),
        ({**V1, "parts": []}, "parts"),
        ({**V1, "parts": "hi"}, "parts"),
        ({**V1, "parts": ["hi"]}, r"parts\[0\] is not an object"),
        ({**V1, "parts": [{}]}, "exactly one"),
        ({**V1, "parts": [{"text": "a", "data": 1}]}, "exactly one"),
        ({**V1, "parts": [{"text": 1}]}, "string"),
        ({**V1, "parts": [{"kind": "text", "text": "a"}]}, "kind"),
        ({**V03, "parts": [{"text": "a"}]}, "needs kind"),
        ({**V03, "parts": [{"kind": ["text"], "text": "a"}]}, "needs kind"),
        ({**V03, "parts": [{"kind": "text"}]}, "needs text"),
        ({**V03, "parts": [{"kind": "data", "data": "x"}]}, "needs data"),
    ],
)
def test_the_first_fault_is_named(message: JsonValue, why: str) -> None:
    fault = fault_of(message)
    assert fault is not None
    assert re.search(why, fault)
