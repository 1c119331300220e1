"""A gate that lets everybody in, for tests of what stands behind it."""

from __future__ import annotations

from agentcore.kit.clock import Clock
from agentcore.llm_gateway.admission import FixedLimit, Gate


def unbounded(clock: Clock) -> Gate:
    return Gate(FixedLimit(None, clock), clock)
