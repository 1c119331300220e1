"""One short episode tells what /health does not."""

from __future__ import annotations

import pytest

from agentcore.training.openenv.deep_health import deep_health
from agentcore.training.openenv.environments.base import AnyEnvironment
from agentcore.training.openenv.environments.catalog import BUNDLED
from agentcore.training.openenv.models import EnvironmentServerConfig
from agentcore.training.openenv.server import EnvironmentServer
from tests.fakes.openenv_servers import METADATA, Hang, Leave, ScriptedServer, refusal, serving
from tests.fakes.waiting import in_time


@pytest.mark.parametrize("name", BUNDLED)
async def test_a_bundled_environment_is_healthy(name: str) -> None:
    app = EnvironmentServer(name, BUNDLED[name], config=EnvironmentServerConfig(max_sessions=1))
    async with serving(app) as url:
        for _ in range(2):
            found = await deep_health(f"{url}/", token="t")
            assert (found.status, found.stage, found.code) == ("healthy", "step", None), found
            assert found.info is not None
            assert found.info.name == name
            assert found.url == url
            assert found.reset_seconds is not None
            assert found.step_seconds is not None
            assert found.seconds >= found.reset_seconds + found.step_seconds


async def test_a_green_server_whose_factory_always_fails_is_caught() -> None:
    described = [True]

    def factory() -> AnyEnvironment:
        if described:
            described.clear()
            return BUNDLED["guess_number"]()
        raise RuntimeError("no licence")

    async with serving(EnvironmentServer("guess_number", factory)) as url:
        found = await deep_health(url)
    assert (found.status, found.stage, found.code) == ("failed", "session", "FACTORY_ERROR")
    assert "no licence" in found.detail


@pytest.mark.parametrize(
    ("server", "outcome"),
    [
        (ScriptedServer(), ("healthy", "step", None)),
        (ScriptedServer(states=["[]"]), ("healthy", "step", None)),
        (
            ScriptedServer(states=[Leave(refusal("CAPACITY_REACHED"))]),
            ("busy", "session", "CAPACITY_REACHED"),
        ),
        (ScriptedServer(states=[Leave()]), ("failed", "session", "CLOSED")),
        (
            ScriptedServer(resets=[refusal("EXECUTION_ERROR", "no dice")]),
            ("failed", "reset", "EXECUTION_ERROR"),
        ),
        (ScriptedServer(resets=["{"]), ("failed", "reset", "openenv_spec_error")),
        (
            ScriptedServer(resets=['{"type":"observation","data":{"observation":[1]}}']),
            ("failed", "reset", "openenv_spec_error"),
        ),
        (
            ScriptedServer(resets=['{"type":"observation","data":{"observation":"\\ud800"}}']),
            ("failed", "reset", "openenv_spec_error"),
        ),
        (ScriptedServer(resets=["[" * 100_000]), ("failed", "reset", "openenv_spec_error")),
        (
            ScriptedServer(states=[Leave(refusal("FACTORY_ERROR", "\ud800"))]),
            ("failed", "session", "FACTORY_ERROR"),
        ),
        (
            ScriptedServer(resets=['{"type":"observation","data":' + "[" * 50_000]),
            ("failed", "reset", "openenv_spec_error"),
        ),
        (
            ScriptedServer(resets=['{"type":"error","data":{"code":{},"message":"no"}}']),
            ("failed", "reset", "{}"),
        ),
        (
            ScriptedServer(schema={"action": {"$ref": "#"}, "observation": {}}),
            ("degraded", "step", "schema_not_sampleable"),
        ),
        (ScriptedServer(resets=[Leave()]), ("failed", "reset", "openenv_spec_error")),
        (
            ScriptedServer(steps=[refusal("EXECUTION_ERROR")]),
            ("degraded", "step", "EXECUTION_ERROR"),
        ),
        (ScriptedServer(steps=[{"type": "state"}]), ("failed", "step", "openenv_spec_error")),
        (
            ScriptedServer(schema={"action": {"not": {}}, "observation": {}}),
            ("degraded", "step", "schema_not_sampleable"),
        ),
        (
            ScriptedServer(pages={"/metadata": [(404, {})]}),
            ("failed", "pages", "openenv_spec_error"),
        ),
        (
            ScriptedServer(pages={"/ws": [(403, {})]}, metadata=METADATA),
            ("failed", "session", "HTTP 403"),
        ),
    ],
)
async def test_it_says_where_the_episode_ended(
    server: ScriptedServer, outcome: tuple[str, str, str | None]
) -> None:
    async with server.running() as url:
        found = await deep_health(url, token="secret", seconds=60)
    assert (found.status, found.stage, found.code) == outcome
    assert bool(found.detail) == bool(found.hint) == (found.code is not None)
    assert {token for _, token in server.requested} == {"Bearer secret"}
    assert "secret" not in found.model_dump_json()


async def test_a_server_that_is_silent_costs_no_more_than_the_time_given() -> None:
    async def look(seconds: float) -> None:
        async with ScriptedServer(resets=[Hang]).running() as url:
            found = await deep_health(url, seconds=seconds)
        assert (found.status, found.stage) == ("failed", "reset")
        assert found.code == "deep_health_timeout"

    await in_time(look)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "ftp://127.0.0.1", "nonsense"])
async def test_a_url_that_leads_nowhere_is_a_result_too(url: str) -> None:
    found = await deep_health(url)
    assert (found.status, found.stage) == ("failed", "pages")
    assert found.code in {"openenv_unreachable", "openenv_spec_error"}
