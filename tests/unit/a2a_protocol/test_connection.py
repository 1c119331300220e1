"""One agent elsewhere as it should not be: every fault gets its name."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager

import pytest
from aiohttp import web
from pydantic import SecretStr

from agentcore.a2a_protocol.models.remote import NO_TRUST, RemoteAddress, TrustedOrigin
from agentcore.a2a_protocol.push.outside import open_session
from agentcore.a2a_protocol.remote.connection import Limits, Peer
from agentcore.a2a_protocol.remote.errors import (
    RemoteAgentLost,
    RemoteAgentRefused,
    RemoteAgentSilent,
    RemoteAgentUnreachable,
    RemoteAgentUnreadable,
)
from agentcore.a2a_protocol.sdk.current_peer import CurrentPeerWire
from agentcore.kit.errors import AgentCoreError
from agentcore.kit.jsonvalue import JsonObject
from tests.fakes.listening import listening

LIMITS = Limits(event_bytes=2000, stream_bytes=5000, seconds=20)
TASK = '{"id":"t","contextId":"c","status":{"state":"TASK_STATE_WORKING"}}'


@asynccontextmanager
async def peer_of(
    answer: web.Response | web.StreamResponse | None,
    *,
    limits: Limits = LIMITS,
    anywhere: bool = True,
    trust: TrustedOrigin = NO_TRUST,
) -> AsyncIterator[tuple[Peer, list[web.Request]]]:
    seen: list[web.Request] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        seen.append(request)
        await request.read()
        if answer is None:
            await asyncio.Event().wait()
        assert answer is not None
        return answer

    app = web.Application()
    app.router.add_post("/rpc", handle)
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(listening(app, cancelling=True))
        session = await stack.enter_async_context(
            open_session(anywhere=anywhere, connections=4, unpacking=False)
        )
        address = RemoteAddress(agent_id="poet", url=f"{url}/rpc", version="1.0", trust=trust)
        yield Peer(address, CurrentPeerWire(), session, headers={}, limits=limits), seen


async def asked(peer: Peer) -> JsonObject:
    return await peer.call("GetTask", {"id": "t"})


def result(text: str) -> web.Response:
    return web.json_response(text=f'{{"jsonrpc":"2.0","id":1,"result":{text}}}')


@pytest.mark.parametrize(
    ("answer", "error", "why"),
    [
        (web.Response(status=500), RemoteAgentLost, "status 500"),
        (web.Response(status=404), RemoteAgentRefused, "status 404"),
        (web.Response(status=307, headers={"location": "http://x"}), RemoteAgentRefused, "307"),
        (web.Response(text="hello"), RemoteAgentUnreadable, "no A2A"),
        (web.Response(text="[]"), RemoteAgentUnreadable, "no answer of JSON-RPC"),
        (web.Response(text='{"a":' * 70 + "1" + "}" * 70), RemoteAgentUnreadable, "JSON-RPC"),
        (web.json_response({"error": {"code": -1, "message": "x"}}), RemoteAgentRefused, "x .-1"),
        (web.Response(body=gzip.compress(b"{}"), headers={"content-encoding": "gzip"}),
         RemoteAgentUnreadable, "no A2A"),
        (web.json_response({"error": "gone"}), RemoteAgentRefused, "refused"),
        (result('{"id": 7}'), RemoteAgentUnreadable, "no A2A"),
        (result('"' + "x" * 3000 + '"'), RemoteAgentUnreadable, "more than 2000 bytes"),
    ],
)  # fmt: skip
async def test_answers_that_are_none(
    answer: web.Response, error: type[AgentCoreError], why: str
) -> None:
    async with peer_of(answer) as (peer, _):
        with pytest.raises(error, match=why) as caught:
            await asked(peer)
        assert "'poet'" in caught.value.detail


async def test_silence() -> None:
    async with peer_of(None, limits=Limits(event_bytes=9, stream_bytes=9, seconds=0.05)) as (
        peer,
        _,
    ):
        with pytest.raises(RemoteAgentSilent, match=r"0\.05 seconds"):
            await asked(peer)


async def test_names_that_lead_inside_are_not_called() -> None:
    async with peer_of(result(TASK), anywhere=False) as (peer, seen):
        inside = RemoteAddress(agent_id="poet", url="http://localhost:9/rpc", version="1.0")
        there = Peer(inside, CurrentPeerWire(), peer.session, headers={}, limits=LIMITS)
        with pytest.raises(RemoteAgentUnreachable, match="no public address"):
            await asked(there)
        assert seen == []


async def test_credentials_go_in_the_header_that_was_named() -> None:
    trust = TrustedOrigin(origin="http://127.0.0.1", header="X-Key", credential=SecretStr("s3"))
    async with peer_of(result(TASK), trust=trust) as (peer, seen):
        assert await asked(peer) == {
            "task": {"id": "t", "contextId": "c", "status": {"state": "TASK_STATE_WORKING"}}
        }
        assert seen[0].headers["x-key"] == "s3"
        assert seen[0].headers["a2a-version"] == "1.0"


def events(*bodies: str) -> web.Response:
    text = "".join(f"id: {n}\ndata: {body}\n\n" for n, body in enumerate(bodies, 1))
    return web.Response(text=text, content_type="text/event-stream")


async def streamed(peer: Peer) -> list[tuple[JsonObject, str]]:
    async with aclosing(peer.stream("SubscribeToTask", {"id": "t"}, last_event="5")) as found:
        return [each async for each in found]


async def test_streams() -> None:
    wrapped = f'{{"jsonrpc":"2.0","id":1,"result":{{"task":{TASK}}}}}'
    async with peer_of(events(wrapped, wrapped)) as (peer, seen):
        assert [number for _, number in await streamed(peer)] == ["1", "2"]
        assert seen[0].headers["last-event-id"] == "5"
    async with peer_of(web.json_response(text=wrapped)) as (peer, _):
        assert [number for _, number in await streamed(peer)] == [""]
    async with peer_of(events(*[wrapped] * 60)) as (peer, _):
        with pytest.raises(RemoteAgentUnreadable, match="stream of more than 5000"):
            await streamed(peer)
