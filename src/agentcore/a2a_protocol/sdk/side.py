"""The parts of the A2A side that stand on the SDK, put together."""

from __future__ import annotations

from dataclasses import dataclass

from agentcore.a2a_protocol.card import CardFacts, platform_card
from agentcore.a2a_protocol.sdk.cards import to_proto
from agentcore.a2a_protocol.sdk.executor import HostedExecutor
from agentcore.a2a_protocol.sdk.handler import BoundedRequestHandler, SdkMethods, TurnBuilder
from agentcore.a2a_protocol.sdk.needs import SdkNeeds
from agentcore.a2a_protocol.sdk.task_store import PostgresTaskStore, RowFollower
from agentcore.a2a_protocol.sdk.tasks import SdkTasks

# What the SDK needs a card for, its capabilities, does not depend on the address.
NOWHERE = "http://localhost/a2a"


@dataclass(frozen=True, slots=True)
class SdkSide:
    methods: SdkMethods
    tasks: SdkTasks
    handler: BoundedRequestHandler


def build_side(needs: SdkNeeds) -> SdkSide:
    """To be called inside the event loop that will serve."""
    store = PostgresTaskStore(needs.rows, needs.manager, needs.clock)
    executor = HostedExecutor(
        needs.manager,
        supervisor=needs.supervisor,
        clock=needs.clock,
        ids=needs.ids,
        cancel_seconds=needs.config.cancel_seconds,
    )
    facts = CardFacts(version=needs.version, auth=needs.auth, hosted=(), methods=())
    handler = BoundedRequestHandler(
        executor,
        store,
        card=to_proto(platform_card(needs.config, facts, NOWHERE)),
        turns=TurnBuilder(store, needs.hosted, needs.ids),
        follower=RowFollower(needs.rows, needs.clock, needs.config.follow_seconds),
        blocking_seconds=needs.config.blocking_seconds,
    )
    return SdkSide(SdkMethods(handler), SdkTasks(handler), handler)
