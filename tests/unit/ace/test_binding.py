from __future__ import annotations

import pytest

from agentcore.ace.binding import MARK, Binding, environment_of
from agentcore.ace.errors import PlaybookNotFound
from agentcore.ace.models import ContextPlaybook
from agentcore.kit.errors import Forbidden, NotFound
from agentcore.kit.security import Principal
from tests.fakes.context import ALICE, MALLORY, ContextWorld
from tests.fakes.playbooks import made_playbook

AGENT = "agent-123"
PLAYER = Principal(
    subject="alice",
    tenant="north",
    scopes=ALICE.scopes | {"llm", "env:act", "env:control"},
)


def test_the_owners_word_counts_more_than_the_setting() -> None:
    settings = {"a": "maze", "hosted": "world"}
    assert environment_of(made_playbook(), settings) == "maze"
    assert environment_of(made_playbook(agent_id="hosted.acme"), settings) == "world"
    assert environment_of(made_playbook(agent_id="other"), settings) == ""
    for own in ("town", ""):
        bound = made_playbook(metadata={MARK: Binding(environment=own).model_dump()})
        assert environment_of(bound, settings) == own


async def test_an_owner_binds_and_unbinds(world: ContextWorld, playbook: ContextPlaybook) -> None:
    assert await world.bindings.get(AGENT, principal=ALICE) == ""
    await world.bindings.bind(AGENT, "maze", principal=PLAYER)
    assert await world.bindings.get(AGENT, principal=ALICE) == "maze"
    await world.bindings.bind(AGENT, "", principal=ALICE)
    assert await world.bindings.get(AGENT) == ""


async def test_only_who_may_play_there_binds_and_only_what_exists(
    world: ContextWorld, playbook: ContextPlaybook
) -> None:
    with pytest.raises(Forbidden, match="'llm'"):
        await world.bindings.bind(AGENT, "maze", principal=ALICE)
    with pytest.raises(NotFound, match="'castle'"):
        await world.bindings.bind(AGENT, "castle", principal=PLAYER)
    for agent_id in (AGENT, "nobody"):
        with pytest.raises(PlaybookNotFound):
            await world.bindings.bind(agent_id, "maze", principal=MALLORY)
        with pytest.raises(PlaybookNotFound):
            await world.bindings.get(agent_id, principal=MALLORY)
    assert await world.bindings.get(AGENT) == ""
