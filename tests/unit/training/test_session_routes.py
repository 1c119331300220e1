"""REST, Server-Sent Events and WebSocket of sessions, over real HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from fastapi import FastAPI
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedOK, InvalidStatus
from websockets.typing import Origin

from agentcore.kit.security import Principal
from agentcore.training.openenv.api import router
from agentcore.training.openenv.models import Action
from agentcore.training.openenv.sessions import EnvironmentSessions
from tests.fakes.asgi import told_as_problems
from tests.fakes.clock import ManualClock
from tests.fakes.environment_sessions import caller, mounted, sessions_at
from tests.fakes.openenv_servers import serving
from tests.fakes.waiting import eventually

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

ADA = caller("ada")
WATCHER = caller("ada", "acme", "env:act")
EVE = caller("ada", "other")
ROOT = "/internal/environments/sessions"


@pytest.fixture(scope="module")
async def envs() -> AsyncIterator[str]:
    async with mounted() as url:
        yield url


@dataclass
class Door:
    """Lets everybody in as the principal that the header ``x-who`` numbers."""

    app: ASGIApp
    known: dict[bytes, Principal] = field(
        default_factory=lambda: {b"ada": ADA, b"watcher": WATCHER, b"eve": EVE}
    )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        who = dict(scope["headers"]).get(b"x-who", b"ada")
        scope.setdefault("state", {})["principal"] = self.known[who]
        await self.app(scope, receive, send)


@dataclass
class Open:
    url: str
    sessions: EnvironmentSessions
    http: httpx2.AsyncClient

    async def act(self, session_id: str, *numbers: int) -> None:
        async with self.sessions.using(ADA, session_id) as session:
            for number in numbers:
                await session.step(Action(type="guess", parameters={"number": number}))

    @asynccontextmanager
    async def events(
        self, session_id: str, **headers: str
    ) -> AsyncIterator[AsyncIterator[dict[str, str]]]:
        path = f"{ROOT}/{session_id}/events"
        async with self.http.stream("GET", path, headers=headers) as response:
            assert response.status_code == 200
            assert response.headers["content-type"].startswith("text/event-stream")
            yield parsed(response)


async def parsed(response: httpx2.Response) -> AsyncIterator[dict[str, str]]:
    """Frames by their fields, by name; a comment has none."""
    frame: dict[str, str] = {}
    async for line in response.aiter_lines():
        if line:
            name, _, value = line.partition(": ")
            frame[name] = value
        else:
            yield frame
            frame = {}


@pytest.fixture
async def service(envs: str, clock: ManualClock) -> AsyncIterator[Open]:
    events = {"heartbeat_seconds": 0.05, "most_watchers": 3}
    async with sessions_at(envs, clock, events=events) as sessions:
        app = FastAPI()
        app.include_router(router(lambda: sessions))
        told_as_problems(app)
        async with serving(Door(app)) as url, httpx2.AsyncClient(base_url=url) as http:
            yield Open(url, sessions, http)


async def test_sessions_are_listed_shown_and_closed(service: Open) -> None:
    for name in ("a", "b", "c"):
        await service.sessions.open(ADA, "guess_number", session_id=name)
    first = (await service.http.get(ROOT, params={"limit": 2})).json()
    assert [each["session_id"] for each in first["sessions"]] == ["a", "b"]
    rest = (await service.http.get(ROOT, params={"cursor": first["next_cursor"]})).json()
    assert [each["session_id"] for each in rest["sessions"]] == ["c"]
    assert rest["next_cursor"] is None
    shown = (await service.http.get(f"{ROOT}/a")).json()
    assert (shown["environment"], shown["phase"]) == ("guess_number", "idle")
    assert (await service.http.delete(f"{ROOT}/a")).status_code == 204
    assert (await service.http.get(f"{ROOT}/a")).status_code == 404


async def test_closing_needs_control(service: Open) -> None:
    await service.sessions.open(ADA, "guess_number", session_id="a")
    refused = await service.http.delete(f"{ROOT}/a", headers={"x-who": "watcher"})
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert len(service.sessions) == 1


async def test_sessions_of_others_do_not_exist(service: Open) -> None:
    session = await service.sessions.open(ADA, "guess_number", session_id="hers")
    eve = {"x-who": "eve"}
    assert (await service.http.get(ROOT, headers=eve)).json()["sessions"] == []
    for name in ("hers", session.id):
        answers = [
            await service.http.request(method, f"{ROOT}/{name}{below}", headers=eve)
            for method, below in (("GET", ""), ("DELETE", ""), ("GET", "/events"))
        ]
        made_up = await service.http.get(f"{ROOT}/made-up", headers=eve)
        for answer in answers:
            assert answer.status_code == 404
            assert answer.text.replace(name, "X") == made_up.text.replace("made-up", "X")
        with pytest.raises(InvalidStatus) as caught:
            await connect(socket(service, name), additional_headers=eve)
        assert caught.value.response.status_code == 404


async def test_events_by_sse_are_resumed(service: Open) -> None:
    await service.sessions.open(ADA, "guess_number", session_id="a", seed=7)
    async with service.events("a", **{"last-event-id": "0"}) as events:
        assert await anext(events) == {"retry": "1000"}
        first = await anext(events)
        assert json.loads(first["data"])["params"]["kind"] == "reset"
        await service.act("a", 1)
        assert json.loads((await data(events))["data"])["params"]["step"] == 1
    await service.act("a", 2, 3)
    async with service.events("a", **{"last-event-id": first["id"]}) as events:
        assert [json.loads((await data(events))["data"])["params"]["step"] for _ in range(3)] == [
            1,
            2,
            3,
        ]


async def data(events: AsyncIterator[dict[str, str]]) -> dict[str, str]:
    """The next frame that is neither a heartbeat nor the preface."""
    async for frame in events:
        if "data" in frame:
            return frame
    raise AssertionError("the stream has ended")


async def test_a_quiet_stream_beats_and_ends_with_its_session(service: Open) -> None:
    await service.sessions.open(ADA, "guess_number", session_id="a")
    async with service.events("a") as events:
        assert await anext(events) == {"retry": "1000"}
        assert await anext(events) == {"": ""}
        await service.sessions.close(ADA, "a")
        last = await data(events)
        assert json.loads(last["data"])["params"]["kind"] == "closed"
        assert [frame async for frame in events if "data" in frame] == []


async def test_readers_that_leave_free_their_place(service: Open) -> None:
    session = await service.sessions.open(ADA, "guess_number", session_id="a")
    for _ in range(3):
        async with service.events("a") as one, service.events("a") as other:
            await anext(one)
            await anext(other)
            assert session.journal.readers == 2
        await eventually(lambda: session.journal.readers == 0)


def socket(service: Open, session_id: str, query: str = "") -> str:
    return f"ws{service.url.removeprefix('http')}{ROOT}/{session_id}/ws{query}"


async def message(watching: Any) -> dict[str, Any]:
    """The parameters of the next notification but for heartbeats."""
    while True:
        found: dict[str, Any] = json.loads(await watching.recv())
        if found["method"] != "environment.heartbeat":
            params: dict[str, Any] = found["params"]
            return params


async def test_events_by_websocket_are_resumed(service: Open) -> None:
    await service.sessions.open(ADA, "guess_number", session_id="a", seed=7)
    async with connect(socket(service, "a", "?after=0")) as watching:
        first = await message(watching)
        await service.act("a", 1)
        assert (await message(watching))["step"] == 1
    await service.act("a", 2)
    async with connect(socket(service, "a", f"?after={first['event_id']}")) as watching:
        assert [(await message(watching))["step"] for _ in range(2)] == [1, 2]
        await watching.send("what a watcher says is not looked at")
        await service.sessions.close(ADA, "a")
        assert (await message(watching))["kind"] == "closed"
        with pytest.raises(ConnectionClosedOK) as caught:
            await message(watching)
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 1000


async def test_a_quiet_socket_beats_and_is_sent_away_when_the_service_stops(
    service: Open,
) -> None:
    session = await service.sessions.open(ADA, "guess_number", session_id="a")
    async with connect(socket(service, "a")) as watching:
        assert json.loads(await watching.recv())["method"] == "environment.heartbeat"
        service.sessions.dismiss()
        with pytest.raises(ConnectionClosedOK) as caught:
            await message(watching)
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1001
    await eventually(lambda: session.journal.readers == 0)


async def test_a_socket_that_leaves_frees_its_place(service: Open) -> None:
    session = await service.sessions.open(ADA, "guess_number", session_id="a")
    async with connect(socket(service, "a")) as watching:
        assert session.journal.readers == 1
        watching.transport.abort()
    await eventually(lambda: session.journal.readers == 0)


async def test_pages_of_other_hosts_may_not_watch(service: Open) -> None:
    await service.sessions.open(ADA, "guess_number", session_id="a")
    with pytest.raises(InvalidStatus) as caught:
        await connect(socket(service, "a"), origin=Origin("http://elsewhere.example"))
    assert caught.value.response.status_code == 403
    async with connect(socket(service, "a"), origin=Origin(service.url)):
        pass


async def test_watchers_are_bounded(service: Open) -> None:
    await service.sessions.open(ADA, "guess_number", session_id="a")
    async with service.events("a"), service.events("a"), connect(socket(service, "a")):
        answer = await service.http.get(f"{ROOT}/a/events")
        assert (answer.status_code, answer.json()["code"]) == (429, "watcher_limit_reached")


async def test_a_watcher_that_does_not_read_holds_up_no_step(service: Open) -> None:
    """Its socket fills, and the session plays on."""
    session = await service.sessions.open(ADA, "guess_number", session_id="a")
    async with service.events("a"), asyncio.timeout(20):
        for _ in range(100):
            session.journal.put(b"x" * 200_000)
        await session.reset(7)
        await service.act("a", 1)
