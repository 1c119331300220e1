"""The ids of agents: made up here, or chosen by whoever registers them."""

from __future__ import annotations

from dataclasses import dataclass

from agentcore.a2a_protocol.errors import AgentIdOfNoTenant
from agentcore.kit.ids import Ids


@dataclass(frozen=True, slots=True)
class AgentNames:
    """With ``by_tenant`` a chosen id is a name with the tenant behind it.

    Ids are unique in the installation: then nobody can come across one of another tenant.
    """

    ids: Ids
    by_tenant: bool = False

    def of(self, chosen: str | None, tenant: str) -> str:
        """The id of a new agent.

        Raises:
            AgentIdOfNoTenant: it has to end with the tenant, and does not.
        """
        if chosen is None:
            return str(self.ids.new())
        # Up to the first dot: of two tenants only one is what comes behind it.
        name, _, behind = chosen.partition(".")
        if self.by_tenant and (not name or behind != tenant):
            raise AgentIdOfNoTenant(chosen, tenant)
        return chosen
