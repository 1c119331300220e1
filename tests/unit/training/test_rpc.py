from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from agentcore.a2a_protocol.dispatcher import Caller, EventStream, MethodRegistry
from agentcore.a2a_protocol.errors import InvalidParams, SessionRequired
from agentcore.kit.errors import AgentCoreError, Forbidden
from agentcore.kit.security import Principal
from agentcore.observability.tracing import OtelTracing
from agentcore.training.openenv.environments.a2a_message import text_message
from agentcore.training.openenv.errors import (
    ActionMappingError,
    EnvironmentSessionConflict,
    EnvironmentSessionNotFound,
    OpenEnvInvalidActionError,
    OpenEnvResetError,
)
from agentcore.training.openenv.rpc import register_methods
from agentcore.training.openenv.sessions import EnvironmentSessions
from tests.fakes.clock import ManualClock
from tests.fakes.environment_sessions import caller, mounted, sessions_at
from tests.fakes.openenv_servers import ScriptedServer, refusal, sent

TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture(scope="module")
async def envs() -> AsyncIterator[str]:
    async with mounted() as url:
        yield url


class Calls:
    """What arrives at the one JSON-RPC endpoint, after the envelope."""

    def __init__(self, sessions: EnvironmentSessions) -> None:
        self.sessions = sessions
        self._registry = MethodRegistry()
        register_methods(self._registry, sessions)

    async def __call__(self, method: str, principal: Principal | None = None, **params: Any) -> Any:
        return await self._registry.call(method, params, self._caller(principal))

    async def follow(
        self, method: str, principal: Principal | None = None, **params: Any
    ) -> EventStream:
        return await self._registry.follow(method, params, self._caller(principal))

    def _caller(self, principal: Principal | None) -> Caller:
        return Caller(
            principal=principal or caller(),
            request_id="r-1",
            trace_id="t-1",
            traceparent=f"00-{TRACE}-b7ad6b7169203331-01",
        )


@pytest.fixture
async def call(envs: str, clock: ManualClock) -> AsyncIterator[Calls]:
    async with sessions_at(envs, clock) as sessions:
        yield Calls(sessions)


async def test_an_episode_by_environment_methods(call: Calls) -> None:
    opened = await call("environment.open", environment="guess_number")
    assert opened["environment"]["name"] == "guess_number"
    assert "observation" not in opened
    session = {"session_id": opened["session_id"]}
    first = await call("environment.reset", **session, seed=7, options={"episode_id": "e-1"})
    assert first["observation"] == {"hint": "start"}
    assert first["metadata"]["seed"] == 7
    guess = {"type": "guess", "parameters": {"number": 42}}
    result = await call("environment.step", **session, action=guess)
    assert result["observation"] == {"hint": "hit"}
    assert (result["reward"], result["terminated"], result["truncated"]) == (1.0, True, False)
    assert await call("environment.state", **session) == {
        "episode_id": "e-1",
        "step_count": 1,
        "made": 1,
    }
    shown = await call("environment.render", **session)
    assert shown["media_type"] == "image/png"
    assert base64.b64decode(shown["image"]).startswith(b"\x89PNG")
    assert await call("environment.close", **session) == {"closed": True}
    with pytest.raises(EnvironmentSessionNotFound):
        await call("environment.state", **session)


async def test_a_seed_starts_the_first_episode(call: Calls) -> None:
    opened = await call("environment.open", environment="guess_number", seed=0)
    assert opened["observation"] == {"hint": "start"}
    assert opened["metadata"]["seed"] == 0


async def test_a_session_that_does_not_start_is_not_left_open(
    envs: str, clock: ManualClock
) -> None:
    server = ScriptedServer(resets=[refusal("EXECUTION_ERROR", "broken level")])
    async with server.running() as url:
        remote = {"name": "far", "url": url}
        async with sessions_at(envs, clock, environments=[remote]) as sessions:
            with pytest.raises(OpenEnvResetError, match="broken level"):
                await Calls(sessions)("environment.open", environment="far", seed=1)
            assert len(sessions) == 0


async def test_a2a_methods_act_inside_a_session(call: Calls) -> None:
    opened = await call("environment.open", environment="a2a_protocol_test", seed=0)
    session = {"session_id": opened["session_id"]}
    found = await call("agent.discover", **session, capabilities=["api_calls"])
    assert found["reward"] == 0.5
    delegated = await call(
        "agent.delegate",
        **session,
        task_id="task-0",
        target_agent="agent-0",
        message=text_message("m-1", "please"),
    )
    assert delegated["reward"] in {2.0, -1.0}
    answered = await call(
        "task.execute", **session, action="respond_to_task", task_id="none", status="failure"
    )
    assert answered["info"]["violations"] == ["Task not found"]
    unknown = await call("task.query", **session)
    assert unknown["info"]["violations"] == ["Unknown action type: query_task"]


async def test_the_context_reaches_the_environment_as_metadata(
    envs: str, clock: ManualClock
) -> None:
    server = ScriptedServer()
    async with server.running() as url:
        remote = {"name": "far", "url": url}
        async with sessions_at(envs, clock, environments=[remote]) as sessions:
            call = Calls(sessions)
            opened = await call("environment.open", environment="far", seed=1)
            context = {"source_agent": "router", "trace_id": "mine"}
            await call(
                "task.execute",
                session_id=opened["session_id"],
                action="say",
                message="hi",
                a2a_context=context,
            )
    metadata = {
        "a2a_request_id": "r-1",
        "a2a_method": "task.execute",
        "trace_id": "mine",
        "source_agent": "router",
        "session_id": opened["session_id"],
    }
    assert sent(server.received, "step")[0]["data"] == {"message": "hi", "metadata": metadata}


async def test_scopes_part_those_who_act_from_those_who_control(call: Calls) -> None:
    opened = await call("environment.open", environment="guess_number", seed=7, agents=["bob"])
    session = {"session_id": opened["session_id"]}
    agent = caller("bob", "acme", "env:act")
    guess = {"type": "guess", "parameters": {"number": 1}}
    assert (await call("environment.step", agent, **session, action=guess))["reward"] == -0.1
    assert (await call("task.execute", agent, **session, action="guess", number=2))[
        "reward"
    ] == -0.1
    assert (await call("environment.state", agent, **session))["step_count"] == 2
    for method, params in (
        ("environment.open", {"environment": "guess_number"}),
        ("environment.reset", session),
        ("environment.close", session),
    ):
        with pytest.raises(Forbidden):
            await call(method, agent, **params)
    with pytest.raises(Forbidden):
        await call("task.execute", caller("ada", "acme", "a2a"), **session, action="guess")


async def test_sessions_of_others_do_not_exist(call: Calls) -> None:
    opened = await call("environment.open", environment="guess_number", seed=0)
    session = {"session_id": opened["session_id"]}
    stranger = caller("ada", "other")
    guess = {"type": "guess", "parameters": {"number": 1}}
    calls: list[tuple[str, dict[str, Any]]] = [
        ("environment.reset", {}),
        ("environment.step", {"action": guess}),
        ("environment.state", {}),
        ("environment.render", {}),
        ("environment.close", {}),
        ("task.execute", {"action": "guess", "number": 1}),
        ("agent.discover", {}),
    ]
    for method, params in calls:
        with pytest.raises(EnvironmentSessionNotFound):
            await call(method, stranger, **session, **params)


@pytest.mark.parametrize(
    ("method", "params", "error"),
    [
        ("environment.open", {}, InvalidParams),
        ("environment.open", {"environment": "guess_number", "seed": -1}, InvalidParams),
        ("environment.open", {"environment": "guess_number", "seed": True}, InvalidParams),
        ("environment.open", {"environment": "guess_number", "sed": 1}, InvalidParams),
        ("environment.step", {"action": {"type": "guess"}}, InvalidParams),
        ("environment.state", {"session_id": "guessed"}, EnvironmentSessionNotFound),
        ("task.execute", {"session_id": "guessed", "action": "x"}, EnvironmentSessionNotFound),
        ("task.execute", {"action": "x"}, SessionRequired),
    ],
)
async def test_wrong_calls_are_refused(
    method: str, params: dict[str, Any], error: type[AgentCoreError], call: Calls
) -> None:
    with pytest.raises(error):
        await call(method, **params)


async def test_wrong_actions_are_refused(call: Calls) -> None:
    opened = await call("environment.open", environment="guess_number", seed=0)
    session = {"session_id": opened["session_id"]}
    with pytest.raises(OpenEnvInvalidActionError):
        await call("environment.step", **session, action={"type": "guess", "parameters": {}})
    with pytest.raises(OpenEnvInvalidActionError):
        await call("task.execute", **session, action="guess", number=1000)
    with pytest.raises(ActionMappingError):
        await call("task.execute", **session, action=7)


async def test_environments_are_listed(call: Calls) -> None:
    page = await call("environment.list", caller("bob", "acme", "env:act"), limit=1)
    assert [each["name"] for each in page["environments"]] == ["a2a_protocol_test"]
    rest = await call("environment.list", cursor=page["next_cursor"])
    assert "guess_number" in [each["name"] for each in rest["environments"]]
    assert rest["next_cursor"] is None


async def test_an_open_can_be_repeated_under_a_name(call: Calls) -> None:
    asked: dict[str, Any] = {
        "environment": "guess_number",
        "session_id": "run-1",
        "seed": 7,
        "agents": ["bob"],
    }
    opened = await call("environment.open", **asked)
    assert opened["session_id"] == "run-1"
    guess = {"type": "guess", "parameters": {"number": 1}}
    await call("environment.step", session_id="run-1", action=guess)
    assert await call("environment.open", **asked) == opened
    assert (await call("environment.state", session_id="run-1"))["step_count"] == 1
    agent = caller("bob", "acme", "env:act")
    shared = opened["shared_id"]
    assert (await call("environment.state", agent, session_id=shared))["step_count"] == 1
    with pytest.raises(EnvironmentSessionConflict):
        await call("environment.open", **{**asked, "seed": 8})
    with pytest.raises(EnvironmentSessionNotFound):
        await call("environment.state", agent, session_id="run-1")


@pytest.mark.parametrize("name", ["", "a/b", "../x", "a b", "x" * 129, "-x", 7])
async def test_names_fit_into_an_address(name: object, call: Calls) -> None:
    with pytest.raises(InvalidParams):
        await call("environment.open", environment="guess_number", session_id=name)


async def test_events_are_followed(call: Calls) -> None:
    await call("environment.open", environment="guess_number", session_id="s", seed=7)
    events = await call.follow("environment.subscribe", session_id="s", after="0")
    assert (await anext(aiter(events))).data.startswith(b'{"jsonrpc":"2.0","method":"environment.')
    for who in (caller("ada", "other"), caller("bob")):
        with pytest.raises(EnvironmentSessionNotFound):
            await call.follow("environment.subscribe", who, session_id="s")
    with pytest.raises(Forbidden):
        await call.follow("environment.subscribe", caller("ada", "acme", "a2a"), session_id="s")


async def test_spans_of_an_episode(envs: str, clock: ManualClock) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    async with sessions_at(envs, clock, tracer=OtelTracing(provider)) as sessions:
        call = Calls(sessions)
        await call("environment.open", environment="guess_number", session_id="s")
        reset: dict[str, Any] = {"seed": 7, "options": {"episode_id": "e-1"}}
        await call("environment.reset", session_id="s", **reset)
        await call("task.execute", session_id="s", action="guess", number=1)
        with pytest.raises(OpenEnvInvalidActionError):
            await call("task.execute", session_id="s", action="guess", number=1000)
    first, step, failed = exporter.get_finished_spans()
    assert [span.name for span in (first, step, failed)] == [
        "environment.reset",
        "environment.step",
        "environment.step",
    ]
    common = {"openenv.environment": "guess_number", "openenv.episode_id": "e-1"}
    assert dict(first.attributes or {}) == {**common, "openenv.step": 0, "openenv.seed": 7}
    assert dict(step.attributes or {}) == {
        **common,
        "openenv.step": 1,
        "openenv.action": "guess",
        "openenv.reward": -0.1,
        "openenv.done": False,
    }
    assert (failed.attributes or {})["error.type"] == "openenv_invalid_action"
    assert {f"{span.context.trace_id:032x}" for span in (first, step) if span.context} == {TRACE}


@pytest.mark.promise("000-example-route-ticket")
async def test_task_execute_unknown_action_reaches_environment(call: Calls) -> None:
    """Which actions there are is the environment's business, not the adapter's."""
    opened = await call("environment.open", environment="a2a_protocol_test", seed=0)
    session = {"session_id": opened["session_id"]}
    judged = await call("task.execute", **session, task_id="123", action="route_ticket")
    assert judged["info"]["violations"] == ["Unknown action type: route_ticket"]
    plain = await call("task.execute", **session, task_id="123")
    assert plain["info"]["violations"] == ["Unknown action type: execute_task"]
