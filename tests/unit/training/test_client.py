from __future__ import annotations

import asyncio
import math
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from agentcore.kit.errors import AgentCoreError, InvalidInput
from agentcore.kit.jsonvalue import JsonObject
from agentcore.training import openenv
from agentcore.training.openenv.client import (
    Action,
    CapacityReached,
    EpisodeOver,
    OpenEnvClient,
    OpenEnvConnectionError,
    OpenEnvHTTPError,
    OpenEnvInvalidActionError,
    OpenEnvResetError,
    OpenEnvRetryError,
    OpenEnvSpecError,
    OpenEnvStepError,
    SessionLost,
    StepTimeout,
)
from agentcore.training.openenv.errors import EnvironmentNotReset, OpenEnvError
from tests.fakes.openenv_servers import (
    FULL,
    SAY,
    Drop,
    Hang,
    Leave,
    Reply,
    ScriptedServer,
    client,
    observation,
    refusal,
    sent,
)
from tests.fakes.waiting import eventually, in_time


async def test_an_episode_runs_until_it_is_done() -> None:
    server = ScriptedServer(steps=[observation(0.5), observation(1.0, done=True)])
    async with server.running() as url, client(url) as env:
        first = await env.reset(seed=0, options={"greeting": "hi", "episode_id": "e-1"})
        assert first.state == {"echo": "x"}
        assert (await env.step(SAY)).reward == 0.5
        last = await env.step(SAY)
        assert (last.reward, last.terminated, last.truncated) == (1.0, True, False)
        with pytest.raises(EpisodeOver):
            await env.step(SAY)
        await env.reset()
        await env.step(SAY)
    resets = sent(server.received, "reset")
    assert resets[0] == {
        "type": "reset",
        "data": {"seed": 0, "greeting": "hi", "episode_id": "e-1"},
    }
    assert resets[1] == {"type": "reset", "data": {}}
    assert sent(server.received, "step")[0] == {"type": "step", "data": {"message": "x"}}


async def test_the_environment_describes_itself() -> None:
    server = ScriptedServer()
    async with server.running() as url, client(url + "/") as env:
        assert env.base_url == url
        info = await env.connect()
        assert (info.name, info.version, info.mode, info.capacity) == ("foreign", "", None, None)
        assert info.max_episode_steps is None
        assert info.action_space["title"] == "EchoAction"
    assert server.sessions == 1


async def test_the_token_goes_with_every_request() -> None:
    server = ScriptedServer()
    async with server.running() as url, client(url, token="secret") as env:
        await env.reset()
    assert dict(server.requested) == {
        "/metadata": "Bearer secret",
        "/schema": "Bearer secret",
        "/ws": "Bearer secret",
    }


async def test_a_step_before_reset_is_not_sent() -> None:
    server = ScriptedServer()
    async with server.running() as url, client(url) as env:
        with pytest.raises(EnvironmentNotReset):
            await env.step(SAY)
    assert sent(server.received, "step") == []


async def test_a_wrong_action_is_not_sent_and_the_episode_goes_on() -> None:
    server = ScriptedServer()
    async with server.running() as url, client(url) as env:
        await env.reset()
        with pytest.raises(OpenEnvInvalidActionError) as caught:
            await env.step(Action(type="say", parameters={"message": 7}))
        assert caught.value.errors[0]["loc"] == ["message"]
        assert (await env.step(SAY)).reward == 0.5
    assert len(sent(server.received, "step")) == 1


@pytest.mark.parametrize(
    ("frame", "error"),
    [
        (refusal("EXECUTION_ERROR", "boom"), OpenEnvStepError),
        (refusal("UNHEARD_OF", "?", more=1), OpenEnvStepError),
        ({"type": "error", "data": {}}, OpenEnvStepError),
        (
            refusal("VALIDATION_ERROR", "bad", errors=[{"loc": ["x"], "msg": "m", "type": "t"}, 7]),
            OpenEnvInvalidActionError,
        ),
    ],
)
async def test_a_refused_step_leaves_the_session_usable(
    frame: Reply, error: type[AgentCoreError]
) -> None:
    server = ScriptedServer(steps=[frame])
    async with server.running() as url, client(url) as env:
        await env.reset()
        with pytest.raises(error) as caught:
            await env.step(SAY)
        assert not isinstance(caught.value, SessionLost)
        assert (await env.step(SAY)).reward == 0.5
    assert server.sessions == 1


@pytest.mark.parametrize(
    "reply",
    [
        Drop,
        Leave(),
        Leave(code=1011),
        Leave(refusal("SESSION_ERROR", "idle for too long")),
        Leave(refusal("FACTORY_ERROR", "gone")),
    ],
    ids=["cut", "closed", "failed", "session error", "factory error"],
)
async def test_a_lost_session_stays_lost_until_reset(reply: Reply) -> None:
    server = ScriptedServer(steps=[reply])
    async with server.running() as url, client(url) as env:
        await env.reset()
        for _ in range(3):
            with pytest.raises(SessionLost):
                await env.step(SAY)
        with pytest.raises(SessionLost):
            await env.state()
        await env.reset()
        assert (await env.step(SAY)).reward == 0.5
    assert server.sessions == 2
    # Never repeated: whether the first took place is unknown.
    assert len(sent(server.received, "step")) == 2


async def test_the_servers_reason_is_told() -> None:
    server = ScriptedServer(steps=[Leave(refusal("SESSION_ERROR", "idle for too long"))])
    async with server.running() as url, client(url) as env:
        await env.reset()
        with pytest.raises(SessionLost, match="idle for too long"):
            await env.step(SAY)


async def test_a_restarted_server_is_not_mistaken_for_the_old_one() -> None:
    server = ScriptedServer()
    async with server.listening() as first:
        port = first.sockets[0].getsockname()[1]
        env = client(f"http://127.0.0.1:{port}")
        await env.reset()
    async with server.running(port):
        for _ in range(2):
            with pytest.raises(SessionLost):
                await env.step(SAY)
        assert len(sent(server.received, "step")) == 0
        await env.reset()
        await env.step(SAY)
        await env.close()


async def test_a_server_that_restarted_between_episodes_goes_unnoticed() -> None:
    server = ScriptedServer(steps=[observation(1.0, done=True)])
    async with server.listening() as first:
        port = first.sockets[0].getsockname()[1]
        env = client(f"http://127.0.0.1:{port}")
        await env.reset()
        await env.step(SAY)
    async with server.running(port):
        await env.reset()
        await env.close()


async def test_a_step_without_answer_times_out_and_gives_up_the_session() -> None:
    server = ScriptedServer(steps=[Hang])
    async with server.running() as url, client(url) as env:
        await env.reset()
        env.timeout = 0.05
        with pytest.raises(StepTimeout):
            await env.step(SAY)
        env.timeout = 10.0
        with pytest.raises(SessionLost):
            await env.step(SAY)
        await env.reset()
        assert (await env.step(SAY)).reward == 0.5
    assert server.sessions == 2


async def test_a_cancelled_step_gives_up_the_session_and_frees_the_slot() -> None:
    server = ScriptedServer(steps=[Hang])
    async with server.running() as url, client(url) as env:
        await env.reset()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await env.step(SAY)
        with pytest.raises(SessionLost):
            await env.step(SAY)
        await eventually(lambda: server.open_sessions == 0)


async def test_calls_of_several_tasks_take_turns() -> None:
    server = ScriptedServer(steps=[observation(float(n)) for n in range(20)])
    async with server.running() as url, client(url) as env:
        await env.reset()
        results = await asyncio.gather(*(env.step(SAY) for _ in range(20)))
    assert [result.reward for result in results] == [float(n) for n in range(20)]


@pytest.mark.parametrize(
    ("reward", "raw"),
    [("NaN", None), ("null", None), ("true", True), ("-Infinity", None), ("3", 3)],
)
async def test_strange_rewards_are_understood(reward: str, raw: object) -> None:
    text = f'{{"type":"observation","data":{{"observation":{{}},"reward":{reward},"done":false}}}}'
    server = ScriptedServer(steps=[text])
    async with server.running() as url, client(url) as env:
        await env.reset()
        result = await env.step(SAY)
        assert result.reward_raw is raw or result.reward_raw == raw
        assert math.isfinite(result.reward)


async def test_extra_members_and_unicode_pass_through() -> None:
    data = {"observation": {"echo": "grüß 🙂"}, "reward": 1, "done": False, "extra": {"a": 1}}
    server = ScriptedServer(steps=[{"type": "observation", "data": data, "trace": "t"}])
    async with server.running() as url, client(url) as env:
        await env.reset()
        assert (await env.step(SAY)).observation.state == {"echo": "grüß 🙂"}


async def test_large_frames_pass_in_both_directions() -> None:
    text = "x" * (2 * 1024 * 1024)
    big: Reply = {
        "type": "observation",
        "data": {"observation": {"echo": text}, "reward": 1.0, "done": False},
    }
    server = ScriptedServer(steps=[big])
    async with server.running() as url, client(url) as env:
        await env.reset()
        result = await env.step(Action(type="say", parameters={"message": text}))
    assert result.observation.state == {"echo": text}
    assert sent(server.received, "step")[0]["data"]["message"] == text


@pytest.mark.parametrize(
    "answer", ["not json", "[1]", '{"type":"observation"}', '{"data":[]}', b'{"type":"\xff\xfe"}']
)
async def test_an_answer_that_is_none_gives_up_the_session(answer: str | bytes) -> None:
    server = ScriptedServer(steps=[answer])
    async with server.running() as url, client(url) as env:
        await env.reset()
        with pytest.raises(OpenEnvSpecError):
            await env.step(SAY)
        with pytest.raises(SessionLost):
            await env.step(SAY)


async def test_an_own_step_limit_truncates() -> None:
    server = ScriptedServer()
    async with server.running() as url, client(url, max_episode_steps=2) as env:
        await env.reset()
        assert not (await env.step(SAY)).truncated
        last = await env.step(SAY)
        assert (last.truncated, last.terminated) == (True, False)
        with pytest.raises(EpisodeOver):
            await env.step(SAY)


async def test_a_failed_reset_is_no_episode() -> None:
    server = ScriptedServer(resets=[observation(), refusal("EXECUTION_ERROR", "no such level")])
    async with server.running() as url, client(url) as env:
        await env.reset()
        with pytest.raises(OpenEnvResetError, match="no such level"):
            await env.reset(options={"level": 99})
        with pytest.raises(EnvironmentNotReset):
            await env.step(SAY)


async def test_a_reset_without_answer_fails() -> None:
    server = ScriptedServer(resets=[Hang])
    async with server.running() as url, client(url, timeout=0.05) as env:
        with pytest.raises(OpenEnvResetError, match="no answer"):
            await env.reset()


@pytest.mark.parametrize("seconds", [0, -1, math.nan])
def test_a_time_that_nothing_takes_is_refused(seconds: float) -> None:
    with pytest.raises(InvalidInput, match="a timeout of"):
        OpenEnvClient("http://127.0.0.1:9", seconds)
    with pytest.raises(InvalidInput, match="a timeout of"):
        OpenEnvClient("http://127.0.0.1:9", connect_timeout=seconds)


async def test_a_seed_among_the_options_is_refused() -> None:
    with pytest.raises(OpenEnvResetError, match="seed"):
        await client("http://127.0.0.1:9").reset(options={"seed": 1})


@pytest.mark.parametrize("value", [math.nan, [-math.inf], 2**70])
async def test_options_that_json_has_not_are_refused(value: Any) -> None:
    with pytest.raises(OpenEnvResetError, match="the options"):
        await client("http://127.0.0.1:9").reset(options={"level": value})


async def test_connecting_is_tried_again() -> None:
    server = ScriptedServer(
        pages={"/metadata": [(503, {}), (500, b"oops")], "/ws": [(502, {})]}, states=[Leave(FULL)]
    )
    async with server.running() as url, client(url, max_retries=3) as env:
        await env.reset()
    assert [path for path, _ in server.requested].count("/metadata") == 3
    assert [path for path, _ in server.requested].count("/ws") == 3


async def test_a_full_server_says_how_full() -> None:
    server = ScriptedServer(states=[Leave(FULL), Leave(FULL)])
    async with server.running() as url:
        with pytest.raises(CapacityReached) as caught:
            await client(url, max_retries=2).connect()
    assert (caught.value.active, caught.value.maximum) == (4, 4)
    assert caught.value.retryable
    assert server.sessions == 2


async def test_an_environment_without_state_is_still_one() -> None:
    server = ScriptedServer(states=[refusal("EXECUTION_ERROR", "no state")])
    async with server.running() as url, client(url) as env:
        await env.reset()


async def test_a_server_that_never_answers_the_first_frame() -> None:
    server = ScriptedServer(states=[Hang] * 4)

    async def connect(seconds: float) -> None:
        with pytest.raises(OpenEnvConnectionError, match="no answer"):
            await client(url, connect_timeout=seconds).connect()

    async with server.running() as url:
        await in_time(connect)


@pytest.mark.parametrize(
    ("pages", "error"),
    [
        ({"/metadata": [(404, {})]}, OpenEnvSpecError),
        ({"/metadata": [(200, b"<html>")]}, OpenEnvSpecError),
        ({"/metadata": [(200, [])]}, OpenEnvSpecError),
        ({"/metadata": [(200, {"description": "no name"})]}, OpenEnvSpecError),
        ({"/schema": [(200, {})]}, OpenEnvSpecError),
        ({"/schema": [(200, {"action": {"type": 7}})]}, OpenEnvSpecError),
        ({"/metadata": [(401, {})]}, OpenEnvHTTPError),
        ({"/metadata": [(302, {})]}, OpenEnvHTTPError),
        ({"/metadata": [(503, {})]}, OpenEnvRetryError),
        ({"/ws": [(404, {})]}, OpenEnvSpecError),
        ({"/ws": [(200, {})]}, OpenEnvSpecError),
        ({"/ws": [(403, {})]}, OpenEnvHTTPError),
        ({"/ws": [(503, {})]}, OpenEnvConnectionError),
    ],
)
async def test_what_is_no_environment_is_named(
    pages: dict[str, list[tuple[int, object]]], error: type[OpenEnvError]
) -> None:
    async with ScriptedServer(pages=pages).running() as url:
        with pytest.raises(error) as caught:
            await client(url).connect()
    assert type(caught.value) is error
    assert url.removeprefix("http") in caught.value.detail or "server" in caught.value.detail
    assert caught.value.hint, "an error says what to do"


async def test_nobody_is_there() -> None:
    with pytest.raises(OpenEnvConnectionError, match="cannot be reached"):
        await client("http://127.0.0.1:9").connect()


@pytest.mark.parametrize("url", ["", "localhost:8000", "ftp://x/y", "/envs/x", "http://"])
def test_what_is_no_url_is_refused_at_once(url: str) -> None:
    with pytest.raises(InvalidInput):
        OpenEnvClient(url)


@pytest.mark.parametrize(
    ("given", "base"),
    [
        ("http://h:1/envs/x/", "http://h:1/envs/x"),
        ("ws://h:1/x", "http://h:1/x"),
        ("wss://h", "https://h"),
        ("https://h/?a=1#b", "https://h"),
    ],
)
def test_the_base_url_is_normal(given: str, base: str) -> None:
    assert OpenEnvClient(given).base_url == base
    assert OpenEnvClient(given).max_retries == 3


async def test_rendering_is_asked_for_only_where_it_exists() -> None:
    server = ScriptedServer()
    async with server.running() as url, client(url) as env:
        await env.reset()
        assert await env.render() is None
    assert sent(server.received, "render") == []


async def test_events_tell_the_episode() -> None:
    server = ScriptedServer(steps=[observation(0.5), observation(1.0, done=True)])
    async with server.running() as url:
        env = client(url)
        updates = env.subscribe_updates()
        await env.reset()
        await env.step(SAY)
        await env.step(SAY)
        await env.close()
        events = [event async for event in updates]
    assert [event["type"] for event in events] == ["reset", "step", "done", "closed"]
    assert events[1] == {
        "type": "step",
        "step": 1,
        "state": {"echo": "x"},
        "metadata": {},
        "reward": 0.5,
        "terminated": False,
        "truncated": False,
    }


async def test_events_tell_of_a_loss() -> None:
    server = ScriptedServer(steps=[Drop])
    async with server.running() as url, client(url) as env:
        updates = env.subscribe_updates()
        await env.reset()
        with pytest.raises(SessionLost):
            await env.step(SAY)
        assert [(await anext(updates))["type"] for _ in range(2)] == ["reset", "lost"]


async def test_closing_frees_the_session_and_may_be_repeated() -> None:
    server = ScriptedServer()
    async with server.running() as url:
        env = client(url)
        await env.close()
        await env.reset()
        await env.close()
        await eventually(lambda: server.open_sessions == 0)
        await env.close()
        with pytest.raises(EnvironmentNotReset):
            await env.step(SAY)
        await env.reset()
        await env.close()


@pytest.mark.parametrize("call", [OpenEnvClient.state, OpenEnvClient.render, OpenEnvClient.close])
async def test_everything_works_before_connecting(
    call: Callable[[OpenEnvClient], Awaitable[JsonObject | bytes | None]],
) -> None:
    async with ScriptedServer().running() as url:
        env = client(url)
        await call(env)
        await env.close()


def test_the_package_offers_the_client_without_loading_it() -> None:
    assert openenv.OpenEnvClient is OpenEnvClient
    program = (
        "import sys, agentcore.training.openenv.models;"
        "sys.exit('websockets' in sys.modules or 'httpx2' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
