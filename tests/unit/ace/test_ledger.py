from __future__ import annotations

import asyncio
import itertools
import random
from datetime import UTC, datetime

import pytest
from sqlalchemy import text

from agentcore.ace.content import Draft
from agentcore.ace.errors import (
    DeltaForOtherPlaybook,
    DeltaIdReused,
    InvalidContent,
    InvalidOperation,
    PlaybookExists,
    PlaybookNotFound,
    PlaybookTooLarge,
    PlaybookVersionConflict,
    VersionNotFound,
)
from agentcore.ace.journal import Entry
from agentcore.ace.models import ContextDelta, ContextPlaybook, DeltaOutcome
from agentcore.kit.ids import stable_uuid
from agentcore.kit.jsonvalue import JsonObject, JsonValue
from tests.fakes.context import ALICE, ContextWorld
from tests.fakes.playbooks import rebuilt

NUMBERS = itertools.count()


def delta(
    changes: JsonObject,
    *,
    confidence: float = 0.85,
    delta_id: str = "",
    playbook_id: str = "pb-456",
) -> ContextDelta:
    return ContextDelta(
        delta_id=delta_id or f"delta-{next(NUMBERS)}",
        playbook_id=playbook_id,
        changes=changes,
        confidence=confidence,
        reasoning="asked for",
        generated_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


def adding(text: str, section: str = "checks") -> JsonObject:
    return {"ops": [{"op": "ADD", "section": section, "text": text}]}


def texts(playbook: ContextPlaybook) -> set[str]:
    return {place.bullet.text for place in Draft.of(playbook.content).bullets()}


async def entries_of(world: ContextWorld, playbook: ContextPlaybook) -> JsonObject:
    found = await world.store.run(lambda unit: unit.deltas.versions(playbook.playbook_id))
    return rebuilt(list(reversed(found)))


async def test_concurrent_update_optimistic_lock(
    world: ContextWorld, playbook: ContextPlaybook
) -> None:
    wanted = [f"Lesson {number}." for number in range(30)]
    async with asyncio.TaskGroup() as group:
        for text in wanted:
            group.create_task(world.contexts.apply_delta("agent-123", delta(adding(text))))
    found = await world.contexts.get_playbook("agent-123")
    assert (found.version, texts(found)) == (31, set(wanted))
    assert await entries_of(world, found) == found.content


async def test_the_same_delta_at_once_counts_once(
    world: ContextWorld, playbook: ContextPlaybook
) -> None:
    once = delta(adding("Once."))
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(world.ledger.apply("agent-123", once, None)) for _ in range(8)]
    assert {task.result().playbook.version for task in tasks} == {2}
    assert all(task.result().applied for task in tasks)


async def test_a_delta_sent_again_changes_nothing(
    world: ContextWorld, playbook: ContextPlaybook
) -> None:
    first = delta({"goals": ["b"]}, delta_id="delta-789")
    await world.ledger.apply("agent-123", first, None)
    await world.ledger.apply("agent-123", delta({"goals": ["c"]}), None)
    again = await world.ledger.apply("agent-123", first, None)
    assert (again.applied, again.playbook.version) == (True, 3)
    with pytest.raises(DeltaIdReused):
        await world.ledger.apply("agent-123", delta({"x": 1}, delta_id="delta-789"), None)


async def test_ids_that_callers_choose_are_their_own(
    world: ContextWorld, playbook: ContextPlaybook
) -> None:
    await world.contexts.create_playbook("agent-9", {}, principal=ALICE)
    one = await world.ledger.apply("agent-123", delta({"a": 1}, delta_id="delta-789"), None)
    two = await world.ledger.apply("agent-9", delta({"b": 2}, delta_id="delta-789"), None)
    assert (one.applied, two.applied) == (True, True)
    taken = str(world.ids.new())
    await world.ledger.apply("agent-123", delta({"c": 1}, delta_id=taken), None)
    with pytest.raises(DeltaIdReused):
        await world.ledger.apply("agent-9", delta({"c": 1}, delta_id=taken), None)


async def test_unsure_deltas_are_kept_and_not_applied(
    world: ContextWorld, playbook: ContextPlaybook
) -> None:
    outcome = await world.ledger.apply("agent-123", delta({"goals": ["b"]}, confidence=0.69), None)
    assert (outcome.applied, outcome.reason, outcome.playbook.version) == (False, "confidence", 1)
    kept = (await world.contexts.deltas("agent-123"))[0]
    assert (kept.delta.applied, kept.delta.changes) == (False, {"goals": ["b"]})
    assert kept.gate["detail"] == "0.69 is below 0.7, the ACE_CONFIDENCE_THRESHOLD"


async def test_what_is_there_already_raises_no_version(
    world: ContextWorld, playbook: ContextPlaybook
) -> None:
    outcome = await world.ledger.apply(
        "agent-123", delta({"goals": ["Solve customer issues"]}), None
    )
    assert (outcome.applied, outcome.reason, outcome.playbook.version) == (False, "no_op", 1)


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        (adding("a"), adding("b")),
        ({"goals": ["x"]}, {"goals": ["y"]}),
        ({"name": "x"}, adding("b")),
        (
            {"ops": [{"op": "TAG", "id": "b1", "helpful": 1}]},
            {"ops": [{"op": "UPDATE", "id": "b1", "text": "z"}]},
        ),
    ],
)
async def test_a_delta_for_an_older_version_is_rebased_on_what_it_does_not_touch(
    world: ContextWorld, playbook: ContextPlaybook, older: JsonObject, newer: JsonObject
) -> None:
    await world.ledger.apply("agent-123", delta(adding("base")), None)
    await world.ledger.apply("agent-123", delta(older), 2)
    outcome = await world.ledger.apply("agent-123", delta(newer), 2)
    assert (outcome.applied, outcome.playbook.version) == (True, 4)


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        (
            {"ops": [{"op": "UPDATE", "id": "b1", "text": "z"}]},
            {"ops": [{"op": "REMOVE", "id": "b1"}]},
        ),
        (
            {"ops": [{"op": "MOVE", "id": "b1", "section": "x"}]},
            {"ops": [{"op": "UPDATE", "id": "b1", "text": "q"}]},
        ),
        ({"name": "x"}, {"name": "y"}),
        (
            {"ops": [{"op": "REMOVE", "id": "b1"}]},
            {"ops": [{"op": "TAG", "id": "b1", "helpful": 1}]},
        ),
        (
            {"ops": [{"op": "SET", "path": ["goals"], "value": "none"}]},
            {"ops": [{"op": "EXTEND", "path": ["goals"], "items": ["x"]}]},
        ),
    ],
)
async def test_a_conflict_names_both_versions(
    world: ContextWorld, playbook: ContextPlaybook, older: JsonObject, newer: JsonObject
) -> None:
    await world.ledger.apply("agent-123", delta(adding("base")), None)
    await world.ledger.apply("agent-123", delta(older), 2)
    with pytest.raises(PlaybookVersionConflict) as caught:
        await world.ledger.apply("agent-123", delta(newer), 2)
    assert caught.value.context == {"expected_version": 2, "found_version": 3}
    with pytest.raises(PlaybookVersionConflict):
        await world.ledger.apply("agent-123", delta(newer), 9)


async def test_rollback_restores_previous_version(
    world: ContextWorld, playbook: ContextPlaybook
) -> None:
    second = (await world.ledger.apply("agent-123", delta(adding("a")), None)).playbook
    removal: JsonValue = {"op": "REMOVE", "id": "b1"}
    await world.ledger.apply(
        "agent-123",
        delta(
            {
                "ops": [removal],
            }
        ),
        None,
    )
    await world.ledger.apply("agent-123", delta({"goals": ["x"], "name": "y"}), None)
    back = (await world.ledger.rollback("agent-123", 2)).playbook
    assert (back.version, back.content) == (5, second.content)
    forth = (await world.ledger.rollback("agent-123", 4)).playbook
    assert forth.version == 6
    assert forth.content["goals"] == ["solve customer issues", "x"]
    assert await entries_of(world, forth) == forth.content


async def test_any_version_is_rebuilt_from_a_few_entries(
    world: ContextWorld, playbook: ContextPlaybook
) -> None:
    made = [playbook, *await world.aged("agent-123", 49)]
    made.append((await world.ledger.apply("agent-123", delta({"goals": ["b"]}), None)).playbook)
    taken = delta(
        adding("Sly."), delta_id=str(stable_uuid(f"snapshot 2 of {playbook.playbook_id}"))
    )
    made.append((await world.ledger.apply("agent-123", taken, None)).playbook)
    made += await world.aged("agent-123", 105)
    contents = {one.version: one.content for one in made}
    for version in (1, 2, 49, 50, 51, 99, 100, 101, 105):
        assert await world.ledger.content_at("agent-123", version) == contents[version]
    assert (await start_of(world, playbook, 49)).kind == "seed"
    near = await start_of(world, playbook, 99)
    assert (near.kind, near.base_version) == ("snapshot", 50)
    # Somebody took the id of the second snapshot for a delta: the way is longer, not wrong.
    assert (await start_of(world, playbook, 105)).base_version == 50
    back = (await world.ledger.rollback("agent-123", 50)).playbook
    assert texts(back) == texts(playbook.model_copy(update={"content": contents[50]}))
    assert await world.ledger.content_at("agent-123", 106) == back.content
    assert {entry.kind for entry in await world.contexts.deltas("agent-123", limit=200)} == {
        "seed",
        "delta",
        "rollback",
    }
    for unknown in (0, 107):
        with pytest.raises(VersionNotFound, match=str(unknown)):
            await world.ledger.content_at("agent-123", unknown)
    with pytest.raises(PlaybookNotFound):
        await world.ledger.content_at("nobody", 1)


async def test_a_playbook_that_came_without_a_log_can_be_used_and_taken_back(
    world: ContextWorld, playbook: ContextPlaybook
) -> None:
    """As another implementation of the specification left it: no bullets, deltas without ops."""
    async with world.database.begin() as connection:
        await connection.execute(text("DELETE FROM context_deltas"))
        await connection.execute(text("UPDATE context_playbooks SET version = 7"))
        await connection.execute(
            text("""INSERT INTO context_deltas
                           (delta_id, playbook_id, changes, confidence, reasoning)
                    SELECT :id, playbook_id, '{"goals": ["x"]}', 0.9, '' FROM context_playbooks"""),
            {"id": stable_uuid("theirs")},
        )
    await world.ledger.apply("agent-123", delta(adding("Ours.")), None)
    after = (await world.ledger.apply("agent-123", delta({"goals": ["y"]}), None)).playbook
    assert (after.version, texts(after)) == (9, {"Ours."})
    assert await world.ledger.content_at("agent-123", 9) == after.content
    assert await world.ledger.content_at("agent-123", 7) == playbook.content
    back = (await world.ledger.rollback("agent-123", 7)).playbook
    assert (back.version, back.content["goals"], texts(back)) == (
        10,
        ["solve customer issues"],
        set(),
    )
    with pytest.raises(VersionNotFound) as caught:
        await world.ledger.content_at("agent-123", 6)
    assert caught.value.hint == "give a version from 7 to 10"
    theirs = str(stable_uuid("theirs"))
    with pytest.raises(DeltaIdReused):
        await world.ledger.apply("agent-123", delta({"goals": ["z"]}, delta_id=theirs), None)
    listed = [entry.delta.delta_id for entry in await world.contexts.deltas("agent-123")]
    assert len(listed) == 4
    assert theirs in listed


async def test_whatever_writers_do_at_once_the_log_leads_to_what_is_there(
    world: ContextWorld, playbook: ContextPlaybook
) -> None:
    """Two processes add, change, remove, merge and roll back; some find that they came too late."""
    other = ContextWorld(world.database, world.cache, world.supervisor, world.clock)
    await world.aged("agent-123", 44)
    chance = random.Random(7)

    def sent() -> JsonObject:
        one, two = chance.sample([f"b{number}" for number in range(1, 12)], 2)
        operations: list[JsonObject] = [
            {"op": "ADD", "section": "new", "text": f"New {chance.random()}."},
            {"op": "UPDATE", "id": one, "text": f"Better {chance.random()}."},
            {"op": "REMOVE", "id": one},
            {"op": "MERGE", "ids": [one, two]},
            {"op": "MOVE", "id": one, "section": "moved"},
            {"op": "TAG", "id": one, "helpful": 1},
        ]
        return {"ops": [chance.choice(operations)]}

    async def write(number: int) -> DeltaOutcome | None:
        ledger = (world, other)[number % 2].ledger
        try:
            if number % 8 == 7:
                return await ledger.rollback("agent-123", 40)
            return await ledger.apply("agent-123", delta(sent()), None)
        except InvalidOperation:
            return None

    outcomes = await asyncio.gather(*(write(number) for number in range(40)))
    versions = [outcome.playbook.version for outcome in outcomes if outcome is not None]
    assert sorted(versions) == list(range(45, 45 + len(versions)))
    made = {one.playbook.version: one.playbook.content for one in outcomes if one is not None}
    found = await world.store.run(lambda unit: unit.playbooks.of("agent-123"))
    assert found is not None
    assert found.content == made[max(versions)]
    assert await entries_of(world, found) == found.content
    for version in versions[::4]:
        assert await other.ledger.content_at("agent-123", version) == made[version]


async def start_of(world: ContextWorld, playbook: ContextPlaybook, version: int) -> Entry:
    found = await world.store.run(lambda unit: unit.deltas.start_of(playbook.playbook_id, version))
    assert found is not None
    return found


@pytest.mark.parametrize("version", [0, 2, 3])
async def test_only_earlier_versions_come_back(
    world: ContextWorld, playbook: ContextPlaybook, version: int
) -> None:
    await world.ledger.apply("agent-123", delta(adding("a")), None)
    with pytest.raises(VersionNotFound):
        await world.ledger.rollback("agent-123", version)


async def test_what_cannot_be_applied_leaves_nothing(
    world: ContextWorld, playbook: ContextPlaybook
) -> None:
    with pytest.raises(InvalidOperation):
        await world.ledger.apply("agent-123", delta({"ops": [{"op": "REMOVE", "id": "b1"}]}), None)
    with pytest.raises(InvalidContent):
        await world.ledger.apply("agent-123", delta({"goals": {"a": 1}}), None)
    with pytest.raises(PlaybookTooLarge):
        await world.ledger.apply("agent-123", delta({"note": "x" * (1 << 20)}), None)
    other = delta({"a": 1}, playbook_id=str(world.ids.new()))
    with pytest.raises(DeltaForOtherPlaybook):
        await world.ledger.apply("agent-123", other, None)
    with pytest.raises(PlaybookNotFound):
        await world.ledger.apply("nobody", delta({"a": 1}), None)
    assert [entry.kind for entry in await world.contexts.deltas("agent-123")] == ["seed"]


async def test_an_empty_playbook_that_nobody_touched_gives_way(world: ContextWorld) -> None:
    await world.contexts.create_playbook("agent-123", {}, principal=ALICE)
    made = await world.ledger.create("agent-123", {"goals": ["win"]})
    assert (made.version, made.content) == (1, {"goals": ["win"]})
    assert await entries_of(world, made) == made.content
    with pytest.raises(PlaybookExists):
        await world.ledger.create("agent-123", {"goals": ["lose"]})


async def test_creating_at_once_makes_one_playbook(world: ContextWorld) -> None:
    await world.agents.ensure("agent-123", ALICE)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_created(world, {"by": number})) for number in range(6)]
    made = [task.result() for task in tasks if task.result() is not None]
    assert len(made) == 1
    assert (await world.contexts.get_playbook("agent-123")).content == made[0].content  # type: ignore[union-attr]  # filtered


async def _created(world: ContextWorld, context: JsonObject) -> ContextPlaybook | None:
    try:
        return await world.ledger.create("agent-123", context)
    except PlaybookExists:
        return None
