"""How the APIs of providers talk: what a fake upstream says in each, for the providers' suite."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from tests.fakes.llm_upstream import Behaviour, Upstream, completion, delta, event, says

Fault = Literal["down", "busy", "theirs"]
OPENAI_FAULTS: dict[Fault, str] = {
    "down": "server_not_ready",
    "busy": "rate_limit_exceeded",
    "theirs": "invalid_request_error",
}


@dataclass(frozen=True, kw_only=True)
class Speech:
    """One API's way to say things.

    ``opening`` is what a stream says before any content; ``ending`` ends the answer and ``last``
    the stream, empty where nothing does. ``whole`` is a plain answer, ``fault`` an error document,
    ``asked`` the model that the last call named.
    """

    opening: bytes
    part: Callable[[str], bytes]
    ending: bytes
    last: bytes
    event: Callable[[dict[str, Any] | str], bytes]
    whole: Callable[[str], dict[str, Any]]
    fault: Callable[[Fault, str], dict[str, Any]]
    says: Callable[[str], Behaviour]
    asked: Callable[[Upstream], str]
    credential: tuple[str, str]

    def failing(self, fault: Fault, message: str) -> bytes:
        """An error in the middle of a stream."""
        return self.event(self.fault(fault, message))


def _openai_fault(fault: Fault, message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "x", "code": OPENAI_FAULTS[fault]}}


OPENAI = Speech(
    opening=delta(role=True),
    part=delta,
    ending=delta(finish="stop"),
    last=event("[DONE]"),
    event=event,
    whole=completion,
    fault=_openai_fault,
    says=says,
    asked=lambda upstream: str(upstream.bodies[-1]["model"]),
    credential=("Authorization", "Bearer a-provider-key"),
)
