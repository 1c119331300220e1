"""``agent.delegate`` outside environment sessions."""

from __future__ import annotations

from agentcore.a2a_protocol.delegation.delegations import Delegations
from agentcore.a2a_protocol.delegation.models import Delegation
from agentcore.a2a_protocol.dispatcher import CallContext, MethodRegistry
from agentcore.kit.jsonvalue import JsonValue


def register_delegation(registry: MethodRegistry, delegations: Delegations) -> None:
    async def delegate(wanted: Delegation, context: CallContext) -> JsonValue:
        return await delegations.delegate(wanted, context)

    registry.add("agent.delegate", Delegation, delegate, scope="a2a")
