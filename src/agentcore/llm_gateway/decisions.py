"""Why each call went where it went, kept for a while to be asked."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType

from agentcore.kit.clock import Clock
from agentcore.kit.jsonvalue import JsonObject, JsonValue
from agentcore.llm_gateway.candidates import ProviderState, expected_cost
from agentcore.llm_gateway.models import ChatCall
from agentcore.llm_gateway.routing import RoutingDecision

KEPT = 1000
NOTHING: Mapping[str, JsonValue] = MappingProxyType({})


@dataclass(slots=True)
class Decided:
    """One decision and what became of it; ``attempts`` are names and how each ended.

    Nothing of the request's content is kept.
    """

    at: datetime
    tenant: str
    subject: str
    model: str
    dialect: str
    priority: str
    private: bool
    candidates: tuple[str, ...]
    exclusions: dict[str, str]
    reason: str
    providers: list[JsonObject]
    attempts: list[tuple[str, str]] = field(default_factory=list)


class DecisionLog:
    """The last ones of this process, newest first when read."""

    def __init__(self, clock: Clock, kept: int = KEPT) -> None:
        self._clock = clock
        self._kept: deque[_Kept] = deque(maxlen=kept)

    def add(
        self,
        call: ChatCall,
        decision: RoutingDecision,
        states: Sequence[ProviderState],
    ) -> list[tuple[str, str]]:
        """Keep it; the list that is returned takes the attempts as they end."""
        at = self._clock.time()
        # The document of the call may be large and private: it is not kept.
        bare = ChatCall._make((call.model, NOTHING, *call[2:]))
        attempts: list[tuple[str, str]] = []
        self._kept.append(_Kept(at, bare, decision, states, attempts))
        return attempts

    def read(self, tenant: str | None, limit: int) -> Iterator[Decided]:
        """``tenant`` None: of everybody."""
        for kept in reversed(self._kept):
            if limit <= 0:
                return
            if tenant is None or kept.call.tenant == tenant:
                limit -= 1
                yield kept.told()


@dataclass(slots=True)
class _Kept:
    at: float
    call: ChatCall
    decision: RoutingDecision
    states: Sequence[ProviderState]
    attempts: list[tuple[str, str]]

    def told(self) -> Decided:
        call = self.call
        return Decided(
            at=datetime.fromtimestamp(self.at, UTC),
            tenant=call.tenant,
            subject=call.subject,
            model=call.model,
            dialect=call.dialect,
            priority=call.priority,
            private=call.requires_privacy,
            candidates=self.decision.candidates,
            exclusions=dict(self.decision.exclusions),
            reason=self.decision.reason,
            providers=scored(call, self.states),
            attempts=list(self.attempts),
        )


def scored(call: ChatCall, states: Sequence[ProviderState]) -> list[JsonObject]:
    """What was known about everybody; unknown is null, never a number."""
    return [
        {
            "provider": state.name,
            "self_hosted": state.self_hosted,
            "private": state.private,
            "expected_cost_usd": _known(expected_cost(state, call)),
            "load": round(state.load, 4),
            "wait_seconds": state.wait,
            "first_content_seconds": state.pace.first_seconds,
            "tokens_per_second": state.pace.tokens_per_second,
            "quality": state.traits.quality,
            "region": state.traits.region or None,
        }
        for state in states
    ]


def explained(
    call: ChatCall, decision: RoutingDecision, states: Sequence[ProviderState]
) -> JsonObject:
    """A decision that was not carried out, for ``POST /v1/route:explain``."""
    order: list[JsonValue] = list(decision.candidates)
    providers: list[JsonValue] = list(scored(call, states))
    return {
        "model": call.model,
        "private": call.requires_privacy,
        "priority": call.priority,
        "provider": decision.provider,
        "reason": decision.reason,
        "candidates": order,
        "exclusions": dict(decision.exclusions),
        "providers": providers,
    }


def _known(value: float) -> float | None:
    return None if math.isinf(value) else value
