from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from agentcore.ace import store
from agentcore.ace.models import ContextPlaybook
from agentcore.ace.store import WALKED, Unit
from agentcore.kit.db import Database
from agentcore.kit.db_migrations import differences
from agentcore.kit.jsonvalue import JsonObject
from tests.fakes.context import ContextWorld
from tests.fakes.playbooks import made_delta

INDEXES = {
    "idx_playbooks_agent": "context_playbooks USING btree (agent_id)",
    "idx_playbooks_updated": "context_playbooks USING btree (updated_at DESC)",
    "idx_deltas_playbook": "context_deltas USING btree (playbook_id)",
    "idx_deltas_confidence": "context_deltas USING btree (confidence DESC)",
    "idx_deltas_applied": "context_deltas USING btree (applied, applied_at DESC)",
    "idx_traces_agent": "execution_traces USING btree (agent_id, captured_at DESC)",
    "idx_traces_success": "execution_traces USING btree (success, captured_at DESC)",
    "idx_evolution_status": "evolution_status USING btree (status, last_evolution DESC)",
}
TABLES = (
    "context_playbooks",
    "context_deltas",
    "execution_traces",
    "evolution_status",
    "evolution_bookings",
)


async def test_eight_indexes_stand_as_specified(database: Database) -> None:
    async with database.begin() as connection:
        rows = await connection.execute(
            text("SELECT indexname, indexdef FROM pg_indexes WHERE indexname LIKE 'idx\\_%'")
        )
        found = {row.indexname: row.indexdef for row in rows}
    assert found.keys() == INDEXES.keys()
    assert all(found[name].endswith(f" ON public.{what}") for name, what in INDEXES.items())


async def test_migrated_tables_are_those_of_the_code(database: Database) -> None:
    found = await differences(database)
    assert not any(table in difference for difference in found for table in TABLES)


@pytest.mark.parametrize(
    "statement",
    [
        """INSERT INTO context_deltas (playbook_id, changes, confidence, reasoning)
           SELECT playbook_id, '{}', 1.5, '' FROM context_playbooks""",
        """INSERT INTO execution_traces (agent_id, execution_time, success, output_quality)
           VALUES ('agent-123', 1, true, -0.1)""",
        "UPDATE evolution_status SET status = 'asleep'",
        "INSERT INTO context_playbooks (agent_id, content) VALUES ('agent-123', '{}')",
        "INSERT INTO context_playbooks (agent_id, content) VALUES ('nobody', '{}')",
    ],
)
async def test_constraints_hold(
    database: Database, playbook: ContextPlaybook, statement: str
) -> None:
    with pytest.raises(IntegrityError):
        async with database.begin() as connection:
            await connection.execute(text(statement))


async def test_columns_have_the_specified_defaults(
    database: Database, world: ContextWorld, playbook: ContextPlaybook
) -> None:
    async with database.begin() as connection:
        await connection.execute(text("DELETE FROM context_playbooks"))
        row = await connection.execute(
            text(
                "INSERT INTO context_playbooks (agent_id, content) VALUES ('agent-123', '{}')"
                " RETURNING version, created_at = updated_at AS same, metadata"
            )
        )
        assert tuple(row.one()) == (1, True, {})


async def test_an_agent_without_a_row_is_idle(
    world: ContextWorld, playbook: ContextPlaybook
) -> None:
    status = await world.store.run(lambda unit: unit.status.get("never-seen"))
    assert (status.status, status.pending_traces) == ("idle", 0)


async def test_one_claim_on_an_agent_at_a_time(
    world: ContextWorld, playbook: ContextPlaybook
) -> None:
    async def second(unit: Unit) -> bool:
        return await unit.status.try_claim("agent-123")

    async def first(unit: Unit) -> tuple[bool, bool]:
        mine = await unit.status.try_claim("agent-123")
        return mine, await world.store.run(second)

    assert await world.store.run(first) == (True, False)
    assert await world.store.run(second) is True


async def test_pages_of_deltas_follow_each_other(
    world: ContextWorld, playbook: ContextPlaybook
) -> None:
    for number in range(4):
        world.clock.advance(1)
        delta = made_delta(
            {"goals": [f"goal {number}"]},
            delta_id=f"delta-{number}",
            playbook_id=playbook.playbook_id,
            generated_at=world.clock.now(),
        )
        await world.contexts.apply_delta("agent-123", delta)
    seen: list[int | None] = []
    after: str | None = None
    while page := await world.contexts.deltas("agent-123", after=after, limit=2):
        seen += [entry.result_version for entry in page]
        after = page[-1].delta.delta_id
    assert seen == [5, 4, 3, 2, 1]


async def test_large_deltas_come_in_smaller_pages(
    world: ContextWorld, playbook: ContextPlaybook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "MOST_BYTES", 5000)
    for number in range(6):
        world.clock.advance(1)
        changes: JsonObject = {f"note {number}": "x" * (3000 if number in {1, 2} else 10)}
        delta = made_delta(
            changes,
            delta_id=f"delta-{number}",
            playbook_id=playbook.playbook_id,
            generated_at=world.clock.now(),
        )
        await world.contexts.apply_delta("agent-123", delta)
    sizes, listed, after = [], [], None
    while page := await world.contexts.deltas("agent-123", after=after, limit=100):
        sizes.append(len(page))
        listed += page
        after = page[-1].delta.delta_id
    assert [entry.result_version for entry in listed] == [7, 6, 5, 4, 3, 2, 1]
    assert sizes[0] < 7, "not all at once"
    below: int | None = None
    versions: list[int | None] = []
    while history := await world.contexts.history("agent-123", below=below, limit=100):
        versions += [entry.result_version for entry in history]
        below = history[-1].result_version
    assert versions == [7, 6, 5, 4, 3, 2, 1]

    async def walked(unit: Unit) -> list[int | None]:
        walk = unit.deltas.walk(playbook.playbook_id, above=2)
        return [entry.result_version async for entry in walk]

    assert await world.store.run(walked) == [7, 6, 5, 4, 3]


async def test_what_led_to_a_version_is_read_a_few_at_a_time(
    world: ContextWorld, playbook: ContextPlaybook
) -> None:
    await world.aged(playbook.agent_id, WALKED + 10)

    async def read(unit: Unit) -> list[list[int]]:
        stretches = unit.deltas.stretches(playbook.playbook_id, above=2, upto=WALKED + 5)
        return [[version for version, _ in log] async for log in stretches]

    together = WALKED + 3
    found = await world.store.run(read)
    assert found == [[*range(3, together)], [*range(together, WALKED + 6)]]
