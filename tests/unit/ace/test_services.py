from __future__ import annotations

from prometheus_client import CollectorRegistry

from agentcore.ace.models import ACEConfig, ContextPlaybook
from agentcore.ace.services import context_services
from tests.fakes.context import ContextWorld
from tests.fakes.language_model import ScriptedModel
from tests.fakes.trial_grounds import ScriptedGrounds


async def test_the_parts_belong_together(world: ContextWorld, playbook: ContextPlaybook) -> None:
    made = context_services(
        ACEConfig(ace_environments={"agent-123": "maze"}),
        ScriptedModel(),
        world.agents,
        database=world.database,
        shared=world.cache,
        supervisor=world.supervisor,
        registry=CollectorRegistry(),
        clock=world.clock,
    )
    assert await made.manager.get_playbook("agent-123") == playbook
    assert await made.experiments.of("agent-123") == []
    assert await made.bindings(ScriptedGrounds()).get("agent-123") == "maze"
