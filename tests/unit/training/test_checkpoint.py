from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from agentcore.kit.db import Database
from agentcore.kit.errors import InvalidInput
from agentcore.kit.ids import Ids
from agentcore.training.checkpoint import (
    Checkpoints,
    metric_changes,
    outdated,
    random_state,
    restored,
)
from agentcore.training.errors import CheckpointConflict, CheckpointCorrupt, CheckpointNotFound
from agentcore.training.models import (
    CheckpointDraft,
    CheckpointEntry,
    MetricChange,
    ResumePoint,
    Retention,
)
from agentcore.training.openenv.environments.examples.guess_number import GuessNumber
from agentcore.training.openenv.environments.policies import POLICIES
from agentcore.training.openenv.playing import local_sessions
from agentcore.training.rollouts import rollout
from agentcore.training.store import CheckpointStore
from tests.fakes.clock import ManualClock


@pytest.fixture
def checkpoints(database: Database, clock: ManualClock, ids: Ids) -> Checkpoints:
    return Checkpoints(CheckpointStore(database), clock=clock, ids=ids)


def draft(content: Any = "p", **more: Any) -> CheckpointDraft:
    values = {"kind": "prompt", "name": "router", "content": content, **more}
    return CheckpointDraft.model_validate(values)


async def test_versions_are_kept_as_they_were_saved(checkpoints: Checkpoints) -> None:
    content = {
        "text": "Route \u0000 é 😀".replace("😀", "\U0001d11e"),
        "b": 1.0,
        "a": [1e-300, -0.0, 2**63],
    }
    first = await checkpoints.save("t", draft(content, metrics={"reward": 0.25}), by="ada")
    second = await checkpoints.save("t", draft("better"))
    assert (first.version, first.parent) == (1, None)
    assert (second.version, second.parent) == (2, 1)
    assert await checkpoints.load("t", "prompt", "router", 1) == first
    assert first.content == content
    assert list(first.content) == ["text", "b", "a"], "members in their order"
    newest = await checkpoints.load("t", "prompt", "router")
    assert (newest.content, newest.created_by, first.created_by) == ("better", "", "ada")
    for absent in (("x", "prompt", "router"), ("t", "policy", "router"), ("t", "prompt", "other")):
        with pytest.raises(CheckpointNotFound):
            await checkpoints.load(*absent)
    with pytest.raises(CheckpointNotFound, match="no version 3"):
        await checkpoints.load("t", "prompt", "router", 3)


async def test_a_run_goes_on_as_if_it_had_never_stopped(checkpoints: Checkpoints) -> None:
    """Ten episodes in one go, and in two halves with a checkpoint between them."""

    async def play(random: Random, position: int, until: int) -> list[float]:
        seeds = [11 * place for place in range(position, until)]
        luck = random.random()
        found = await rollout(
            POLICIES["guess_number"].random, local_sessions(GuessNumber), len(seeds), seeds
        )
        return [episode.reward + luck * random.gauss(0, 1) for episode in found.episodes]

    whole = Random(5)
    straight = await play(whole, 0, 5) + await play(whole, 5, 10)
    begun = Random(5)
    first = await play(begun, 0, 5)
    point = ResumePoint(random=random_state(begun), position=5, optimizer={"trials": [1, 2]})
    await checkpoints.save("t", draft("policy", resume=point))
    loaded = (await checkpoints.load("t", "prompt", "router")).resume
    assert loaded == point
    assert loaded is not None
    assert first + await play(restored(loaded.random), loaded.position, 10) == straight


@given(st.integers(), st.integers(0, 700))
def test_a_generator_is_restored_where_it_stood(seed: int, drawn: int) -> None:
    random = Random(seed)
    random.gauss(0, 1)
    for _ in range(drawn):
        random.random()
    again = restored(random_state(random))
    assert [again.gauss(0, 1), again.random()] == [random.gauss(0, 1), random.random()]


@pytest.mark.parametrize("state", [None, [], [3, [1, 2], None], [3, ["x"] * 625, None], "state"])
def test_what_is_no_state_is_refused(state: Any) -> None:
    with pytest.raises(InvalidInput, match="not a generator's state"):
        restored(state)


async def test_writers_at_once_get_versions_of_their_own(checkpoints: Checkpoints) -> None:
    saved = await asyncio.gather(*(checkpoints.save("t", draft(n)) for n in range(12)))
    assert sorted(each.version for each in saved) == list(range(1, 13))
    for each in saved:
        assert (
            await checkpoints.load("t", "prompt", "router", each.version)
        ).content == each.content


async def test_of_two_that_expect_the_same_version_one_saves(checkpoints: Checkpoints) -> None:
    await checkpoints.save("t", draft(expected_version=0))
    both = [checkpoints.save("t", draft(n, expected_version=1)) for n in range(2)]
    found = await asyncio.gather(*both, return_exceptions=True)
    assert sorted(type(each).__name__ for each in found) == ["Checkpoint", "CheckpointConflict"]
    with pytest.raises(CheckpointConflict) as caught:
        await checkpoints.save("t", draft(expected_version=7))
    assert caught.value.context["version"] == 2


@pytest.mark.parametrize(
    "damage",
    [
        "document = set_byte(document, 40, get_byte(document, 40) # 1)",
        "sha256 = repeat('0', 64)",
        "version = 9",
        "name = 'other'",
        "parent = 3",
        "metrics = jsonb_set(metrics, '{reward}', '9.5')",
        "document = '\\x00', sha256 = encode(sha256('\\x00'), 'hex')",
    ],
)
async def test_what_was_tampered_with_is_refused(
    checkpoints: Checkpoints, database: Database, damage: str
) -> None:
    await checkpoints.save("t", draft("careful", metrics={"reward": 1.0}))
    async with database.begin() as connection:
        await connection.execute(text(f"UPDATE training_checkpoints SET {damage}"))
    name = "other" if "other" in damage else "router"
    with pytest.raises(CheckpointCorrupt):
        await checkpoints.load("t", "prompt", name)
    with pytest.raises((CheckpointCorrupt, CheckpointNotFound)):
        await checkpoints.rollback("t", "prompt", name, 1)


async def test_a_rollback_is_a_version_of_its_own(checkpoints: Checkpoints) -> None:
    for content in ("one", "two", "three"):
        await checkpoints.save("t", draft(content, metrics={"n": float(len(content))}))
    back = await checkpoints.rollback("t", "prompt", "router", 1, by="eve")
    assert (back.version, back.parent, back.content) == (4, 1, "one")
    page = await checkpoints.versions("t", "prompt", "router", limit=3)
    assert [each.version for each in page.checkpoints] == [4, 3, 2]
    rest = await checkpoints.versions(
        "t", "prompt", "router", limit=3, before=int(page.next_cursor or 0)
    )
    assert ([each.version for each in rest.checkpoints], rest.next_cursor) == ([1], None)
    changes = await checkpoints.diff("t", "prompt", "router", before=1, after=3)
    assert changes == {"n": MetricChange(before=3.0, after=5.0, change=2.0)}


async def test_names_are_listed_by_their_newest_version(checkpoints: Checkpoints) -> None:
    for kind, name in (("prompt", "b"), ("policy", "z"), ("prompt", "a"), ("prompt", "b")):
        await checkpoints.save("t", draft(kind=kind, name=name))
    await checkpoints.save("other", draft(name="hidden"))
    seen, cursor = [], ""
    while True:
        page = await checkpoints.names("t", limit=2, cursor=cursor)
        seen += [(each.kind, each.name, each.version) for each in page.checkpoints]
        if page.next_cursor is None:
            break
        cursor = page.next_cursor
    assert seen == [("policy", "z", 1), ("prompt", "a", 1), ("prompt", "b", 2)]
    with pytest.raises(InvalidInput, match="no cursor"):
        await checkpoints.names("t", cursor="nonsense")


async def test_old_versions_go_and_the_best_stay(checkpoints: Checkpoints) -> None:
    for reward in (1.0, 9.0, 2.0, 3.0, 4.0):
        await checkpoints.save("t", draft(reward, metrics={"reward": reward}))
    rule = Retention(keep_last=2, best_by="reward")
    assert await checkpoints.retain("t", "prompt", "router", rule) == [1, 3]
    page = await checkpoints.versions("t", "prompt", "router")
    assert [each.version for each in page.checkpoints] == [5, 4, 2]
    assert await checkpoints.retain("t", "prompt", "router", rule) == []
    assert (await checkpoints.save("t", draft())).version == 6, "a number is not given twice"


@given(
    st.lists(st.none() | st.floats(-5, 5), min_size=1, max_size=12),
    st.integers(1, 4),
    st.integers(1, 3),
    st.booleans(),
)
def test_retention_keeps_the_newest_and_the_best(
    rewards: list[float | None], last: int, best: int, lower: bool
) -> None:
    entries = [
        CheckpointEntry.model_validate(
            {
                "kind": "policy",
                "name": "p",
                "version": version,
                "parent": None,
                "metrics": {} if reward is None else {"r": reward},
                "sha256": "",
                "created_at": "2026-01-01T00:00:00Z",
            }
        )
        for version, reward in enumerate(rewards, start=1)
    ]
    rule = Retention(keep_last=last, best_by="r", keep_best=best, lower_is_better=lower)
    gone = set(outdated(entries, rule))
    newest = range(max(1, len(rewards) - last + 1), len(rewards) + 1)
    assert gone.isdisjoint(newest)
    known = [reward for reward in rewards if reward is not None]
    if known:
        top = min(known) if lower else max(known)
        assert any(rewards[v - 1] == top for v in range(1, len(rewards) + 1) if v not in gone)
    assert len(rewards) - len(gone) <= last + best


def test_changes_say_what_is_only_on_one_side() -> None:
    found = metric_changes({"a": 1.0, "b": 2.0}, {"b": 1.5, "c": 3.0})
    assert found["a"] == MetricChange(before=1.0, after=None, change=None)
    assert found["b"].change == -0.5
    assert found["c"].before is None


async def test_any_number_of_versions_goes_at_once(
    checkpoints: Checkpoints, database: Database
) -> None:
    await checkpoints.save("t", draft())
    # PostgreSQL takes at most 32,767 parameters with a statement.
    await CheckpointStore(database).delete("t", "prompt", "router", range(1, 40_000))
    assert (await checkpoints.names("t")).checkpoints == ()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (float("nan"), "JSON has not"),
        ({"deep": [float("inf")]}, "JSON has not"),
        (2**70, "no JSON form"),
        ("\ud800", "no JSON form"),
        ("x" * (16 * 1024 * 1024), "the most is"),
    ],
)
async def test_what_cannot_be_kept_exactly_is_not_kept(
    checkpoints: Checkpoints, content: Any, said: str
) -> None:
    with pytest.raises(InvalidInput, match=said):
        await checkpoints.save("t", draft(content))
    with pytest.raises(CheckpointNotFound):
        await checkpoints.load("t", "prompt", "router")
