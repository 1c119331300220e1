"""The suite as a whole: a sound server passes, time ends it, and what cannot be run is said."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.websockets import WebSocket

from agentcore.kit.jsonvalue import dumps
from agentcore.training.openenv.conformance.judging import Check
from agentcore.training.openenv.conformance.models import Plan, Result
from agentcore.training.openenv.conformance.suite import CHECKS, UnknownCheck, chosen, run_checks
from agentcore.training.openenv.errors import (
    OpenEnvConnectionError,
    OpenEnvError,
    OpenEnvHTTPError,
    OpenEnvSpecError,
)
from tests.contracts.openenv.reports import PLAN, found, report_on
from tests.fakes.openenv_defects import DEFECTS
from tests.fakes.openenv_servers import serving
from tests.fakes.openenv_sound import SoundServer, Walk
from tests.fakes.waiting import in_time


async def test_a_sound_server_passes_every_check() -> None:
    server = SoundServer()
    report = await report_on(server)
    assert found(report, "fail", "warn", "skipped") == {}
    assert report.passed
    assert report.counts["pass"] == len(CHECKS)
    assert (report.environment, report.version, report.seed) == ("walk", "1", PLAN.seed)
    assert server.active == 0


def test_every_check_has_a_server_that_fails_it() -> None:
    names = [check.id for check in CHECKS]
    assert len(set(names)) == len(names)
    assert set(DEFECTS) == set(names)


class Garbled(SoundServer):
    """Says what is no text, in words and in observations."""

    async def converse(self, socket: WebSocket, walk: Walk, token: str) -> None:
        said = '{"observation":{"e":"\\ud800","n":1180591620717411303424},"reward":1,"done":true}'
        while (await socket.receive())["type"] != "websocket.disconnect":
            await socket.send_text(f'{{"type":"observation","data":{said}}}')


async def test_what_is_no_text_is_judged_and_reported() -> None:
    report = await report_on(Garbled(), only=["seed-determinism", "session-opens", "episode"])
    assert not report.passed
    assert "\\\\ud800" in dumps(report.model_dump(mode="json")).decode()


class Stuck(SoundServer):
    """Takes sessions, and then only waits for their ends."""

    async def converse(self, socket: WebSocket, walk: Walk, token: str) -> None:
        while (await socket.receive())["type"] != "websocket.disconnect":
            pass


async def test_a_server_that_hangs_costs_no_more_than_the_time_given() -> None:
    async def check(seconds: float) -> None:
        plan = replace(PLAN, answer_seconds=seconds)
        report = await report_on(Stuck(), plan, ["session-opens", "episode", "auth", "capacity"])
        assert "session-opens" in found(report, "fail")
        assert "SILENT" in found(report, "skipped")["episode"]

    await in_time(check, 0.05)


async def test_a_check_that_takes_too_long_is_cut() -> None:
    async def check(seconds: float) -> None:
        plan = replace(PLAN, check_seconds=seconds)
        report = await report_on(Stuck(), plan, ["session-opens", "close"])
        assert set(found(report, "fail")) == {"session-opens", "close"}
        assert f"an end within {seconds:g} s" in found(report, "fail")["close"]

    await in_time(check)


async def test_nothing_checked_is_not_passed() -> None:
    report = await report_on(Stuck(), replace(PLAN, deadline_seconds=0.0, check_seconds=0.05))
    assert report.counts == {"pass": 0, "fail": 0, "warn": 0, "skipped": len(CHECKS)}
    assert "--deadline" in found(report, "skipped")["auth"]
    assert not report.passed


async def test_each_check_is_announced_and_reported() -> None:
    seen: list[tuple[str, str]] = []

    def watch(check: Check, result: Result | None) -> None:
        seen.append((check.id, result.outcome if result else "begins"))

    async with serving(SoundServer().app()) as url:
        await run_checks(replace(PLAN, url=url), chosen(["close", "health"]), watch)
    assert seen == [
        ("health", "begins"),
        ("health", "pass"),
        ("close", "begins"),
        ("close", "pass"),
    ]


async def test_the_same_seed_plays_the_same_actions() -> None:
    def moves(server: SoundServer) -> list[object]:
        played: list[object] = []
        judge = server.judge

        def recording(action: dict[str, object]) -> None:
            played.append(action.get("move"))
            judge(action)

        server.judge = recording  # type: ignore[method-assign]  # the fake listens to itself
        return played

    one, two = SoundServer(), SoundServer()
    first, second = moves(one), moves(two)
    await report_on(one, only=["schema-taken"])
    await report_on(two, only=["schema-taken"])
    assert first == second
    other = SoundServer()
    third = moves(other)
    await report_on(other, replace(PLAN, seed=8), ["schema-taken"])
    assert third != first


def test_checks_are_named() -> None:
    with pytest.raises(UnknownCheck, match="helth") as caught:
        chosen(["helth"])
    assert "health" in caught.value.hint


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("guess_number", OpenEnvSpecError),
        ("ws://127.0.0.1:1", OpenEnvSpecError),
        ("http://127.0.0.1:1", OpenEnvConnectionError),
        ("http://", OpenEnvConnectionError),
    ],
)
async def test_a_url_that_leads_nowhere_is_an_error(url: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        await run_checks(Plan(url=url), CHECKS, lambda *_: None)


class Shy(SoundServer):
    def metadata(self) -> Any:
        return 401


class Elsewhere(SoundServer):
    def app(self) -> Starlette:
        return Starlette()


@pytest.mark.parametrize(
    ("server", "error", "hint"),
    [(Shy(), OpenEnvHTTPError, "--token"), (Elsewhere(), OpenEnvSpecError, "prefix")],
)
async def test_what_is_no_server_to_check_is_an_error(
    server: SoundServer, error: type[OpenEnvError], hint: str
) -> None:
    with pytest.raises(error) as caught:
        await report_on(server)
    assert hint in caught.value.hint
