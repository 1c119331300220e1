"""Opaque page tokens: the position of the last row that was seen, as (time, id)."""

from __future__ import annotations

import base64
from datetime import datetime

from agentcore.a2a_protocol.errors import InvalidParams
from agentcore.kit import jsonvalue


def encode(moment: datetime, name: str) -> str:
    text = jsonvalue.dumps([moment.isoformat(), name])
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


def decode(token: str) -> tuple[datetime, str]:
    """Raises ``InvalidParams`` for anything that :func:`encode` has not made."""
    try:
        padded = token.encode("ascii") + b"=" * (-len(token) % 4)
        moment, name = _pair(jsonvalue.loads(base64.urlsafe_b64decode(padded)))
        return datetime.fromisoformat(moment), name
    except (ValueError, TypeError) as exc:
        raise InvalidParams(
            "the page token is not one of ours", hint="pass the token of the page before, or none"
        ) from exc


def _pair(value: jsonvalue.JsonValue) -> tuple[str, str]:
    if not isinstance(value, list) or len(value) != 2:
        raise TypeError("not a pair")
    moment, name = value
    if not isinstance(moment, str) or not isinstance(name, str):
        raise TypeError("not two strings")
    if datetime.fromisoformat(moment).tzinfo is None:
        raise ValueError("a time without a zone")
    return moment, name
