"""What is Gemini's own; the conformance suite and the tests of APIProvider have the rest."""

from __future__ import annotations

import pytest
from aiohttp import web

from agentcore.llm_gateway.clearance import Cleared
from agentcore.llm_gateway.errors import UpstreamMalformed
from agentcore.llm_gateway.models import ChatCall, ProviderConfig, TokenUsage
from agentcore.llm_gateway.providers.gemini import GeminiProvider
from agentcore.llm_gateway.transport import ConnectionPool
from agentcore.llm_gateway.wire import PlainReply
from tests.fakes.clock import ManualClock
from tests.fakes.llm_upstream import Upstream, answers
from tests.unit.llm_gateway.conftest import api_at

PAGES = {
    "": {
        "models": [
            {"name": "models/gemini-3.5-flash", "supportedGenerationMethods": ["generateContent"]},
            {"name": "models/gemini-live", "supportedGenerationMethods": ["bidiGenerateContent"]},
        ],
        "nextPageToken": "a b",
    },
    "a b": {
        "models": [
            {"name": "models/gemini-embedding-2", "supportedGenerationMethods": ["embedContent"]},
            {"name": "tunedModels/mine"},
            {"name": 7},
        ]
    },
}


@pytest.fixture
def provider(upstream: Upstream, pool: ConnectionPool, clock: ManualClock) -> GeminiProvider:
    return api_at(GeminiProvider, upstream, pool, clock, api_key="a-key")


async def test_it_lists_the_models_that_can_be_asked_on_all_pages(
    provider: GeminiProvider, upstream: Upstream
) -> None:
    async def catalogue(request: web.Request) -> web.StreamResponse:
        assert request.query["pageSize"] == "1000"
        return web.json_response(PAGES[request.query.get("pageToken", "")])

    upstream.catalogue = catalogue
    assert await provider.get_available_models() == [
        "gemini-3.5-flash",
        "gemini-embedding-2",
        "tunedModels/mine",
    ]
    assert [each["x-goog-api-key"] for each in upstream.headers] == ["a-key", "a-key"]


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"models": {}}'])
async def test_what_is_no_list_is_refused(
    provider: GeminiProvider, upstream: Upstream, body: bytes
) -> None:
    upstream.catalogue = answers(body)
    with pytest.raises(UpstreamMalformed):
        await provider.get_available_models()


async def test_it_embeds(provider: GeminiProvider, upstream: Upstream) -> None:
    upstream.behaviour = answers(
        b'{"embeddings":[{"values":[0.5]}],"usageMetadata":{"promptTokenCount":2}}'
    )
    call = ChatCall("gemini-embedding-2", {"input": "Hi"}, dialect="embeddings")
    reply = await provider.send(Cleared(call, provider.destination))
    assert isinstance(reply, PlainReply)
    assert reply.usage == TokenUsage(2, 0, 2)
    assert upstream.paths == ["/v1/models/gemini-embedding-2:batchEmbedContents"]


def test_its_address_is_known() -> None:
    config = ProviderConfig(name="google", kind="gemini")
    assert config.url == "https://generativelanguage.googleapis.com/v1beta"
    assert config.traits.refuses == {"logit_bias"}
