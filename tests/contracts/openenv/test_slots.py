"""Who may have a session, who may not, and when a session ends."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from random import Random

import httpx2
import pytest
from prometheus_client import CollectorRegistry
from websockets.exceptions import ConnectionClosed

from agentcore.kit.drain import Drain
from agentcore.kit.errors import Forbidden
from agentcore.kit.jsonvalue import JsonObject
from agentcore.kit.security import ANYBODY
from agentcore.training.openenv.client import Action
from agentcore.training.openenv.environments.base import Environment, Step
from agentcore.training.openenv.environments.examples.guess_number import Guesses, GuessNumber
from agentcore.training.openenv.errors import (
    CapacityReached,
    EnvironmentSessionNotFound,
    SessionInUse,
)
from agentcore.training.openenv.metrics import OpenEnvMetrics
from agentcore.training.openenv.models import EnvironmentServerConfig
from agentcore.training.openenv.server import EnvironmentServer
from tests.contracts.openenv.suite import Session, Subject, knock, session
from tests.fakes.clock import ManualClock
from tests.fakes.openenv_servers import CALLERS, behind_a_door, serving
from tests.fakes.waiting import eventually

GUESS: JsonObject = {"type": "guess", "parameters": {"number": 1}}
RESET = {"jsonrpc": "2.0", "method": "openenv/session/create", "id": 1}


class Slow(Environment[Action, Guesses]):
    """Its step waits until it is told to go on."""

    name, description = "slow", "Computes for long."
    threaded = True
    waits = threading.Event()
    go_on = threading.Event()
    closed = threading.Event()

    def __init__(self) -> None:
        super().__init__()
        # Those of its test: it may compute on until another one runs.
        self.waits, self.go_on, self.closed = Slow.waits, Slow.go_on, Slow.closed

    def observation_space(self) -> JsonObject:
        return {"type": "object"}

    def begin(self, random: Random, options: JsonObject) -> JsonObject:
        return {}

    def act(self, action: Action) -> Step:
        if action.type == "wait":
            self.waits.set()
            assert self.go_on.wait(60)
        return Step({"did": action.type})

    def close(self) -> None:
        self.closed.set()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def server(clock: ManualClock) -> EnvironmentServer:
    config = EnvironmentServerConfig(
        max_sessions=4, max_sessions_per_caller=2, session_idle_seconds=60, socket_idle_seconds=600
    )
    return EnvironmentServer("guess_number", GuessNumber, config, clock=clock)


@pytest.fixture
async def url(server: EnvironmentServer) -> AsyncIterator[str]:
    async with serving(behind_a_door(server)) as address:
        yield address


def subject(url: str, token: str) -> Subject:
    return Subject(url, 4, GUESS, lambda _: {}, {}, token)


def http(url: str, token: str) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(base_url=url, headers={"authorization": f"Bearer {token}"})


async def created(url: str, token: str = "boss") -> str:
    async with http(url, token) as client:
        answer = (await client.post("/mcp", json=RESET)).json()
    return str(answer["result"]["session_id"])


async def forbidden(one: Session, kind: str, data: JsonObject) -> None:
    answer = await one.ask(kind, data)
    assert answer["type"] == "error"
    assert answer["data"]["reason"] == "forbidden"


async def test_an_orchestrator_creates_and_an_agent_plays(url: str) -> None:
    session_id = await created(url)
    async with knock(subject(url, "player"), f"?session_id={session_id}") as agent:
        await forbidden(agent, "reset", {"seed": 1})
        async with http(url, "player") as client:
            refused = await client.post(f"/reset?session_id={session_id}", json={"seed": 1})
            assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
            assert (await client.post("/reset", json={})).status_code == 403
        async with http(url, "boss") as client:
            reset = await client.post(f"/reset?session_id={session_id}", json={"seed": 1})
            assert reset.json()["observation"]["hint"] == "start"
        assert (await agent.observe("step", GUESS))["done"] is False
        await forbidden(agent, "reset", {"seed": 1})
        assert (await agent.ask("state"))["data"]["step_count"] == 1
        async with http(url, "player") as client:
            state = await client.get(f"/state?session_id={session_id}")
            assert state.json()["step_count"] == 1
            stepped = await client.post(f"/step?session_id={session_id}", json={"action": GUESS})
            assert stepped.status_code == 200
        assert (await agent.ask("state"))["data"]["step_count"] == 2


async def test_an_agent_creates_nothing(url: str) -> None:
    async with knock(subject(url, "player")) as one:
        answer = await one.next()
        assert (answer["data"]["code"], answer["data"]["reason"]) == ("SESSION_ERROR", "forbidden")
        assert await one.closed() == 1000
    async with http(url, "player") as client:
        for method in ("openenv/session/create", "openenv/session/close"):
            request = {**RESET, "method": method, "params": {"session_id": "x"}}
            answer = (await client.post("/mcp", json=request)).json()
            assert answer["error"]["data"]["code"] == "forbidden"


async def test_control_alone_resets_and_does_not_act(url: str) -> None:
    async with session(subject(url, "control")) as one:
        await one.observe("reset", {"seed": 1})
        await forbidden(one, "step", GUESS)
        assert (await one.ask("state"))["type"] == "state"


async def test_a_session_is_its_tenants_and_has_one_socket(url: str) -> None:
    session_id = await created(url)
    async with knock(subject(url, "stranger"), f"?session_id={session_id}") as one:
        assert "Unknown session_id" in (await one.next())["data"]["message"]
    async with http(url, "stranger") as client:
        for path in ("/state", "/render"):
            assert (await client.get(f"{path}?session_id={session_id}")).status_code == 404
        request = {**RESET, "method": "openenv/session/close", "params": {"session_id": session_id}}
        assert (await client.post("/mcp", json=request)).json()["error"]["code"] == -32602
    async with knock(subject(url, "player"), f"?session_id={session_id}") as first:
        assert (await first.ask("state"))["type"] == "state"
        async with knock(subject(url, "boss"), f"?session_id={session_id}") as second:
            answer = (await second.next())["data"]
            assert (answer["code"], answer["reason"]) == ("SESSION_ERROR", "session_in_use")
    async with session(subject(url, "boss"), f"?session_id={session_id}") as again:
        assert (await again.ask("state"))["type"] == "state"


async def test_two_orchestrators_never_share_a_session(url: str) -> None:
    """Not even those of one tenant: what one resets is no other's episode."""
    session_id = await created(url, "boss")
    named = {"session_id": session_id}
    async with knock(subject(url, "second"), f"?session_id={session_id}") as one:
        assert "Unknown session_id" in (await one.next())["data"]["message"]
    async with http(url, "second") as rival:
        reset = await rival.post(f"/reset?session_id={session_id}", json={"seed": 1})
        step = await rival.post(f"/step?session_id={session_id}", json={"action": GUESS})
        assert (reset.status_code, step.status_code) == (404, 404)
        for method, more in [
            ("openenv/session/close", {}),
            ("tools/call", {"name": "guess", "arguments": {"number": 1}}),
        ]:
            request = {**RESET, "method": method, "params": {**named, **more}}
            assert (await rival.post("/mcp", json=request)).json()["error"]["code"] == -32602
    async with session(subject(url, "boss"), f"?session_id={session_id}") as mine:
        assert (await mine.ask("state"))["data"]["step_count"] == 0


async def test_one_caller_does_not_take_every_slot(url: str, server: EnvironmentServer) -> None:
    async with session(subject(url, "boss")), session(subject(url, "boss")):
        async with knock(subject(url, "boss")) as third:
            data = (await third.next())["data"]
            assert (data["code"], data["active_sessions"], data["max_sessions"]) == (
                "CAPACITY_REACHED",
                2,
                2,
            )
        async with session(subject(url, "second")) as other:
            assert (await other.ask("state"))["type"] == "state"
    await eventually(lambda: server.slots.capacity.active == 0)
    async with session(subject(url, "boss")) as one:
        assert (await one.ask("state"))["type"] == "state"


async def test_what_nobody_uses_is_reaped_and_what_is_connected_is_not(
    url: str, server: EnvironmentServer, clock: ManualClock
) -> None:
    left, attached = await created(url), await created(url)
    async with (
        knock(subject(url, "player"), f"?session_id={attached}") as one,
        session(subject(url, "second")) as own,
    ):
        assert (await one.ask("state"))["type"] == "state"
        clock.advance(61)
        await server.slots.sweep()
        assert server.slots.capacity.active == 2
        with pytest.raises(EnvironmentSessionNotFound):
            server.slots.find(left, CALLERS["boss"])
        assert (await one.ask("state"))["type"] == "state"
        clock.advance(590)
        await one.ask("state")
        clock.advance(11)
        await server.slots.sweep()
        # The one that sent no frame for 600 seconds is told before it is closed.
        told = (await own.next())["data"]
        assert (told["code"], told["message"]) == ("SESSION_ERROR", "no frame came for 600 seconds")
        assert await own.closed() == 1001
        assert (await one.ask("state"))["type"] == "state"
    await eventually(lambda: server.slots.capacity.active == 1)
    # Detached, it waits for the next socket, and not for ever.
    await server.slots.sweep()
    assert server.slots.capacity.active == 1
    clock.advance(61)
    await server.slots.sweep()
    assert server.slots.capacity.active == 0


async def test_the_reaper_sweeps_by_itself(server: EnvironmentServer, clock: ManualClock) -> None:
    await server.slots.open(CALLERS["boss"])
    reaping = asyncio.ensure_future(server.slots.reap())
    await clock.advance_until_idle(90, step=15)
    assert server.slots.capacity.active == 0
    reaping.cancel()


async def test_a_closed_session_ends_with_its_socket(url: str, server: EnvironmentServer) -> None:
    session_id = await created(url)
    close = {**RESET, "method": "openenv/session/close", "params": {"session_id": session_id}}
    async with http(url, "boss") as client:
        async with knock(subject(url, "player"), f"?session_id={session_id}") as one:
            assert (await one.ask("state"))["type"] == "state"
            answer = (await client.post("/mcp", json=close)).json()["result"]
            assert answer == {"session_id": session_id, "closed": False, "closing": True}
            assert (await one.ask("state"))["type"] == "state"
        await eventually(lambda: server.slots.capacity.active == 0)
        free = await created(url)
        close["params"] = {"session_id": free}
        answer = (await client.post("/mcp", json=close)).json()["result"]
        assert answer == {"session_id": free, "closed": True}
        assert (await client.post("/mcp", json=close)).json()["error"]["code"] == -32602


async def test_a_stop_ends_every_session_and_refuses_the_next(
    url: str, server: EnvironmentServer
) -> None:
    await created(url)
    async with session(subject(url, "boss")) as one:
        await one.observe("reset", {"seed": 1})
        await server.stop()
        told = (await one.next())["data"]
        assert (told["code"], told["message"]) == ("SESSION_ERROR", "the server is stopping")
        assert await one.closed() == 1001
    assert server.slots.capacity.active == 0
    async with knock(subject(url, "boss")) as late:
        assert (await late.next())["data"]["reason"] == "draining"


async def test_episodes_of_a_session_are_counted() -> None:
    config = EnvironmentServerConfig(max_episodes=2, max_episode_steps=3)
    async with (
        serving(EnvironmentServer("guess_number", GuessNumber, config)) as url,
        session(subject(url, "")) as one,
    ):
        await one.observe("reset", {})
        await one.observe("reset", {"seed": 1})
        done = [(await one.observe("step", GUESS))["done"] for _ in range(3)]
        assert done == [False, False, True]
        answer = (await one.ask("reset", {}))["data"]
        assert (answer["code"], answer["reason"]) == ("EXECUTION_ERROR", "episode_limit_reached")


@pytest.fixture
async def slow() -> AsyncIterator[tuple[EnvironmentServer, str]]:
    Slow.waits, Slow.go_on, Slow.closed = (threading.Event() for _ in range(3))
    server = EnvironmentServer("slow", Slow, EnvironmentServerConfig(max_sessions=2))
    async with serving(server) as url:
        yield server, url
        Slow.go_on.set()


WAIT = json.dumps({"type": "step", "data": {"type": "wait"}})


async def test_a_cut_step_frees_its_slot_when_it_ends_and_blocks_nobody(
    slow: tuple[EnvironmentServer, str], registry: CollectorRegistry
) -> None:
    server, url = slow
    server.watched_by(OpenEnvMetrics(registry, ["slow"]).watch("slow", "server"))
    async with session(subject(url, "")) as one, session(subject(url, "")) as other:
        await one.observe("reset", {})
        await other.observe("reset", {})
        await one.send(WAIT)
        await eventually(Slow.waits.is_set)
        assert (await other.observe("step", {"type": "x"}))["observation"]["did"] == "x"
        one.cut()
        await eventually(lambda: measured(registry, "cut_calls_running") == 1)
        # Nothing can stop its thread, which has all that an environment may need.
        async with knock(subject(url, "")) as third:
            data = (await third.next())["data"]
            assert (data["code"], data["active_sessions"]) == ("CAPACITY_REACHED", 2)
        assert measured(registry, "sessions") == 1
        assert (await other.observe("step", {"type": "y"}))["observation"]["did"] == "y"
        Slow.go_on.set()
        await eventually(lambda: server.slots.capacity.active == 1)
        assert Slow.closed.is_set()
        async with session(subject(url, "")) as third:
            await third.observe("reset", {})
    assert measured(registry, "cut_calls_running") == 0
    assert measured(registry, "cut_calls_total") == 1
    # Nobody saw what came of it.
    assert measured(registry, "step_duration_seconds_count") == 2


def measured(registry: CollectorRegistry, name: str) -> float | None:
    labels = {"environment": "slow", "side": "server"}
    return registry.get_sample_value(f"openenv_{name}", labels)


async def test_a_session_is_not_used_while_a_cut_step_computes(
    slow: tuple[EnvironmentServer, str], registry: CollectorRegistry
) -> None:
    server, url = slow
    server.watched_by(OpenEnvMetrics(registry, ["slow"]).watch("slow", "server"))
    async with httpx2.AsyncClient(base_url=url) as client:
        made = (await client.post("/mcp", json=RESET)).json()
        session_id = made["result"]["session_id"]
        query = f"?session_id={session_id}"
        await client.post(f"/reset{query}", json={})
        async with session(subject(url, ""), query) as first:
            await first.send(WAIT)
            await eventually(Slow.waits.is_set)
            first.cut()
        await eventually(lambda: server.slots.find(session_id, ANYBODY).socket is None)
        for path, body in (("/step", {"action": {"type": "x"}}), ("/reset", {}), ("/render", None)):
            method = "GET" if body is None else "POST"
            answer = await client.request(method, f"{path}{query}", json=body)
            assert (answer.status_code, answer.json()["code"]) == (409, "step_still_running")
        call = {**RESET, "method": "tools/call", "params": {"session_id": session_id, "name": "x"}}
        answer = (await client.post("/mcp", json=call)).json()
        assert answer["error"]["data"]["code"] == "step_still_running"
        async with knock(subject(url, ""), query) as second:
            data = (await second.next())["data"]
            assert (data["code"], data["reason"]) == ("SESSION_ERROR", "step_still_running")
        Slow.go_on.set()
        await eventually(lambda: measured(registry, "cut_calls_running") == 0)
        async with session(subject(url, ""), query) as third:
            assert (await third.ask("state"))["data"]["step_count"] == 1


async def test_a_stop_does_not_wait_for_a_cut_step(
    slow: tuple[EnvironmentServer, str], registry: CollectorRegistry
) -> None:
    server, url = slow
    server.watched_by(OpenEnvMetrics(registry, ["slow"]).watch("slow", "server"))
    async with session(subject(url, "")) as one:
        await one.observe("reset", {})
        await one.send(WAIT)
        await eventually(Slow.waits.is_set)
        one.cut()
    await eventually(lambda: measured(registry, "cut_calls_running") == 1)
    assert server.slots.capacity.active == 1
    async with asyncio.timeout(50):
        assert await Drain([server]).drain(100)
    assert not Slow.closed.is_set()


async def test_a_slow_environment_that_nobody_waits_for_is_closed_when_it_is_made(
    slow: tuple[EnvironmentServer, str],
) -> None:
    class SlowToMake(Slow):
        def __init__(self) -> None:
            super().__init__()
            self.waits.set()
            assert self.go_on.wait(60)

    slots = EnvironmentServer("slow", SlowToMake).slots
    opening = asyncio.ensure_future(slots.open(ANYBODY))
    await eventually(Slow.waits.is_set)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    assert slots.capacity.active == 0
    Slow.go_on.set()
    await eventually(Slow.closed.is_set)


async def test_a_stop_waits_for_the_step_in_flight(slow: tuple[EnvironmentServer, str]) -> None:
    server, url = slow
    async with session(subject(url, "")) as one:
        await one.observe("reset", {})
        await one.send(WAIT)
        await eventually(Slow.waits.is_set)
        stopping = asyncio.ensure_future(Drain([server]).drain(60))
        await asyncio.sleep(0.02)
        assert not stopping.done()
        Slow.go_on.set()
        assert (await one.next())["data"]["observation"]["did"] == "wait"
        assert (await one.next())["data"]["code"] == "SESSION_ERROR"
        assert await one.closed() == 1001
        assert await stopping


async def test_frames_that_come_early_wait_their_turn(slow: tuple[EnvironmentServer, str]) -> None:
    _, url = slow
    async with session(subject(url, "")) as one:
        await one.observe("reset", {})
        await one.send(WAIT)
        await one.send(json.dumps({"type": "step", "data": {"type": "next"}}))
        Slow.go_on.set()
        did = [(await one.next())["data"]["observation"]["did"] for _ in range(2)]
        assert did == ["wait", "next"]


async def test_a_frame_that_is_too_large_closes_with_1009(url: str) -> None:
    async with session(subject(url, "boss")) as one:
        with pytest.raises(ConnectionClosed):
            await one.raw("x" * (16 * 1024 * 1024 + 1))
        assert await one.closed() == 1009


async def test_slots_say_what_they_refuse(server: EnvironmentServer) -> None:
    slots = server.slots
    with pytest.raises(Forbidden):
        await slots.open(CALLERS["player"])
    for _ in range(2):
        await slots.open(CALLERS["boss"])
    with pytest.raises(CapacityReached) as caught:
        await slots.open(CALLERS["boss"])
    assert (caught.value.active, caught.value.maximum) == (2, 2)
    one = await slots.open(CALLERS["second"])

    class Somebody:
        async def dismiss(self, reason: str) -> None: ...

    slots.attach(one, Somebody())
    with pytest.raises(SessionInUse):
        slots.attach(one, Somebody())
    assert await slots.close(one) is False
    await slots.detach(one)
    await slots.end(one)
    assert slots.capacity.active == 2
