from __future__ import annotations

import pytest

from agentcore.a2a_protocol.errors import InvalidParams, UnsupportedOperation
from agentcore.a2a_protocol.hosting import HostedAgents, Hosting
from tests.fakes.a2a import ScriptedAgent


def hosted(*names: str) -> HostedAgents:
    agents = HostedAgents()
    for name in names:
        agents.add(Hosting(agent_id=name, agent=ScriptedAgent()))
    return agents


def test_the_first_agent_answers_for_nobody_in_particular() -> None:
    agents = hosted("a", "b")
    assert agents.choose("").agent_id == "a"
    assert agents.choose("b").agent_id == "b"
    assert [hosting.agent_id for hosting in agents] == ["a", "b"]


def test_an_unknown_agent_is_not_replaced_by_another() -> None:
    with pytest.raises(InvalidParams, match="'c'") as caught:
        hosted("a", "b").choose("c")
    assert "a, b" in caught.value.hint


def test_without_agents_there_is_nobody_to_ask() -> None:
    with pytest.raises(UnsupportedOperation):
        hosted().choose("")


def test_an_id_is_hosted_once() -> None:
    with pytest.raises(ValueError, match="'a'"):
        hosted("a", "a")


@pytest.mark.parametrize(
    ("agent_id", "reserved"),
    [
        ("house", True),
        ("house.acme", False),
        ("house.other", True),
        ("house.acme.more", True),
        ("household", False),
        ("somebody", False),
    ],
)
def test_no_tenant_takes_the_name_of_another_ones_agent(agent_id: str, reserved: bool) -> None:
    assert hosted("house").reserves(agent_id, "acme") is reserved
