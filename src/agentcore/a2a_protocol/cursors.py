"""Opaque page tokens: the sort key of the last row that was seen."""

from __future__ import annotations

import base64
from datetime import datetime

from agentcore.a2a_protocol.errors import InvalidParams
from agentcore.kit import jsonvalue


def encode(*key: str) -> str:
    text = jsonvalue.dumps(list(key))
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


def decode(token: str) -> tuple[str, str]:
    """The two parts of a key; raises ``InvalidParams`` for what :func:`encode` has not made."""
    try:
        padded = token.encode("ascii") + b"=" * (-len(token) % 4)
        key = jsonvalue.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except ValueError as exc:
        raise _foreign() from exc
    match key:
        # It goes into a query, and may be made by anybody.
        case [str(first), str(second)] if "\0" not in first + second:
            return first, second
        case _:
            raise _foreign()


def encode_position(moment: datetime, name: str) -> str:
    return encode(moment.isoformat(), name)


def decode_position(token: str) -> tuple[datetime, str]:
    first, name = decode(token)
    try:
        moment = datetime.fromisoformat(first)
    except ValueError as exc:
        raise _foreign() from exc
    if moment.tzinfo is None:
        raise _foreign()
    return moment, name


def _foreign() -> InvalidParams:
    return InvalidParams(
        "the page token is not one of ours", hint="pass the token of the page before, or none"
    )
