"""What OpenAIProvider knows of its catalogue; the conformance suite has the rest."""

from __future__ import annotations

import pytest

from agentcore.kit.supervisor import Supervisor
from agentcore.llm_gateway.models import ChatCall
from agentcore.llm_gateway.providers.api import (
    CATALOG_RETRY_SECONDS,
    CATALOG_SECONDS,
    APIProvider,
)
from agentcore.llm_gateway.providers.openai import (
    CompatibleProvider,
    OpenAIProvider,
    PortkeyProvider,
)
from agentcore.llm_gateway.transport import ConnectionPool
from tests.fakes.clock import ManualClock
from tests.fakes.llm_upstream import Upstream, fails
from tests.fakes.waiting import eventually
from tests.unit.llm_gateway.conftest import api_at


@pytest.fixture
def provider(upstream: Upstream, pool: ConnectionPool, clock: ManualClock) -> OpenAIProvider:
    return api_at(OpenAIProvider, upstream, pool, clock)


async def test_an_unconfigured_catalogue_is_asked_for(
    provider: OpenAIProvider, supervisor: Supervisor
) -> None:
    assert provider.served_models() is None
    supervisor.start("watch", provider.watch)
    await eventually(lambda: provider.served_models() == ("Qwen/Qwen3-8B",))
    assert provider.upstream_model("Qwen/Qwen3-8B") == "Qwen/Qwen3-8B"


async def test_it_is_asked_again(
    provider: OpenAIProvider, upstream: Upstream, clock: ManualClock, supervisor: Supervisor
) -> None:
    supervisor.start("watch", provider.watch)
    await eventually(lambda: clock.slept == [CATALOG_SECONDS])
    assert provider.served_models() == ("Qwen/Qwen3-8B",)
    upstream.models = ["new"]
    clock.advance(CATALOG_SECONDS)
    await eventually(lambda: len(clock.slept) == 2)
    assert provider.served_models() == ("new",)


async def test_a_provider_that_does_not_answer_is_its_own_trouble(
    provider: OpenAIProvider, upstream: Upstream, clock: ManualClock, supervisor: Supervisor
) -> None:
    upstream.catalogue = fails(500)
    supervisor.start("watch", provider.watch)
    await eventually(lambda: clock.slept == [CATALOG_RETRY_SECONDS])
    assert provider.condition().why
    assert provider.served_models() is None
    assert supervisor.health()["watch"].alive
    upstream.catalogue = None
    clock.advance(CATALOG_RETRY_SECONDS)
    await eventually(lambda: clock.slept == [CATALOG_RETRY_SECONDS, CATALOG_SECONDS])
    assert provider.served_models() == ("Qwen/Qwen3-8B",)
    assert provider.condition().why == ""


async def test_a_configured_catalogue_is_not_asked_for(
    upstream: Upstream, pool: ConnectionPool, clock: ManualClock, supervisor: Supervisor
) -> None:
    provider = api_at(OpenAIProvider, upstream, pool, clock, models={"m": "theirs"})
    await provider.watch()
    assert await provider.get_available_models() == ["m"]
    assert upstream.headers == []


async def test_what_it_speaks_itself_and_what_by_translation(
    upstream: Upstream, pool: ConnectionPool, clock: ManualClock
) -> None:
    for kind, path in ((OpenAIProvider, "/responses"), (CompatibleProvider, "/chat/completions")):
        provider: APIProvider = api_at(kind, upstream, pool, clock)
        assert provider.dialects >= {"chat", "responses", "embeddings"}
        asked = ChatCall("m", {"model": "m", "input": "Hi"}, dialect="responses")
        assert provider.wires("p")["responses"].path(asked, "m") == path


async def test_portkeys_key_goes_in_its_own_header(
    upstream: Upstream, pool: ConnectionPool, clock: ManualClock, supervisor: Supervisor
) -> None:
    assert PortkeyProvider.headers("pk")["x-portkey-api-key"] == "pk"
    provider = api_at(PortkeyProvider, upstream, pool, clock)
    supervisor.start("watch", provider.watch)
    await eventually(lambda: provider.served_models() == ("Qwen/Qwen3-8B",))
    assert "authorization" not in {name.lower() for name in PortkeyProvider.headers("pk")}
