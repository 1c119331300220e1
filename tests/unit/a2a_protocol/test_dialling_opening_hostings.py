"""Connections to agents elsewhere, and what goes along with each call."""

from __future__ import annotations

import pytest

from agentcore.a2a_protocol.errors import InvalidParams
from agentcore.a2a_protocol.late import LateWires
from agentcore.a2a_protocol.models.agent import Move
from agentcore.a2a_protocol.models.agent_card import AgentCard
from agentcore.a2a_protocol.models.config import A2AConfig
from agentcore.a2a_protocol.models.handover import EXTENSION, Handover
from agentcore.a2a_protocol.models.remote import RemoteAddress
from agentcore.a2a_protocol.models.task import Owner
from agentcore.a2a_protocol.remote.dialling import open_peers
from agentcore.a2a_protocol.remote.opening import open_elsewhere
from agentcore.kit.clock import SystemClock
from agentcore.kit.db import Database
from agentcore.kit.supervisor import Supervisor
from tests.fakes.a2a import a2a, principal

ALICE, EVE = principal("alice"), principal("eve", "evil")
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
CONFIG = A2AConfig.model_validate({})


@pytest.mark.parametrize(
    ("version", "name"), [("1.0", "a2a-extensions"), ("0.3", "x-a2a-extensions")]
)
async def test_headers_of_a_version(version: str, name: str) -> None:
    address = RemoteAddress(agent_id="poet", url="https://poet.example", version=version)
    async with open_peers(CONFIG, LateWires()) as peers:
        peer = await peers.open(address, Handover(traceparent=TRACE))
        plain = {"a2a-version": version, "accept-encoding": "identity"}
        assert peer.headers == {name: EXTENSION, "traceparent": TRACE, **plain}
        assert peer.session is peers.outside.opened()


async def test_agents_elsewhere_are_those_of_the_tenant(
    database: Database, supervisor: Supervisor
) -> None:
    async with a2a(database) as runtime:
        card = AgentCard.model_validate({"name": "P", "url": "https://poet.example/a2a"})
        await runtime.agents.register(card, ALICE, agent_id="poet")
        await runtime.agents.ensure("without-card", ALICE)
        wires = LateWires()
        opened = open_elsewhere(
            CONFIG,
            wires,
            runtime.directory,
            database=database,
            supervisor=supervisor,
            clock=SystemClock(),
        )
        async with opened as elsewhere:
            hostings = elsewhere.hostings
            found = await hostings.find("poet", ALICE)
            assert found is not None
            assert (found.agent_id, found.name) == ("poet", "P")
            assert await hostings.find("poet", EVE) is None
            assert await hostings.find("nobody", ALICE) is None
            where = await hostings.locate("poet", Owner(tenant="acme", subject="bob"))
            assert where.url == "https://poet.example/a2a"
            with pytest.raises(InvalidParams, match="without a card"):
                await hostings.find("without-card", ALICE)
            await runtime.agents.move("poet", Move.TERMINATE, ALICE)
            with pytest.raises(InvalidParams, match="terminated"):
                await hostings.find("poet", ALICE)
