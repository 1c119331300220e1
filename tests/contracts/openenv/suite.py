"""What every OpenEnv server must do, checked from outside over real sockets.

The checks run against our own servers (tests/contracts/openenv) and against upstream's
(tests/integration/test_openenv_peers.py): they hold for both, so ours behaves as upstream's does.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
import jsonschema
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.fakes.openenv_servers import Frame

TRIES = 200
MEGABYTES = 2 * 1024 * 1024


@dataclass(frozen=True)
class Subject:
    """A server to check: a valid action, one with ``filler`` put in, and one that it refuses."""

    url: str
    sessions: int
    action: Frame
    filled: Callable[[str], Frame]
    invalid: Frame


class Session:
    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    async def raw(self, text: str | bytes) -> Frame:
        await self.send(text)
        return await self.next()

    async def send(self, text: str | bytes) -> None:
        await self._socket.send(text)

    async def next(self) -> Frame:
        frame: Frame = json.loads(await self._socket.recv())
        return frame

    async def ask(self, kind: str, data: Frame | None = None) -> Frame:
        frame = {"type": kind} if data is None else {"type": kind, "data": data}
        return await self.raw(json.dumps(frame))

    async def observe(self, kind: str, data: Frame) -> Frame:
        answer = await self.ask(kind, data)
        assert answer["type"] == "observation", answer
        assert set(answer) == {"type", "data"}
        envelope: Frame = answer["data"]
        assert {"observation", "reward", "done"} <= set(envelope)
        assert not {"reward", "done"} & set(envelope["observation"])
        return envelope

    async def refused(self, code: str, text: str | bytes) -> Frame:
        answer = await self.raw(text)
        assert (answer["type"], answer["data"]["code"]) == ("error", code), answer
        assert answer["data"]["message"]
        data: Frame = answer["data"]
        return data

    async def closed(self) -> int:
        with pytest.raises(ConnectionClosed):
            await self._socket.recv()
        return self._socket.close_code or 0

    def cut(self) -> None:
        self._socket.transport.abort()


@asynccontextmanager
async def session(subject: Subject) -> AsyncIterator[Session]:
    """A session that was let in: a server frees the slot of a closed socket a moment later."""
    for _ in range(TRIES):
        async with knock(subject) as one:
            if (await one.ask("state"))["type"] == "state":
                yield one
                return
        await asyncio.sleep(0.01)
    raise AssertionError("no slot became free")


@asynccontextmanager
async def knock(subject: Subject, query: str = "") -> AsyncIterator[Session]:
    """A socket, whatever the server then says."""
    url = subject.url.replace("http", "ws", 1) + "/ws" + query
    async with connect(
        url, compression=None, ping_interval=None, proxy=None, max_size=None
    ) as socket:
        yield Session(socket)


async def check_an_episode_runs_in_one_session(subject: Subject) -> None:
    async with session(subject) as one:
        first = await one.observe("reset", {"seed": 1})
        assert first["done"] is False
        rewards = [(await one.observe("step", subject.action))["reward"] for _ in range(3)]
        assert all(math.isfinite(reward) for reward in rewards)


async def check_the_same_seed_gives_the_same_episode(subject: Subject) -> None:
    async def episode() -> list[Frame]:
        async with session(subject) as one:
            first = await one.observe("reset", {"seed": 7, "episode_id": "e"})
            return [first, *[await one.observe("step", subject.action) for _ in range(3)]]

    assert await episode() == await episode()


async def check_sessions_do_not_mix(subject: Subject) -> None:
    async with session(subject) as one, session(subject) as two:
        await one.observe("reset", {"seed": 1, "episode_id": "one"})
        await two.observe("reset", {"seed": 1, "episode_id": "two"})
        for _ in range(2):
            await one.observe("step", subject.action)
        await two.observe("step", subject.action)
        states = [(await each.ask("state"))["data"] for each in (one, two)]
    assert [(s["episode_id"], s["step_count"]) for s in states] == [("one", 2), ("two", 1)]


async def check_state_has_id_and_count(subject: Subject) -> None:
    async with session(subject) as one:
        assert (await one.ask("state"))["data"]["step_count"] == 0
        await one.observe("reset", {"seed": 1, "episode_id": "e-1"})
        await one.observe("step", subject.action)
        answer = await one.ask("state")
        assert answer["type"] == "state"
        assert (answer["data"]["episode_id"], answer["data"]["step_count"]) == ("e-1", 1)


async def check_bad_frames_are_named_and_survived(subject: Subject) -> None:
    async with session(subject) as one:
        await one.observe("reset", {"seed": 1, "episode_id": "e"})
        await one.refused("INVALID_JSON", "{")
        await one.refused("INVALID_JSON", "")
        await one.refused("UNKNOWN_TYPE", "{}")
        await one.refused("UNKNOWN_TYPE", '{"type":"fly"}')
        for extra in (
            '{"type":"state","data":{}}',
            '{"type":"close","data":{}}',
            '{"type":"step","data":{},"request_id":"r"}',
            '{"type":"step"}',
            '{"type":"reset","data":[]}',
        ):
            assert (await one.refused("VALIDATION_ERROR", extra))["errors"]
        wrong = json.dumps({"type": "step", "data": subject.invalid})
        faults = (await one.refused("VALIDATION_ERROR", wrong))["errors"]
        assert all({"loc", "msg", "type"} <= set(fault) for fault in faults)
        await one.observe("step", subject.action)
        assert (await one.ask("state"))["data"]["step_count"] == 1


async def check_what_is_no_object_ends_the_session(subject: Subject) -> None:
    for text in ("[]", b"{}"):
        async with session(subject) as one:
            await one.refused("SESSION_ERROR", text)
            assert await one.closed() == 1000


async def check_unknown_sessions_cannot_be_attached(subject: Subject) -> None:
    async with knock(subject, "?session_id=nobodys") as one:
        assert (await one.next())["data"]["code"] == "SESSION_ERROR"
        assert await one.closed() == 1000


async def check_close_is_answered_by_closing(subject: Subject) -> None:
    async with session(subject) as one:
        await one.send('{"type":"close"}')
        assert await one.closed() == 1000


async def check_capacity_is_kept_and_given_back(subject: Subject) -> None:
    async def all_taken() -> list[Any]:
        held = [session(subject) for _ in range(subject.sessions)]
        for each in held:
            await each.__aenter__()
        return held

    async def given_back(held: list[Any]) -> None:
        for each in held:
            await each.__aexit__(None, None, None)

    held = await all_taken()
    async with knock(subject) as refused:
        data = (await refused.next())["data"]
        assert data["code"] == "CAPACITY_REACHED"
        assert (data["active_sessions"], data["max_sessions"]) == (subject.sessions,) * 2
        assert await refused.closed() == 1000
    await given_back(held)
    await given_back(await all_taken())


async def check_a_cut_socket_frees_its_slot(subject: Subject) -> None:
    for _ in range(subject.sessions + 1):
        async with session(subject) as one:
            await one.observe("reset", {"seed": 1})
            await one.send(json.dumps({"type": "step", "data": subject.action}))
            one.cut()


async def check_large_frames_pass(subject: Subject) -> None:
    async with session(subject) as one:
        await one.observe("reset", {"seed": 1})
        answer = await one.ask("step", subject.filled("x" * MEGABYTES))
        assert answer["type"] in {"observation", "error"}
        assert (await one.ask("state"))["type"] == "state"


async def check_observations_fit_their_schema(subject: Subject) -> None:
    async with httpx2.AsyncClient() as http:
        schema = (await http.get(subject.url + "/schema")).json()
    async with session(subject) as one:
        for kind, data in (("reset", {"seed": 1}), ("step", subject.action)):
            envelope = await one.observe(kind, data)
            merged = {**envelope["observation"], "reward": envelope["reward"], "done": False}
            jsonschema.validate(merged, schema["observation"])
        jsonschema.validate((await one.ask("state"))["data"], schema["state"])
    jsonschema.validate(subject.action, schema["action"])
    assert schema["action"]["title"]


async def check_the_pages_are_there(subject: Subject) -> None:
    async with httpx2.AsyncClient(base_url=subject.url) as http:
        assert (await http.get("/health")).json() == {"status": "healthy"}
        metadata = (await http.get("/metadata")).json()
        assert {"name", "description", "version", "readme_content", "author"} <= set(metadata)
        assert set((await http.get("/schema")).json()) >= {"action", "observation", "state"}
        assert (await http.get("/state")).json()["step_count"] == 0
        assert (await http.get("/nothing")).status_code == 404
        assert (await http.get("/step")).status_code == 405


async def check_http_is_stateless(subject: Subject) -> None:
    async with httpx2.AsyncClient(base_url=subject.url) as http:
        for body in ({}, {"seed": 3, "episode_id": "e", "unheard_of": 1}):
            envelope = (await http.post("/reset", json=body)).json()
            assert (envelope["reward"], envelope["done"]) == (None, False)
        for _ in range(2):
            answer = await http.post("/step", json={"action": subject.action, "timeout_s": 5})
            assert answer.status_code == 200
            assert {"observation", "reward", "done"} <= set(answer.json())
        assert (await http.get("/state")).json()["step_count"] == 0


async def check_http_refuses_with_422(subject: Subject) -> None:
    bodies: list[tuple[str, Any]] = [
        ("/step", subject.action),
        ("/step", {"action": [1]}),
        ("/step", {"action": subject.invalid}),
        ("/step", {"action": subject.action, "timeout_s": 0}),
        ("/step", {"action": subject.action, "request_id": "r" * 256}),
        ("/reset", {"seed": -1}),
        ("/reset", {"seed": "x"}),
        ("/reset", {"episode_id": "e" * 256}),
        ("/reset", [1]),
    ]
    async with httpx2.AsyncClient(base_url=subject.url) as http:
        for path, body in bodies:
            answer = await http.post(path, json=body)
            assert answer.status_code == 422, (path, body, answer.text)
            assert all({"loc", "msg", "type"} <= set(each) for each in answer.json()["detail"])
        broken = await http.post(
            "/step", content=b"{", headers={"content-type": "application/json"}
        )
        assert broken.status_code == 422


CHECKS: list[Callable[[Subject], Awaitable[None]]] = [
    check for name, check in sorted(globals().items()) if name.startswith("check_")
]
