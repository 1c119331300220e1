"""Which environment tries what is proposed to an agent, and who says so.

The operator binds agents by a setting, owners their own agents; the owner's word counts.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict

from agentcore.ace.errors import PlaybookNotFound
from agentcore.ace.models import ContextPlaybook
from agentcore.ace.ports import AgentDirectory, TrialGrounds
from agentcore.ace.store import ContextStore, Unit
from agentcore.ace.visibility import sees
from agentcore.kit.security import Principal

MARK = "environment"
# Trials think and act in the tenant's name, at its cost.
NEEDED = ("llm", "env:act", "env:control")


class Binding(BaseModel):
    """``environment`` is empty where the owner wants none, whatever the setting says."""

    model_config = ConfigDict(frozen=True)

    environment: str


def environment_of(playbook: ContextPlaybook, settings: Mapping[str, str]) -> str:
    """Where challengers of ``playbook`` play; empty where no environment is bound.

    A setting for an agent that is hosted here counts for it in every tenant.
    """
    own = playbook.metadata.get(MARK)
    if own is not None:
        return Binding.model_validate(own).environment
    agent_id = playbook.agent_id
    return settings.get(agent_id) or settings.get(agent_id.partition(".")[0], "")


class Bindings:
    """What is another tenant's does not exist."""

    def __init__(
        self,
        store: ContextStore,
        agents: AgentDirectory,
        grounds: TrialGrounds,
        settings: Mapping[str, str],
    ) -> None:
        self._store = store
        self._agents = agents
        self._grounds = grounds
        self._settings = settings

    async def get(self, agent_id: str, *, principal: Principal | None = None) -> str:
        await self._check(agent_id, principal)

        async def work(unit: Unit) -> str:
            playbook = await unit.playbooks.of(agent_id)
            if playbook is None:
                raise PlaybookNotFound(agent_id)
            return environment_of(playbook, self._settings)

        return await self._store.run(work)

    async def bind(
        self, agent_id: str, environment: str, *, principal: Principal | None = None
    ) -> None:
        """Let challengers play in ``environment`` from the next proposal on; empty: nowhere.

        Raises:
            AgentCoreError: there is no such environment, or the caller may not use it.
        """
        await self._check(agent_id, principal)
        if environment:
            if principal is not None:
                for scope in NEEDED:
                    principal.require(scope)
            await self._grounds.check(environment)

        async def work(unit: Unit) -> None:
            playbook = await unit.playbooks.of(agent_id, lock=True)
            if playbook is None:
                raise PlaybookNotFound(agent_id)
            known = Binding(environment=environment).model_dump()
            await unit.playbooks.annotate(playbook, **{MARK: known})

        await self._store.run(work)

    async def _check(self, agent_id: str, principal: Principal | None) -> None:
        owner = await self._agents.owner(agent_id)
        if owner is None or not sees(principal, agent_id, tenant=owner.tenant):
            raise PlaybookNotFound(agent_id)
