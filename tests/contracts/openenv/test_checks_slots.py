from __future__ import annotations

from dataclasses import replace

import pytest

from agentcore.training.openenv.conformance.checks_slots import CHECKS
from agentcore.training.openenv.conformance.judging import Check
from tests.contracts.openenv.reports import PLAN, found, report_on, sees_its_defect
from tests.fakes.openenv_defects import KeepsClosed, KeepsCut
from tests.fakes.openenv_servers import Frame
from tests.fakes.openenv_sound import LIMIT, SoundServer, Walk

NAMES = [check.id for check in CHECKS]
NARROW = replace(PLAN, most_sessions=2)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.id)
async def test_a_defect_is_seen(check: Check) -> None:
    await sees_its_defect(check, CHECKS)


class Silent(SoundServer):
    """Does not tell its limit, as upstream's does not, and remembers how full it was."""

    def __init__(self) -> None:
        super().__init__()
        self.most = 0

    def metadata(self) -> Frame:
        return {**super().metadata(), "agentcore": {}}

    def admit(self) -> Walk:
        walk = super().admit()
        self.most = max(self.most, self.active)
        return walk


async def test_a_limit_that_nobody_tells_is_not_looked_for() -> None:
    server = Silent()
    report = await report_on(server, only=NAMES)
    assert set(found(report, "skipped")) == set(NAMES)
    assert "--sessions" in found(report, "skipped")["capacity"]
    assert server.most == 1


async def test_a_limit_that_is_given_is_checked() -> None:
    server = Silent()
    report = await report_on(server, replace(PLAN, sessions=LIMIT), NAMES)
    assert set(found(report, "pass")) == set(NAMES)
    assert server.most == LIMIT


async def test_no_more_sessions_are_open_than_allowed() -> None:
    server = Silent()
    plan = replace(NARROW, sessions=LIMIT)
    report = await report_on(server, plan)
    assert found(report, "fail", "warn") == {}
    assert "--most-sessions" in found(report, "skipped")["capacity"]
    assert server.most == 2


async def test_one_session_is_enough_where_the_server_counts() -> None:
    for server in (SoundServer(), KeepsClosed(), KeepsCut()):
        report = await report_on(server, NARROW, NAMES)
        broken = {KeepsClosed: {"slot-after-close"}, KeepsCut: {"slot-after-cut"}}
        assert set(found(report, "fail")) == broken.get(type(server), set())
        assert set(found(report, "skipped")) == {"capacity"}


class Hoards(Silent):
    def release(self, how: str) -> None:
        pass


async def test_a_server_that_keeps_every_slot_fails_for_that_and_nothing_else() -> None:
    names = ["session-opens", "episode", "step-count", "close", "large-frame", *NAMES]
    report = await report_on(Hoards(), replace(PLAN, sessions=LIMIT), names)
    assert set(found(report, "fail", "warn")) == {"slot-after-close"}
    assert "CAPACITY_REACHED" in found(report, "skipped")["large-frame"]


async def test_the_sessions_of_others_are_left_alone() -> None:
    server = SoundServer()
    server.active = 1
    report = await report_on(server, only=NAMES)
    assert found(report, "fail", "warn") == {}


async def test_a_server_that_others_have_filled_is_not_to_blame() -> None:
    server = SoundServer()
    server.active = LIMIT
    report = await report_on(server, only=["episode", "session-opens"])
    assert set(found(report, "fail")) == {"session-opens"}
    assert "CAPACITY_REACHED" in found(report, "skipped")["episode"]
    assert server.active == LIMIT
