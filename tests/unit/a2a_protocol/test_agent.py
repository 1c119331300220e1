from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from agentcore.a2a_protocol.examples import AGENT, AGENT_DETAILS, MOVES
from agentcore.a2a_protocol.models.agent import STEPS, AgentHealth, AgentStatus, Move, moves_from
from tests.unit.a2a_protocol.test_discovery import NOW, agent


def test_every_state_but_the_last_can_be_left_and_terminated() -> None:
    for status in AgentStatus:
        legal = moves_from(status)
        assert (Move.TERMINATE in legal) == (status is not AgentStatus.TERMINATED)
        assert all(STEPS[move].after is not status for move in legal)
    assert moves_from(AgentStatus.TERMINATED) == ()
    assert set(MOVES) == {move.value for move in Move}


@pytest.mark.parametrize(
    ("health", "left", "expected"),
    [
        (AgentHealth.UNKNOWN, None, AgentHealth.UNKNOWN),
        (AgentHealth.UNHEALTHY, None, AgentHealth.UNHEALTHY),
        (AgentHealth.UNKNOWN, 1, AgentHealth.HEALTHY),
        (AgentHealth.UNHEALTHY, 1, AgentHealth.UNHEALTHY),
        (AgentHealth.HEALTHY, 0, AgentHealth.SILENT),
        (AgentHealth.UNHEALTHY, -1, AgentHealth.SILENT),
    ],
)
def test_heartbeats_and_looks_make_the_health(
    health: AgentHealth, left: int | None, expected: AgentHealth
) -> None:
    until = None if left is None else NOW + timedelta(seconds=left)
    assert replace(agent("poet"), health=health, expires_at=until).at(NOW).health is expected


def test_the_examples_have_the_form_of_what_they_show() -> None:
    poet = agent("poet")
    assert poet.summary().keys() == AGENT.keys()
    assert poet.details().keys() | {"events", "score"} == AGENT_DETAILS.keys() | {"score"}
