from __future__ import annotations

import pytest

from agentcore.ace.visibility import sees
from agentcore.kit.security import Principal


@pytest.mark.parametrize(
    ("subject", "tenant", "visible"),
    [
        ("alice", "north", True),
        ("alice", "south", False),
        ("agent:a1", "north", True),
        ("agent:a1", "south", False),
        ("agent:a2", "north", False),
        ("agent:", "north", False),
        ("agent:a1 ", "north", False),
        ("Agent:a2", "north", True),
    ],
)
def test_a_tenant_sees_its_agents_and_an_agent_sees_itself(
    subject: str, tenant: str, visible: bool
) -> None:
    principal = Principal(subject=subject, tenant=tenant, scopes=frozenset())
    assert sees(principal, "a1", tenant="north") is visible


def test_agentcore_itself_sees_everything() -> None:
    assert sees(None, "a1", tenant="north")
