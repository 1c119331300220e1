"""Whether a JSON value is an A2A message that a client may send (A2A 1.0, section 4.1.4; 0.3, 6.4).

Small on purpose: it names the first fault in words that an agent can learn from.
"""

from __future__ import annotations

from agentcore.kit.jsonvalue import JsonObject, JsonValue

_CONTENT = ("text", "raw", "url", "data")
_KINDS = {"text": "text", "file": "file", "data": "data"}


def fault_of(message: JsonValue) -> str | None:
    """Why ``message`` is not an A2A message, or None where it is one."""
    if not isinstance(message, dict):
        return "it is not an object"
    return _header_fault(message) or _parts_fault(message.get("parts"), message["role"])


def text_message(message_id: str, text: str) -> JsonObject:
    """A message of A2A 1.0 with one text part."""
    return {"messageId": message_id, "role": "ROLE_USER", "parts": [{"text": text}]}


def _header_fault(message: JsonObject) -> str | None:
    identifier = message.get("messageId")
    if not isinstance(identifier, str) or not identifier:
        return "messageId is missing"
    if message.get("role") not in ("ROLE_USER", "user"):
        return 'role must be "ROLE_USER" (A2A 1.0) or "user" (0.3)'
    if message.get("kind", "message") != "message":
        return 'kind must be "message"'
    for name in ("contextId", "taskId"):
        if not isinstance(message.get(name, ""), str):
            return f"{name} must be a string"
    return None


def _parts_fault(parts: JsonValue, role: JsonValue) -> str | None:
    if not isinstance(parts, list) or not parts:
        return "parts must be a list of at least one part"
    part_fault = _part_fault_1_0 if role == "ROLE_USER" else _part_fault_0_3
    for index, part in enumerate(parts):
        fault = part_fault(part) if isinstance(part, dict) else "is not an object"
        if fault is not None:
            return f"parts[{index}] {fault}"
    return None


def _part_fault_1_0(part: JsonObject) -> str | None:
    if "kind" in part:
        return "has a kind, which A2A 1.0 parts have not"
    given = [name for name in _CONTENT if name in part]
    if len(given) != 1:
        return f"needs exactly one of {', '.join(_CONTENT)}"
    if given != ["data"] and not isinstance(part[given[0]], str):
        return f"{given[0]} must be a string"
    return None


def _part_fault_0_3(part: JsonObject) -> str | None:
    kind = part.get("kind")
    member = _KINDS.get(kind) if isinstance(kind, str) else None
    if member is None:
        return 'needs kind "text", "file" or "data"'
    expected = str if member == "text" else dict
    if not isinstance(part.get(member), expected):
        return f"of kind {member} needs {member}"
    return None
