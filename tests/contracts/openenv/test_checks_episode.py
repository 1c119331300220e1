from __future__ import annotations

from dataclasses import replace

import pytest

from agentcore.training.openenv.conformance.checks_episode import CHECKS
from agentcore.training.openenv.conformance.judging import Check
from tests.contracts.openenv.reports import PLAN, found, report_on, sees_its_defect
from tests.fakes.openenv_servers import Frame
from tests.fakes.openenv_sound import Refusal, SoundServer, Walk


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.id)
async def test_a_defect_is_seen(check: Check) -> None:
    await sees_its_defect(check, CHECKS)


class Endless(SoundServer):
    def metadata(self) -> Frame:
        return {**super().metadata(), "agentcore": {}}

    def step(self, walk: Walk, action: Frame) -> Frame:
        envelope = super().step(walk, action)
        walk.done = envelope["done"] = False
        return envelope


async def test_an_episode_without_end_is_left() -> None:
    plan = replace(PLAN, most_steps=30)
    report = await report_on(Endless(), plan, ["episode-ends", "done-once"])
    skipped = found(report, "skipped")
    assert set(skipped) == {"episode-ends", "done-once"}
    assert "within 30 steps" in skipped["done-once"]


class LeaksEpisodes(SoundServer):
    """Deterministic in a session of its own, but the second episode starts where one ended."""

    def reset(self, walk: Walk, data: Frame) -> Frame:
        place = walk.place
        super().reset(walk, data)
        walk.place = place
        return self.shown(walk, None)


async def test_what_one_episode_leaves_to_the_next_is_seen() -> None:
    report = await report_on(LeaksEpisodes(), only=["seed-determinism"])
    assert "at step 0" in found(report, "warn")["seed-determinism"]


class OnlySeven(SoundServer):
    def judge(self, action: Frame) -> None:
        super().judge(action)
        if action["move"] != 7:
            raise Refusal("EXECUTION_ERROR")


class Unplayable(SoundServer):
    def judge(self, action: Frame) -> None:
        raise Refusal("EXECUTION_ERROR")


async def test_an_environment_that_takes_no_sampled_action_says_so_once() -> None:
    report = await report_on(Unplayable())
    assert set(found(report, "fail", "warn")) == {"episode"}
    assert "--action" in found(report, "fail")["episode"]
    assert "--action" in found(report, "skipped")["step-count"]


async def test_given_actions_are_played() -> None:
    plan = replace(PLAN, actions=({"move": 7},))
    report = await report_on(OnlySeven(), plan)
    assert found(report, "fail", "warn") == {}
    assert set(found(report, "skipped")) == {"schema-taken"}
