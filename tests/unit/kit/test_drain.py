from __future__ import annotations

import asyncio

import pytest
from starlette.responses import JSONResponse
from starlette.types import Message, Receive, Scope, Send

from agentcore.kit.drain import Drain, DrainGate
from agentcore.kit.errors import AgentCoreError
from tests.fakes.asgi import client


async def refuse(scope: Scope, receive: Receive, send: Send, error: AgentCoreError) -> None:
    await JSONResponse({"code": error.code}, error.http_status)(scope, receive, send)


async def test_draining_finishes_what_runs_and_refuses_what_is_new() -> None:
    drain, released, entered = Drain(), asyncio.Event(), asyncio.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        if not scope["path"].startswith("/health"):
            entered.set()
            await released.wait()
        await JSONResponse({})(scope, receive, send)

    async with client(DrainGate(slow, drain=drain, refuse=refuse)) as http:
        running = asyncio.ensure_future(http.get("/work"))
        await entered.wait()
        draining = asyncio.ensure_future(drain.drain(60))
        await asyncio.sleep(0)
        refused = await http.get("/more")
        assert (refused.status_code, refused.json()) == (503, {"code": "draining"})
        assert (await http.get("/health/live")).status_code == 200
        assert not draining.done()
        released.set()
        assert (await running).status_code == 200
        assert await draining


async def test_what_outlasts_the_draining_is_told_so() -> None:
    drain, entered, cut = Drain(), asyncio.Event(), asyncio.Event()

    async def endless(scope: Scope, receive: Receive, send: Send) -> None:
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            cut.set()

    async with client(DrainGate(endless, drain=drain, refuse=refuse)) as http:
        running = asyncio.ensure_future(http.get("/work"))
        await entered.wait()
        assert not await drain.drain(0.01)
        assert cut.is_set()
        answer = await running
    assert (answer.status_code, answer.json()) == (503, {"code": "draining"})


async def test_an_answer_that_has_begun_is_cut_off_and_not_begun_again() -> None:
    drain, begun = Drain(), asyncio.Event()
    sent: list[Message] = []

    async def stream(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        begun.set()
        await asyncio.Event().wait()

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    gate = DrainGate(stream, drain=drain, refuse=refuse)
    async with asyncio.TaskGroup() as group:
        group.create_task(gate({"type": "http", "path": "/x"}, receive, send))
        await begun.wait()
        assert not await drain.drain(0.01)
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]


async def test_who_leaves_while_nothing_drains_is_no_draining() -> None:
    async def endless(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.Event().wait()

    async with client(DrainGate(endless, drain=Drain(), refuse=refuse)) as http:
        running = asyncio.ensure_future(http.get("/work"))
        await asyncio.sleep(0.01)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running


async def test_draining_gives_up_when_the_time_is_over() -> None:
    drain = Drain()
    drain.entered()
    assert not await drain.drain(0.01)
    drain.left()
    assert await drain.drain(0.01)


async def test_a_hurry_ends_the_draining() -> None:
    drain, hurried = Drain(), asyncio.Event()
    drain.entered()
    draining = asyncio.ensure_future(drain.drain(60, hurry=hurried.is_set))
    await asyncio.sleep(0)
    hurried.set()
    async with asyncio.timeout(20):
        assert not await draining


class Part:
    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.done = asyncio.Event()

    async def stop(self) -> None:
        self.asked.set()
        await self.done.wait()


async def test_parts_end_behind_the_requests() -> None:
    part = Part()
    drain = Drain([part])
    drain.entered()
    draining = asyncio.ensure_future(drain.drain(60))
    await asyncio.sleep(0)
    assert not part.asked.is_set()
    drain.left()
    await part.asked.wait()
    assert not draining.done()
    part.done.set()
    assert await draining


async def test_a_part_that_does_not_end_is_given_up() -> None:
    assert not await Drain([Part()]).drain(0.01)
    assert not await Drain([Part()]).drain(60, hurry=lambda: True)
