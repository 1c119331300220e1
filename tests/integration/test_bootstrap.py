"""Everything wired, in this process, on the tests' own servers."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from agentcore.a2a_protocol.models.turn import Sent
from agentcore.agents.playbook_agent import AGENT_ID
from agentcore.bootstrap import Services, bootstrap
from agentcore.kit.drain import Drain
from agentcore.kit.embedded import EmbeddedServers
from agentcore.kit.errors import AgentCoreError, StartupError
from agentcore.kit.jsonvalue import JsonObject
from agentcore.settings import Settings, load_settings
from tests.fakes.a2a import principal
from tests.fakes.deployment import PATIENT
from tests.fakes.identity_provider import key_set, signing_key


@pytest.fixture
def settings(tmp_path: Path, database_url: str, servers: EmbeddedServers) -> Settings:
    environ = {
        **PATIENT,
        "AGENTCORE_HOME": str(tmp_path),
        "AGENTCORE_DATABASE_URL": database_url,
        "AGENTCORE_REDIS_URL": str(servers.redis_url),
        "AGENTCORE_CACHE__NAMESPACE": tmp_path.name,
        "AGENTCORE_A2A__HOSTED": '["tests.fakes.a2a:OWN"]',
    }
    return load_settings(environ=environ)


async def traces_of_own_agent(services: Services) -> int:
    """How many there are when a task of it has ended."""
    message: JsonObject = {"messageId": "m", "parts": [{"text": "hello"}]}
    sent = Sent(principal=principal(), message=message, agent="own")
    begun = await services.a2a.manager.send(sent)
    await services.a2a.manager.settled(begun, 60)
    async with asyncio.timeout(60):
        while True:
            with suppress(AgentCoreError):
                status = await services.contexts.evolution_status("own.acme")
                if status.pending_traces:
                    return status.pending_traces
            await asyncio.sleep(0.01)


async def test_all_parts_run_and_all_stop(settings: Settings, registry: CollectorRegistry) -> None:
    async with bootstrap(settings, registry) as services:
        probes = services.probes(Drain())
        checks = {name: await probe() for name, probe in probes.items()}
        assert all(check.ok and not check.degraded for check in checks.values()), checks
        assert [hosting.agent_id for hosting in services.a2a.hosted] == [AGENT_ID, "own"]
        assert "environment.open" in services.a2a.registry.names()
        assert await traces_of_own_agent(services) == 1
        running = services.ground.supervisor.health()
        assert {"cache", "gateway ledger", "a2a-tasks"} <= running.keys()


async def test_two_services_fit_into_one_process(
    settings: Settings, registry: CollectorRegistry
) -> None:
    async with bootstrap(settings, registry), bootstrap(settings, CollectorRegistry()) as second:
        await second.ground.database.ping()


async def test_draining_turns_readiness_red(
    settings: Settings, registry: CollectorRegistry
) -> None:
    drain = Drain()
    async with bootstrap(settings, registry) as services:
        await drain.drain(1)
        assert not (await services.probes(drain)["accepting"]()).ok


async def test_a_weak_secret_stops_the_start(
    settings: Settings, registry: CollectorRegistry
) -> None:
    weak = load_settings(
        environ={
            "AGENTCORE_HOME": str(settings.home),
            "AGENTCORE_DATABASE_URL": settings.database.url,
            "AGENTCORE_REDIS_URL": settings.cache.url,
            "AGENTCORE_SECURITY__JWT_SECRET": "weak",
        }
    )
    with pytest.raises(StartupError, match="4 characters"):
        async with bootstrap(weak, registry):
            pass


async def test_an_identity_providers_tokens_open_the_same_doors(
    settings: Settings, registry: CollectorRegistry, tmp_path: Path
) -> None:
    key, path = signing_key(), tmp_path / "keys.json"
    path.write_bytes(key_set(key))
    security = settings.security.model_copy(update={"jwks": str(path), "jwt_audience": "our-api"})
    told = settings.model_copy(update={"security": security})
    async with bootstrap(told, registry) as services:
        token = key.token(aud="our-api").encode()
        found = await services.authenticator.authenticate({b"authorization": b"Bearer " + token})
        assert (found.subject, found.tenant) == ("ann", "acme")
