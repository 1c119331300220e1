from __future__ import annotations

import pytest

from agentcore.a2a_protocol.discovery import Wish
from agentcore.a2a_protocol.errors import AgentNotFound
from agentcore.a2a_protocol.models.agent import AgentHealth, AgentStatus
from agentcore.a2a_protocol.models.agent_card import AgentCard
from agentcore.kit.db import Database
from tests.fakes.a2a import a2a, principal
from tests.unit.a2a_protocol.test_agent_lifecycle_manager import card

ALICE, EVE = principal("alice"), principal("eve", "evil")
ENDPOINT = "https://poet.example/a2a"


async def test_candidates_are_of_the_tenant_or_hosted(database: Database) -> None:
    async with a2a(database) as runtime:
        remote = AgentCard.model_validate({"name": "P", "skills": [{"id": "ode"}], "url": ENDPOINT})
        await runtime.agents.register(remote, ALICE, agent_id="poet")
        await runtime.agents.register(card("P", "rhyme"), EVE, agent_id="spy")
        (poet,) = await runtime.directory.candidates(Wish(skills=("ODE",)), ALICE)
        assert (poet.agent_id, poet.status, poet.hosted) == ("poet", AgentStatus.ACTIVE, False)
        assert poet.endpoint is not None
        assert poet.endpoint["url"] == ENDPOINT
        assert (poet.open_tasks, poet.score) == (0, 10)
        names = [each.agent_id for each in await runtime.directory.candidates(Wish(), ALICE)]
        assert names == ["poet", "scripted", "second"]
        assert len(await runtime.directory.candidates(Wish(), ALICE, limit=2)) == 2
        here = await runtime.directory.candidate("scripted", EVE)
        assert (here.hosted, here.health) == (True, AgentHealth.HEALTHY)
        assert (await runtime.directory.candidate("poet", ALICE)).card == poet.card
        for agent_id, caller in (("poet", EVE), ("nobody", ALICE)):
            with pytest.raises(AgentNotFound):
                await runtime.directory.candidate(agent_id, caller)
