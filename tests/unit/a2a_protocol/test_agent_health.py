from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta

import pytest

from agentcore.a2a_protocol.agent_registry import AgentRegistry
from agentcore.a2a_protocol.models.agent import AgentHealth, AgentRecord, AgentStatus, Move
from agentcore.a2a_protocol.models.agent_card import AgentCard
from agentcore.a2a_protocol.registry.health import (
    AT_ONCE,
    LONGEST_BACKOFF,
    UNHEALTHY_AFTER,
    unanswered,
)
from agentcore.a2a_protocol.registry.store import RegistryStore
from agentcore.kit import jsonvalue
from agentcore.kit.db import Database
from agentcore.kit.supervisor import Supervisor
from tests.fakes.a2a import known_agents, principal
from tests.fakes.card_server import CARD, CardServer, card_server
from tests.fakes.clock import ManualClock
from tests.fakes.waiting import eventually
from tests.unit.a2a_protocol.test_discovery import agent

ALICE = principal("alice")
SECONDS = 60.0
CLAIM = timedelta(seconds=60)


@pytest.fixture
def known(database: Database, supervisor: Supervisor, clock: ManualClock) -> AgentRegistry:
    return known_agents(database, supervisor, clock, agent_check_seconds=SECONDS)


@pytest.fixture
def store(database: Database) -> RegistryStore:
    return RegistryStore(database)


@pytest.fixture
async def server() -> AsyncIterator[CardServer]:
    async with card_server() as running:
        yield running


async def register(known: AgentRegistry, url: str, agent_id: str = "poet") -> AgentRecord:
    card = AgentCard.model_validate({"name": "P", "url": url})
    return await known.agents.register(card, ALICE, agent_id=agent_id)


class Looking:
    """Reads the cards that are due, as the watch does, and lets time pass in between."""

    def __init__(self, known: AgentRegistry, store: RegistryStore, clock: ManualClock) -> None:
        self._known, self._store, self.clock = known, store, clock

    async def look(self, after: float = 0.0) -> int:
        self.clock.advance(after)
        now = self.clock.now()
        due = await self._store.due_checks(now, now + CLAIM, 10)
        for each in due:
            await self._known.health.check(each)
        return len(due)

    async def agent(self, agent_id: str = "poet") -> AgentRecord:
        return await self._known.agents.get(agent_id, ALICE)


@pytest.fixture
def looking(known: AgentRegistry, store: RegistryStore, clock: ManualClock) -> Looking:
    return Looking(known, store, clock)


async def test_an_agent_that_shows_its_card_is_well(
    known: AgentRegistry, looking: Looking, server: CardServer
) -> None:
    assert (await register(known, server.url)).health is AgentHealth.UNKNOWN
    assert await looking.look() == 1
    found = await looking.agent()
    assert (found.health, found.failures, found.name) == (AgentHealth.HEALTHY, 0, "P")
    assert await looking.look() == 0, "it is looked at again after a while"
    assert await looking.look(2 * SECONDS) == 1


async def test_one_that_answers_no_more_is_unhealthy_after_a_while(
    known: AgentRegistry, looking: Looking, server: CardServer
) -> None:
    await register(known, server.url)
    await looking.look()
    server.status = 500
    waits = []
    found = await looking.agent()
    for _ in range(UNHEALTHY_AFTER):
        assert found.health is AgentHealth.HEALTHY
        await looking.look(2 * SECONDS)
        found = await looking.agent()
        assert found.check_at is not None
        assert found.checked_at is not None
        waits.append((found.check_at - found.checked_at).total_seconds())
    said = (found.health, found.health_reason)
    assert said == (AgentHealth.UNHEALTHY, "it answers with status 500")
    assert waits == sorted(waits)
    assert waits[2] == pytest.approx(4 * waits[0])
    server.status = 200
    await looking.look(LONGEST_BACKOFF)
    found = await looking.agent()
    assert (found.health, found.failures, found.health_reason) == (AgentHealth.HEALTHY, 0, "")
    log = await known.agents.log(found)
    assert [each.what for each in log] == ["healthy", "unhealthy", "healthy", "registered"]


def test_the_pause_has_an_end(clock: ManualClock) -> None:
    now, record = clock.now(), agent("poet")
    for _ in range(100):
        record = unanswered(record, "away", now)
    assert record.check_at is not None
    assert (record.check_at - now).total_seconds() <= LONGEST_BACKOFF * 1.1


async def test_the_registry_follows_a_card_at_an_address(
    known: AgentRegistry, looking: Looking, server: CardServer
) -> None:
    made = await known.agents.register_at(server.card_url, ALICE, agent_id="poet")
    assert (made.name, made.version, made.health) == ("Poet", "2.0.0", AgentHealth.HEALTHY)
    assert made.endpoint is not None
    await looking.look(2 * SECONDS)
    same = await looking.agent()
    looked = replace(made, checked_at=same.checked_at, check_at=same.check_at)
    assert same == looked, "it was asked whether the card has changed, and it has not"
    server.etag, server.body = '"2"', jsonvalue.dumps({**CARD, "version": "3", "skills": []})
    await looking.look(2 * SECONDS)
    changed = await looking.agent()
    assert (changed.version, changed.skills, changed.card_etag) == ("3", (), '"2"')
    assert changed.updated_at > made.updated_at
    server.body = b"{}"
    server.etag = '"3"'
    await looking.look(2 * SECONDS)
    kept = await looking.agent()
    assert (kept.version, kept.failures) == ("3", 1), "a bad card replaces no good one"


async def test_an_address_that_may_not_be_asked_says_nothing_of_health(
    database: Database, supervisor: Supervisor, clock: ManualClock, store: RegistryStore
) -> None:
    guarded = known_agents(database, supervisor, clock, agents_anywhere=False)
    looking = Looking(guarded, store, clock)
    await register(guarded, "http://127.0.0.1:1/")
    for _ in range(5):
        await looking.look(LONGEST_BACKOFF + SECONDS)
    found = await looking.agent()
    assert (found.health, found.failures) == (AgentHealth.UNKNOWN, 0)
    assert "private" in found.health_reason


async def test_what_is_registered_anew_meanwhile_is_not_overwritten(
    known: AgentRegistry, looking: Looking, store: RegistryStore, clock: ManualClock
) -> None:
    await register(known, "http://127.0.0.1:1/")
    now = clock.now()
    (claimed,) = await store.due_checks(now, now + CLAIM, 10)
    await register(known, "http://127.0.0.1:2/")
    await known.health.check(claimed)
    found = await looking.agent()
    assert found.endpoint is not None
    assert (found.endpoint["url"], found.failures) == ("http://127.0.0.1:2/", 0)


async def test_a_look_overwrites_nothing_that_changed_meanwhile(
    known: AgentRegistry, looking: Looking, store: RegistryStore, server: CardServer
) -> None:
    """What is known of its health is written all the same, and the card with the next look."""
    made = await known.agents.register_at(server.card_url, ALICE, agent_id="poet")
    now = looking.clock.now()
    (claimed,) = await store.due_checks(now, now + CLAIM, 10)
    server.etag, server.body = '"2"', jsonvalue.dumps({**CARD, "name": "Renamed"})
    looking.clock.advance(1)
    await known.agents.move("poet", Move.DRAIN, ALICE)
    await known.health.check(claimed)
    found = await looking.agent()
    assert (found.name, found.status) == (made.name, AgentStatus.DRAINING)
    assert found.checked_at == looking.clock.now()
    await looking.look(2 * SECONDS)
    renamed = await looking.agent()
    assert (renamed.name, renamed.status) == ("Renamed", AgentStatus.DRAINING)


async def test_each_look_belongs_to_one_process(
    database: Database, store: RegistryStore, known: AgentRegistry, clock: ManualClock
) -> None:
    for number in range(20):
        await register(known, "http://127.0.0.1:1/", f"p{number}")
    now = clock.now()
    taken = await asyncio.gather(
        *(RegistryStore(database).due_checks(now, now + CLAIM, 5) for _ in range(4))
    )
    ids = [each.agent_id for part in taken for each in part]
    assert len(ids) == len(set(ids))
    # Who died with what it had claimed is followed by another one.
    clock.advance(CLAIM.total_seconds() + 1)
    assert len(await store.due_checks(clock.now(), clock.now() + CLAIM, 50)) == 20


async def test_agents_that_hang_hold_up_no_other(
    known: AgentRegistry, clock: ManualClock, supervisor: Supervisor, store: RegistryStore
) -> None:
    async with AsyncExitStack() as stack:
        hanging = await stack.enter_async_context(card_server())
        well = await stack.enter_async_context(card_server())
        hanging.go.clear()
        for number in range(AT_ONCE - 1):
            await register(known, hanging.url, f"a{number}")
        clock.advance(1)
        for number in range(4):
            await register(known, well.url, f"z{number}")
        watching = supervisor.spawn("health", known.health.watch())
        await eventually(lambda: len(well.asked) == 4)
        assert len(hanging.asked) == AT_ONCE - 1, "no more of them at once than that"
        await supervisor.cancel(watching)
