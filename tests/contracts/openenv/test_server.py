"""Our servers under the checks that upstream's passes too, and what ours do beyond them."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from random import Random
from typing import Any, ClassVar

import httpx2
import pytest
from starlette.types import Message, Scope

from agentcore.kit.jsonvalue import JsonObject, object_of
from agentcore.training.openenv.client import Action, OpenEnvClient
from agentcore.training.openenv.conformance.models import Plan
from agentcore.training.openenv.conformance.suite import CHECKS, run_checks
from agentcore.training.openenv.environments.base import AnyEnvironment, Environment, Step
from agentcore.training.openenv.environments.catalog import BUNDLED
from agentcore.training.openenv.environments.examples.guess_number import GuessNumber
from agentcore.training.openenv.errors import OpenEnvError, OpenEnvStepError
from agentcore.training.openenv.models import EnvironmentServerConfig
from agentcore.training.openenv.server import EnvironmentServer
from tests.contracts.openenv.reports import found
from tests.contracts.openenv.suite import Subject, knock, session
from tests.fakes.openenv_servers import envs_app, serving
from tests.fakes.waiting import eventually

LIMIT = 3
LIMITS = EnvironmentServerConfig(max_sessions=LIMIT)
# Without a token there is nobody to refuse.
PNG = b"\x89PNG\r\n\x1a\nnot really"


@dataclass
class Nothing:
    pass


class Moody(Environment[Action, Nothing]):
    """Does what the type of the action says."""

    name, description = "moody", "Fails as it is told."
    closed: ClassVar[list[str]] = []

    def observation_space(self) -> JsonObject:
        return {"type": "object"}

    def begin(self, random: Random, options: JsonObject) -> JsonObject:
        return {"metadata": {"own": True}, "thread": threading.current_thread().name}

    def act(self, action: Action) -> Step:
        if action.type == "raise":
            raise RuntimeError("asked to raise")
        if action.type == "exit":
            sys.exit("usage: moody")
        if action.type == "no text":
            raise FileNotFoundError("\udcff.txt")
        if action.type == "unserialisable":
            return Step({"it": object()})  # type: ignore[dict-item]  # what a careless author does
        return Step({"thread": threading.current_thread().name})

    def render(self) -> bytes | None:
        return PNG if self.step_count == 0 else "no image"  # type: ignore[return-value]  # as above

    def close(self) -> None:
        self.closed.append(self.episode_id or "")
        raise RuntimeError("does not close")


class Thorough(Moody):
    name = "thorough"
    threaded = True


def broken() -> AnyEnvironment:
    raise RuntimeError("no licence")


@pytest.fixture(scope="module")
async def base_url() -> AsyncIterator[str]:
    environments = {**BUNDLED, "moody": Moody, "thorough": Thorough, "broken": broken}
    app = envs_app(environments, LIMITS)
    async with serving(app) as url:
        yield f"{url}/envs"


SUBJECTS: dict[str, tuple[JsonObject, Callable[[str], dict[str, Any]], JsonObject]] = {
    "a2a_protocol_test": (
        {"type": "respond_to_task", "parameters": {"task_id": "none", "status": "failure"}},
        lambda text: {"type": "respond_to_task", "parameters": {"task_id": text}},
        {"parameters": {}},
    ),
    "task_routing": (
        {"type": "routing_decision", "parameters": {"task": "none", "target_agent": "agent-0"}},
        lambda text: {
            "type": "routing_decision",
            "parameters": {"task": "task-0", "target_agent": text},
        },
        {"type": "routing_decision", "parameters": {"task": "task-0"}},
    ),
    "customer_service": (
        {"type": "routing_decision", "parameters": {"ticket": "none", "selected_agent": "ada"}},
        lambda text: {
            "type": "routing_decision",
            "parameters": {"ticket": "ticket-0", "selected_agent": text},
        },
        {"type": "routing_decision", "parameters": {"ticket": 0, "selected_agent": "ada"}},
    ),
    "guess_number": (
        {"type": "guess", "parameters": {"number": 1}},
        lambda text: {"type": "guess", "parameters": {"number": 2}, "metadata": {"note": text}},
        {"type": "guess", "parameters": {"number": 101}},
    ),
}


@pytest.mark.parametrize("name", BUNDLED)
async def test_conformance(name: str, base_url: str) -> None:
    """The suite that ships."""
    report = await run_checks(
        Plan(url=f"{base_url}/{name}", answer_seconds=60), CHECKS, lambda *_: None
    )
    # Without a door there is nobody to refuse.
    assert set(found(report, "fail", "warn")) == {"auth"}, found(report, "fail", "warn")
    assert set(found(report, "skipped")) == {"agent-scope"}, found(report, "skipped")


# Customers give up before the limit: their episode cannot be truncated by doing nothing.
@pytest.mark.parametrize("name", [name for name in SUBJECTS if name != "customer_service"])
async def test_our_client_plays_an_episode(name: str, base_url: str) -> None:
    async with OpenEnvClient(f"{base_url}/{name}") as env:
        info = await env.connect()
        assert info.name == name
        assert info.mode == "simulation"
        assert info.capacity is not None
        assert info.capacity.maximum == LIMIT
        first = await env.reset(seed=0, options={"unheard_of": 1})
        assert first.metadata["seed"] == 0
        assert first.metadata["ignored_options"] == ["unheard_of"]
        assert info.max_episode_steps
        action = Action.model_validate(SUBJECTS[name][0])
        results = [await env.step(action) for _ in range(info.max_episode_steps)]
        assert [result.done for result in results].index(True) == info.max_episode_steps - 1
        assert (results[-1].terminated, results[-1].truncated) == (False, True)
        state = await env.state()
        assert state["episode_id"] == first.metadata["episode_id"]


async def test_a_step_before_reset_and_after_the_end_says_so(base_url: str) -> None:
    guess: JsonObject = {"type": "guess", "parameters": {"number": 1}}
    subject = Subject(f"{base_url}/guess_number", LIMIT, guess, lambda _: {}, {})
    async with session(subject) as one:
        early = (await one.ask("step", guess))["data"]
        assert (early["code"], early["reason"]) == ("EXECUTION_ERROR", "environment_not_reset")
        await one.observe("reset", {"seed": 0})
        done = [(await one.observe("step", guess))["done"] for _ in range(10)]
        assert done == [False] * 9 + [True]
        late = (await one.ask("step", guess))["data"]
        assert (late["code"], late["reason"]) == ("EXECUTION_ERROR", "episode_over")
        for seed in (-1, "abc", True, 1.5):
            assert (await one.ask("reset", {"seed": seed}))["data"]["code"] == "VALIDATION_ERROR"


async def test_an_option_that_the_environment_refuses_is_named(base_url: str) -> None:
    url = f"{base_url}/a2a_protocol_test"
    async with session(Subject(url, LIMIT, {}, lambda _: {}, {})) as one:
        answer = await one.ask("reset", {"num_tasks": 0})
        assert answer["data"]["code"] == "VALIDATION_ERROR"
        assert "num_tasks" in answer["data"]["message"]


@pytest.mark.parametrize("kind", ["raise", "unserialisable", "no text", "exit"])
async def test_an_environment_that_fails_keeps_its_session(kind: str, base_url: str) -> None:
    async with OpenEnvClient(f"{base_url}/moody") as env:
        await env.reset()
        with pytest.raises(OpenEnvStepError):
            await env.step(Action(type=kind))
        await env.step(Action(type="anything"))


@pytest.mark.parametrize("kind", ["raise", "unserialisable"])
async def test_an_environment_that_fails_by_a_tool_call_keeps_its_session(
    kind: str, base_url: str
) -> None:
    async with session(Subject(f"{base_url}/moody", LIMIT, {}, lambda _: {}, {})) as one:
        await one.observe("reset", {})
        call = {"name": kind, "arguments": {}}
        request = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}
        assert (await one.ask("mcp", request))["data"]["error"]["code"] == -32603
        step = {"type": "call_tool", "tool_name": kind}
        await one.refused("EXECUTION_ERROR", json.dumps({"type": "step", "data": step}))
        assert (await one.ask("state"))["type"] == "state"


@pytest.mark.parametrize("kind", [[], {}, None, 7, ["list_tools"]])
async def test_an_action_whose_type_is_no_name_is_refused(kind: Any, base_url: str) -> None:
    async with session(Subject(f"{base_url}/moody", LIMIT, {}, lambda _: {}, {})) as one:
        await one.observe("reset", {})
        frame = json.dumps({"type": "step", "data": {"type": kind}})
        await one.refused("VALIDATION_ERROR", frame)


async def test_a_failure_over_http_is_a_problem_and_keeps_the_connection(base_url: str) -> None:
    async with httpx2.AsyncClient(base_url=f"{base_url}/moody") as http:
        for _ in range(3):
            answer = await http.post("/step", json={"action": {"type": "raise"}})
            assert answer.status_code == 500
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["detail"] == "RuntimeError: asked to raise"
            assert (await http.post("/step", json={"action": {"type": "x"}})).status_code == 200


async def test_metadata_of_its_own_is_kept(base_url: str) -> None:
    async with OpenEnvClient(f"{base_url}/moody") as env:
        first = await env.reset(seed=3)
    assert first.metadata["own"] is True
    assert first.metadata["seed"] == 3


async def test_rendering_returns_the_image(base_url: str) -> None:
    async with OpenEnvClient(f"{base_url}/moody") as env:
        assert "render" in (await env.connect()).features
        assert await env.render() == PNG
    async with session(Subject(f"{base_url}/moody", LIMIT, {}, lambda _: {}, {})) as one:
        answer = await one.ask("render")
        assert base64.b64decode(answer["data"]["image"]) == PNG


async def test_what_is_no_image_keeps_the_session(base_url: str) -> None:
    async with OpenEnvClient(f"{base_url}/moody") as env:
        await env.reset()
        await env.step(Action(type="anything"))
        with pytest.raises(OpenEnvError, match="the environment renders str, not bytes"):
            await env.render()
        await env.step(Action(type="anything"))


async def test_a_long_computation_leaves_the_loop(base_url: str) -> None:
    own = threading.current_thread().name
    async with OpenEnvClient(f"{base_url}/thorough") as env:
        await env.reset()
        assert (await env.step(Action(type="x"))).observation.state["thread"] != own
    async with OpenEnvClient(f"{base_url}/moody") as env:
        await env.reset()
        assert (await env.step(Action(type="x"))).observation.state["thread"] == own


async def test_environments_are_closed_once(base_url: str) -> None:
    async with OpenEnvClient(f"{base_url}/moody") as env:
        await env.reset(options={"episode_id": "mine"})
    await eventually(lambda: "mine" in Moody.closed)
    # Those of other tests may be closed only now.
    assert Moody.closed.count("mine") == 1


async def test_health_is_green_where_ready_is_not(base_url: str) -> None:
    async with httpx2.AsyncClient(base_url=f"{base_url}/broken") as http:
        assert (await http.get("/health")).status_code == 200
        for path in ("/ready", "/metadata", "/info", "/state"):
            answer = await http.get(path)
            assert answer.status_code == 500
            assert answer.json()["code"] == "openenv_factory_failed"
            assert "no licence" in answer.json()["detail"]
    async with knock(Subject(f"{base_url}/broken", LIMIT, {}, lambda _: {}, {})) as one:
        data = (await one.next())["data"]
        assert (data["code"], data["factory_name"]) == ("FACTORY_ERROR", "broken")
        assert await one.closed() == 1000


async def test_a_factory_that_fails_takes_no_slot() -> None:
    faults = [RuntimeError("not yet")]

    def sometimes() -> AnyEnvironment:
        if faults:
            raise faults.pop()
        return Moody()

    app = EnvironmentServer("sometimes", sometimes, config=EnvironmentServerConfig(max_sessions=1))
    async with serving(app) as url:
        async with knock(Subject(url, 1, {}, lambda _: {}, {})) as one:
            assert (await one.next())["data"]["code"] == "FACTORY_ERROR"
        async with OpenEnvClient(url) as env:
            await env.reset()


async def test_ready_and_info_tell_the_capacity(base_url: str) -> None:
    url = f"{base_url}/guess_number"
    async with httpx2.AsyncClient(base_url=url) as http, OpenEnvClient(url):
        assert (await http.get("/ready")).json() == {"status": "ready", "active": 1, "maximum": 3}
        info = (await http.get("/info")).json()
        assert info["capacity"] == {"active": 1, "maximum": 3}
        assert info["max_episode_steps"] == 10


async def test_a_body_without_end_is_refused(base_url: str) -> None:
    async with httpx2.AsyncClient(base_url=f"{base_url}/guess_number") as http:
        answer = await http.post("/reset", content=b"[" + b" " * (16 * 1024 * 1024))
        assert answer.status_code == 413


async def test_many_sessions_at_once_never_mix() -> None:
    app = EnvironmentServer("guess_number", BUNDLED["guess_number"])
    async with serving(app) as url:

        async def play(seed: int) -> list[object]:
            async with OpenEnvClient(url, max_episode_steps=5) as env:
                await env.reset(seed=seed)
                seen: list[object] = []
                for number in (50, 25, 75, 12, 90):
                    action = Action(type="guess", parameters={"number": number})
                    result = await env.step(action)
                    seen.append(result.observation.state["hint"])
                    if result.done:
                        break
                return seen

        together = await asyncio.gather(*(play(seed) for seed in range(64)))
        assert together == [await play(seed) for seed in range(64)]


async def test_who_leaves_inside_the_body_is_no_fault_of_the_server() -> None:
    parts: list[Message] = [
        {"type": "http.request", "body": b"{", "more_body": True},
        {"type": "http.disconnect"},
    ]
    sent: list[Message] = []

    async def receive() -> Message:
        return parts.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    scope: Scope = {"type": "http", "method": "POST", "path": "/step", "headers": []}
    await EnvironmentServer("moody", Moody)(scope, receive, send)
    assert sent[0]["status"] == 400


async def test_what_takes_long_to_make_is_described_beside_the_loop(base_url: str) -> None:
    own, made_in = threading.get_ident(), []

    class Heavy(Thorough):
        def __init__(self) -> None:
            super().__init__()
            made_in.append(threading.get_ident())

    async with (
        serving(EnvironmentServer("heavy", Heavy)) as url,
        httpx2.AsyncClient(base_url=url) as http,
    ):
        assert (await http.get("/metadata")).json()["name"] == "heavy"
        listed = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
        assert (await http.post("/mcp", json=listed)).json()["result"]["tools"] == []
    assert len(made_in) == 2
    assert own not in made_in


async def test_tools_that_are_called_at_once_begin_one_episode() -> None:
    class Guessing(GuessNumber):
        threaded = True

    def guess(number: int) -> JsonObject:
        params: JsonObject = {"name": "guess", "arguments": {"number": number}}
        return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}

    server = EnvironmentServer("guessing", Guessing)
    async with serving(server) as url, httpx2.AsyncClient(base_url=url) as http:
        create = {"jsonrpc": "2.0", "id": 1, "method": "openenv/session/create"}
        made = (await http.post("/mcp", json=create)).json()["result"]["session_id"]
        calls = [guess(number) for number in (1, 2, 3)]
        for each in calls:
            each["params"] = {**object_of(each["params"]), "session_id": made}
        await asyncio.gather(*(http.post("/mcp", json=each) for each in calls))
        state = (await http.get(f"/state?session_id={made}")).json()
        assert state["step_count"] == 3
