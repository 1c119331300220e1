"""The agents elsewhere put together, for as long as the service runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from agentcore.a2a_protocol.late import LateWires
from agentcore.a2a_protocol.models.config import A2AConfig
from agentcore.a2a_protocol.ports import AgentDirectory
from agentcore.a2a_protocol.remote.dialling import open_peers
from agentcore.a2a_protocol.remote.hostings import RemoteHostings
from agentcore.a2a_protocol.remote.store import RemoteTaskStore
from agentcore.a2a_protocol.remote.withdrawals import Withdrawals
from agentcore.kit.clock import Clock
from agentcore.kit.db import Database
from agentcore.kit.supervisor import Supervisor


@dataclass(frozen=True, slots=True)
class Elsewhere:
    wires: LateWires
    hostings: RemoteHostings
    withdrawals: Withdrawals


@asynccontextmanager
async def open_elsewhere(
    config: A2AConfig,
    wires: LateWires,
    directory: AgentDirectory,
    *,
    database: Database,
    supervisor: Supervisor,
    clock: Clock,
) -> AsyncIterator[Elsewhere]:
    async with open_peers(config, wires) as peers:
        tasks = RemoteTaskStore(database)
        hostings = RemoteHostings(
            directory, peers, tasks, config=config, supervisor=supervisor, clock=clock
        )
        yield Elsewhere(wires, hostings, Withdrawals(tasks, peers, hostings.locate, clock))
