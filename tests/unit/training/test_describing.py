from __future__ import annotations

import asyncio

import pytest

from agentcore.kit.errors import InvalidInput
from agentcore.kit.jsonvalue import JsonObject
from agentcore.training.openenv.describing import bearer, describe, environment_info
from agentcore.training.openenv.errors import (
    OpenEnvConnectionError,
    OpenEnvError,
    OpenEnvHTTPError,
    OpenEnvRetryError,
    OpenEnvSpecError,
)
from agentcore.training.openenv.models import Capacity
from tests.fakes.openenv_servers import METADATA, SCHEMA, ScriptedServer
from tests.fakes.waiting import in_time


async def asked(url: str) -> None:
    await describe(url, headers={}, seconds=60)


def test_our_extras_are_read_and_upstreams_absence_of_them() -> None:
    plain = environment_info(METADATA, SCHEMA)
    assert (plain.version, plain.mode, plain.capacity, plain.features) == ("", None, None, ())
    extras: JsonObject = {
        "max_episode_steps": 10,
        "mode": "production",
        "capacity": {"active": 1, "maximum": 4},
        "features": ["render"],
    }
    ours = environment_info({**METADATA, "version": "2", "agentcore": extras}, SCHEMA)
    assert ours.capacity == Capacity(active=1, maximum=4)
    assert (ours.max_episode_steps, ours.mode, ours.features) == (10, "production", ("render",))


def test_nonsense_among_the_extras_is_passed_over() -> None:
    extras: JsonObject = {
        "max_episode_steps": "ten",
        "mode": "party",
        "capacity": {"active": "many"},
        "features": "render",
    }
    info = environment_info({**METADATA, "agentcore": extras}, SCHEMA)
    assert (info.max_episode_steps, info.mode, info.capacity) == (None, None, None)
    assert info.features == ()


@pytest.mark.parametrize(
    ("active", "maximum"), [(-5, -3), (0, -1), (2**63, 2**70), (True, 4), (1.5, 2)]
)
def test_a_capacity_that_cannot_be_is_unknown(active: float, maximum: float) -> None:
    extras: JsonObject = {"capacity": {"active": active, "maximum": maximum}}
    assert environment_info({**METADATA, "agentcore": extras}, SCHEMA).capacity is None


@pytest.mark.parametrize(
    ("status", "error", "retryable"),
    [
        (301, OpenEnvHTTPError, False),
        (400, OpenEnvHTTPError, False),
        (401, OpenEnvHTTPError, False),
        (404, OpenEnvSpecError, False),
        (429, OpenEnvRetryError, True),
        (500, OpenEnvRetryError, True),
        (503, OpenEnvRetryError, True),
    ],
)
async def test_a_status_says_whether_to_try_again(
    status: int, error: type[OpenEnvError], retryable: bool
) -> None:
    async with ScriptedServer(pages={"/metadata": [(status, {})]}).running() as url:
        with pytest.raises(error, match=f"/metadata answers with HTTP {status}") as caught:
            await asked(url)
    assert type(caught.value) is error
    assert caught.value.retryable is retryable


async def test_an_endless_page_is_not_read_to_its_end() -> None:
    page = b'"' + b"x" * (17 * 1024 * 1024)
    async with ScriptedServer(pages={"/schema": [(200, page)]}).running() as url:
        with pytest.raises(OpenEnvSpecError, match="more than"):
            await asked(url)


async def test_a_schema_too_deep_to_be_written_again_is_refused() -> None:
    page = b'{"action":' + b'{"items":' * 300 + b"{}" + b"}" * 301
    async with ScriptedServer(pages={"/schema": [(200, page)]}).running() as url:
        with pytest.raises(OpenEnvSpecError, match=r"/schema that cannot be written.* 200 deep"):
            await asked(url)


async def test_nobody_there_is_worth_another_try() -> None:
    with pytest.raises(OpenEnvConnectionError) as caught:
        await asked("http://127.0.0.1:9")
    assert caught.value.retryable


async def test_a_server_that_says_why_is_quoted() -> None:
    why: object = {"detail": "g cannot be made: no licence"}
    async with ScriptedServer(pages={"/metadata": [(500, why)]}).running() as url:
        with pytest.raises(OpenEnvRetryError, match=r"HTTP 500: g cannot be made: no licence$"):
            await asked(url)
    why = b"x" * 200_000
    async with ScriptedServer(pages={"/metadata": [(503, why)]}).running() as url:
        with pytest.raises(OpenEnvRetryError, match=r"HTTP 503$"):
            await asked(url)


@pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n{"])
async def test_a_page_that_drips_is_not_waited_for(begun: bytes) -> None:
    """Each byte comes in time, the page never."""

    over = asyncio.Event()

    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(begun)
        try:
            while True:
                writer.write(b" " if begun else b"HTTP/1.1 100 Continue\r\n\r\n")
                await writer.drain()
                await asyncio.sleep(0.01)
        except ConnectionError:
            writer.transport.abort()
            over.set()

    async with await asyncio.start_server(drip, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

        async def ask(seconds: float) -> None:
            with pytest.raises(OpenEnvConnectionError, match=rf"no answer within {seconds:g} s"):
                await describe(url, headers={}, seconds=seconds)

        await in_time(ask, 0.05)
        await over.wait()


@pytest.mark.parametrize("token", ["secret\nsecret", "secrét", "secret\x00"])
def test_a_token_that_no_header_takes_is_not_quoted(token: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        bearer(token)
    assert "secr" not in caught.value.detail
