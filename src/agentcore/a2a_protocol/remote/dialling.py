"""Connections to agents elsewhere: a pool for the public network, and one for the inside."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agentcore.a2a_protocol.late import LateWires
from agentcore.a2a_protocol.models.config import A2AConfig
from agentcore.a2a_protocol.models.handover import EXTENSION, Handover
from agentcore.a2a_protocol.models.remote import RemoteAddress
from agentcore.a2a_protocol.push.late_session import LateSession

if TYPE_CHECKING:
    from agentcore.a2a_protocol.remote.connection import Peer

# Each task that is followed holds one.
CONNECTIONS = 1024


@dataclass(frozen=True, slots=True)
class Peers:
    config: A2AConfig
    wires: LateWires
    outside: LateSession
    anywhere: LateSession

    async def open(self, address: RemoteAddress, handover: Handover) -> Peer:
        """The agent at ``address``; ``handover`` goes along in the headers as far as it fits."""
        from agentcore.a2a_protocol.remote.connection import Limits, Peer  # noqa: PLC0415 - aiohttp

        old = address.version == "0.3"
        headers = {"x-a2a-extensions" if old else "a2a-extensions": EXTENSION}
        if handover.traceparent:
            headers["traceparent"] = handover.traceparent
        inside = self.config.agents_anywhere or address.trust.inside
        return Peer(
            address,
            await self.wires.peer(address.version),
            (self.anywhere if inside else self.outside).opened(),
            headers=headers,
            limits=Limits(
                event_bytes=self.config.max_body_bytes,
                stream_bytes=self.config.agent_max_bytes,
                seconds=self.config.agent_silence_seconds,
            ),
        )


@asynccontextmanager
async def open_peers(config: A2AConfig, wires: LateWires) -> AsyncIterator[Peers]:
    async with (
        LateSession(anywhere=False, connections=CONNECTIONS, unpacking=False) as outside,
        LateSession(anywhere=True, connections=CONNECTIONS, unpacking=False) as anywhere,
    ):
        yield Peers(config, wires, outside, anywhere)
