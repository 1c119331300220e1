"""The doors of an agent hold their promises in process and over HTTP alike.

Each is opened on the same kind of service: real PostgreSQL and Valkey, a simulated model cluster.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvicorn
from prometheus_client import CollectorRegistry

from agentcore.agents import inprocess
from agentcore.agents.ports import Mind, Playbooks, World
from agentcore.app import create_app
from agentcore.bootstrap import bootstrap
from agentcore.cli.demo import peers
from agentcore.cli.serving import bind
from agentcore.kit.clock import SYSTEM_CLOCK
from agentcore.kit.embedded import EmbeddedServers
from agentcore.kit.errors import AgentCoreError
from agentcore.kit.http import open_http
from agentcore.kit.jsonvalue import JsonObject
from agentcore.kit.security import Principal
from agentcore.settings import Settings, load_settings
from agentcore.simulators.models import ClusterConfig
from agentcore.simulators.server import serve_cluster
from tests.fakes.deployment import PATIENT, providers

ADMIN = Principal(subject="local", tenant="default", scopes=frozenset({"admin"}))
MODEL = "playbook-7b"


@dataclass(frozen=True, slots=True)
class Doors:
    mind: Mind
    world: World
    playbooks: Playbooks


@pytest.fixture
async def settings(
    tmp_path: Path, database_url: str, servers: EmbeddedServers
) -> AsyncIterator[Settings]:
    config = ClusterConfig(port=0, first_token_seconds=0.001, token_seconds=0)
    async with serve_cluster(config) as cluster:
        yield load_settings(
            environ={
                **PATIENT,
                "AGENTCORE_HOME": str(tmp_path),
                "AGENTCORE_DATABASE_URL": database_url,
                "AGENTCORE_REDIS_URL": str(servers.redis_url),
                "AGENTCORE_CACHE__NAMESPACE": tmp_path.name,
                "AGENTCORE_SECURITY__AUTH": "false",
                "AGENTCORE_LLM_GATEWAY__PROVIDERS": providers(cluster=cluster.base_url),
            },
            overrides={"server.port": 0},
        )


@asynccontextmanager
async def inside(settings: Settings) -> AsyncIterator[Doors]:
    async with bootstrap(settings, CollectorRegistry()) as services:
        await services.contexts.create_playbook("pupil", {"goals": ["learn"]}, principal=ADMIN)
        yield Doors(
            inprocess.GatewayMind(services.gateway.router, ADMIN, MODEL),
            inprocess.MethodWorld(services.a2a.registry, ADMIN),
            inprocess.OwnPlaybooks(services.contexts, ADMIN),
        )


@asynccontextmanager
async def over_http(settings: Settings) -> AsyncIterator[Doors]:
    async with AsyncExitStack() as stack:
        listening = stack.enter_context(bind(settings))
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        server = uvicorn.Server(uvicorn.Config(create_app(settings), log_config=None))
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        while not server.started:
            assert not serving.done()
            await asyncio.sleep(0.01)
        http = await stack.enter_async_context(open_http())
        api = peers.AgentCoreApi(http, url, "unused")
        playbook: JsonObject = {"agent_id": "pupil", "initial_context": {"goals": ["learn"]}}
        await api.post("/internal/context/playbooks", playbook)
        yield Doors(
            peers.GatewayMind(api, MODEL, SYSTEM_CLOCK),
            peers.RpcWorld(api),
            peers.ContextPlaybooks(api),
        )
        server.should_exit = True
        await serving


@pytest.fixture(params=[inside, over_http], ids=["in process", "over HTTP"])
async def doors(request: pytest.FixtureRequest, settings: Settings) -> AsyncIterator[Doors]:
    async with request.param(settings) as opened:
        yield opened


async def test_a_mind_answers_and_says_what_it_took(doors: Doors) -> None:
    thought = await doors.mind.think([{"role": "user", "content": "Hello"}], trace_id="t")
    assert thought.text
    assert thought.tokens > 0
    assert thought.provider == "cluster"
    assert thought.cost_usd == 0, "self-hosted, at its marginal price"


async def test_a_world_answers_methods_and_raises_refusals_in_the_peers_words(doors: Doors) -> None:
    found = await doors.world.call("agent.discover", {"text": "pupil"})
    assert "agents" in found
    with pytest.raises(AgentCoreError, match="no method"):
        await doors.world.call("agent.dance", {})
    with pytest.raises(AgentCoreError, match="environment"):
        await doors.world.call("environment.open", {"environment": "nowhere"})


async def test_playbooks_are_rendered_with_their_stamp(doors: Doors) -> None:
    rendered = await doors.playbooks.render("pupil", "any task")
    assert "learn" in rendered.text
    assert rendered.stamp is not None
    assert rendered.stamp["version"] == 1
