"""Long pieces of work that the service does, followed from outside."""

from __future__ import annotations

import time
from collections.abc import Callable

from agentcore.cli.client import ServiceClient, refusal
from agentcore.kit.jsonvalue import JsonObject, object_of

ROOT = "/internal/environments"
POLL_SECONDS = 0.2


def unseen(line: str) -> None:
    """Nobody waits long enough to be told."""


def ended(
    client: ServiceClient, operation: JsonObject, tell: Callable[[str], None] = unseen
) -> JsonObject:
    """What the operation came to; its failure in the words of the service."""
    while operation.get("state") in {"pending", "running"}:
        tell(str(operation["state"]))
        time.sleep(POLL_SECONDS)
        operation = client.get(f"{ROOT}/operations/{operation['id']}")
    error = operation.get("error")
    if isinstance(error, dict):
        raise refusal(str(error.get("detail")), error)
    return object_of(operation.get("result"))
