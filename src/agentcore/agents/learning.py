"""Hosted agents learn per tenant: what their tasks leave behind goes to the playbook of its own."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from agentcore.a2a_protocol.ports import TaskObserver, TaskOutcome
from agentcore.ace.ports import AgentDirectory
from agentcore.kit.security import Principal


class Hosts(AgentDirectory, Protocol):
    def known_as(self, agent_id: str, tenant: str) -> str:
        """The id under which a tenant knows the agent: a hosted one is an agent of each."""
        ...


class TenantTraces:
    """A ``TaskObserver`` that tells another one of a hosted agent as the tenant's own.

    Who has not been told of such an agent before finds it registered, for the task's caller.
    """

    def __init__(self, observer: TaskObserver, hosts: Hosts) -> None:
        self._observer = observer
        self._hosts = hosts

    async def task_finished(self, outcome: TaskOutcome) -> None:
        known_as = self._hosts.known_as(outcome.agent_id, outcome.tenant)
        if known_as != outcome.agent_id:
            outcome = replace(outcome, agent_id=known_as)
            await self._registered(outcome)
        await self._observer.task_finished(outcome)

    async def _registered(self, outcome: TaskOutcome) -> None:
        if await self._hosts.owner(outcome.agent_id) is None:
            caller = str(outcome.metadata.get("caller", ""))
            principal = Principal(subject=caller, tenant=outcome.tenant, scopes=frozenset())
            await self._hosts.ensure(outcome.agent_id, principal)
