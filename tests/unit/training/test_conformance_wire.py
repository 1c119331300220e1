"""What goes over a socket is shown as it was; what does not come is named."""

from __future__ import annotations

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from agentcore.training.openenv.conformance.wire import (
    NoAnswer,
    NoServer,
    NoSession,
    SocketClosed,
    Transcript,
    WireFault,
    admitted,
    shortened,
    socket_url,
    talking,
)
from tests.fakes.openenv_servers import (
    Drop,
    Hang,
    Leave,
    Reply,
    ScriptedServer,
    observation,
    refusal,
)
from tests.fakes.waiting import in_time


async def ask(reply: Reply, transcript: Transcript, seconds: float) -> None:
    async with ScriptedServer(steps=[reply]).running() as url:
        async with talking(
            socket_url(url), headers={}, seconds=seconds, transcript=transcript
        ) as talk:
            await talk.ask("step", {"text": "a" * 400})


@pytest.mark.parametrize(
    ("reply", "fault", "came"),
    [
        (Hang, NoAnswer, "nothing within .* s"),
        (Drop, SocketClosed, "without a close frame"),
        (Leave(code=1011), SocketClosed, "1011"),
        ("{", WireFault, "no JSON"),
        ("[1]", WireFault, "no object"),
        ('{"a":' + "[" * 50_000 + "]" * 50_000 + "}", WireFault, "nested more than 200 deep"),
        ('{"a":' + "[" * 300 + "]" * 300 + "}", WireFault, "nested more than 200 deep"),
    ],
)
async def test_faults_are_named(reply: Reply, fault: type[WireFault], came: str) -> None:
    async def fail(seconds: float) -> None:
        transcript = Transcript()
        with pytest.raises(WireFault, match=came) as caught:
            await ask(reply, transcript, seconds)
        assert isinstance(caught.value, fault)
        assert transcript.lines[1].startswith('> {"type":"step","data":{"text":"aaa')
        assert transcript.lines[1].endswith("characters)")
        assert transcript.lines[-1].startswith("<")

    await in_time(fail, 0.2 if reply is Hang else 60)


async def test_numbers_that_json_has_not_are_kept_for_the_judge() -> None:
    reward = '{"type":"observation","data":{"reward":NaN}}'
    async with ScriptedServer(steps=[reward]).running() as url:
        async with talking(
            socket_url(url), headers={}, seconds=60, transcript=Transcript()
        ) as talk:
            assert "NaN" in shortened(await talk.ask("step", {}))


@pytest.mark.parametrize("code", ["CAPACITY_REACHED", "FACTORY_ERROR", "SESSION_ERROR"])
async def test_who_is_not_let_in_is_told_why(code: str) -> None:
    async with ScriptedServer(states=[Leave(refusal(code, "why"))]).running() as url:
        with pytest.raises(NoSession, match="why") as caught:
            async with admitted(socket_url(url), headers={}, seconds=60, transcript=Transcript()):
                raise AssertionError("let in")
    assert caught.value.code == code


@pytest.mark.parametrize("first", [refusal("EXECUTION_ERROR"), "nonsense", observation()])
async def test_a_session_is_one_whatever_it_thinks_of_its_state(first: Reply) -> None:
    async with ScriptedServer(states=[first]).running() as url:
        async with admitted(
            socket_url(url), headers={}, seconds=60, transcript=Transcript()
        ) as talk:
            assert (await talk.ask("step", {}))["type"] == "observation"
            await talk.send('{"type":"close"}')
            assert await talk.closing() == 1000


async def test_a_code_that_is_no_text_lets_in() -> None:
    odd = {"type": "error", "data": {"code": {}, "message": "no"}}
    async with ScriptedServer(states=[odd]).running() as url:
        async with admitted(
            socket_url(url), headers={}, seconds=60, transcript=Transcript()
        ) as talk:
            assert (await talk.ask("step", {}))["type"] == "observation"


async def test_redirects_are_not_followed() -> None:
    """The token is for the first server alone."""
    other = ScriptedServer()

    def elsewhere(connection: ServerConnection, request: Request) -> Response:
        return Response(307, "", Headers({"Location": socket_url(there), "Content-Length": "0"}))

    async def never(connection: ServerConnection) -> None:
        raise AssertionError("connected")

    async with (
        other.running() as there,
        serve(never, "127.0.0.1", 0, process_request=elsewhere) as server,
    ):
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/ws"
        with pytest.raises(NoSession, match="HTTP 307"):
            async with talking(url, headers={}, seconds=60, transcript=Transcript()):
                raise AssertionError("connected")
    assert other.requested == []


async def test_speaking_instead_of_closing_is_a_fault() -> None:
    async with ScriptedServer().running() as url:
        async with talking(
            socket_url(url), headers={}, seconds=60, transcript=Transcript()
        ) as talk:
            await talk.send('{"type":"state"}')
            with pytest.raises(WireFault, match="step_count"):
                await talk.closing()


async def test_nobody_is_there() -> None:
    with pytest.raises(NoServer):
        async with talking("ws://127.0.0.1:1/ws", headers={}, seconds=60, transcript=Transcript()):
            raise AssertionError("connected")


def test_addresses_keep_their_prefix() -> None:
    assert socket_url("https://host/envs/a/") == "wss://host/envs/a/ws"
    assert socket_url("http://host", "?session_id=1") == "ws://host/ws?session_id=1"
