"""Registered agents elsewhere, as agents that messages can be for."""

from __future__ import annotations

from agentcore.a2a_protocol.errors import AgentNotFound, InvalidParams
from agentcore.a2a_protocol.hosting import Hosting
from agentcore.a2a_protocol.models.agent import AgentStatus
from agentcore.a2a_protocol.models.config import A2AConfig
from agentcore.a2a_protocol.models.remote import RemoteAddress
from agentcore.a2a_protocol.models.task import Owner
from agentcore.a2a_protocol.ports import AgentDirectory, Candidate
from agentcore.a2a_protocol.remote.addresses import address_of
from agentcore.a2a_protocol.remote.agent import RemoteAgent
from agentcore.a2a_protocol.remote.dialling import Peers
from agentcore.a2a_protocol.remote.store import RemoteTaskStore
from agentcore.kit.clock import Clock
from agentcore.kit.security import Principal
from agentcore.kit.supervisor import Supervisor


class RemoteHostings:
    """Made for each turn anew: a card that has changed counts from then on."""

    def __init__(
        self,
        directory: AgentDirectory,
        peers: Peers,
        tasks: RemoteTaskStore,
        *,
        config: A2AConfig,
        supervisor: Supervisor,
        clock: Clock,
    ) -> None:
        self._directory = directory
        self._peers = peers
        self._tasks = tasks
        self._config = config
        self._supervisor = supervisor
        self._clock = clock

    async def find(self, agent_id: str, principal: Principal) -> Hosting | None:
        """The agent as the caller's tenant has registered it; None where it has none.

        Raises:
            RemoteAddressRefused: its card leads nowhere.
        """
        try:
            found = await self._directory.candidate(agent_id, principal)
        except AgentNotFound:
            return None
        if found.status is AgentStatus.TERMINATED:
            raise InvalidParams(
                f"the agent {agent_id!r} is terminated", hint="agent.discover lists those that work"
            )
        agent = RemoteAgent(
            self._address(found, principal.tenant),
            self._peers,
            self._tasks,
            supervisor=self._supervisor,
            clock=self._clock,
        )
        return Hosting(agent_id=agent_id, agent=agent, name=found.name)

    async def locate(self, agent_id: str, owner: Owner) -> RemoteAddress:
        caller = Principal(subject=owner.subject, tenant=owner.tenant, scopes=frozenset())
        found = await self._directory.candidate(agent_id, caller)
        return self._address(found, owner.tenant)

    def _address(self, found: Candidate, tenant: str) -> RemoteAddress:
        if found.card is None:
            raise InvalidParams(
                f"the agent {found.agent_id!r} is registered without a card, and cannot be asked",
                hint="agent.register with an agent_card that says where it is",
            )
        return address_of(
            found.agent_id,
            found.card,
            tenant,
            trusted=self._config.trusted,
            anywhere=self._config.agents_anywhere,
        )
