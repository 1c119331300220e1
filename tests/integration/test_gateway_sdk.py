"""The official OpenAI SDK against the running service and a simulated cluster."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2
import pytest
from openai import (
    AsyncOpenAI,
    AuthenticationError,
    BadRequestError,
    InternalServerError,
    NotFoundError,
    OpenAI,
    PermissionDeniedError,
)
from openai.types.chat import ChatCompletionUserMessageParam

from tests.fakes.deployment import (
    Deployment,
    deployed,
    providers,
    simulated_cluster,
    wait_until,
)
from tests.fakes.ports import free_port

HELLO: list[ChatCompletionUserMessageParam] = [{"role": "user", "content": "Hello"}]
MODEL = "playbook-7b"


@pytest.fixture(scope="module")
def sdk(deployment: Deployment) -> OpenAI:
    return OpenAI(base_url=f"{deployment.url}/v1", api_key=deployment.token("llm"), max_retries=0)


def test_plain(sdk: OpenAI) -> None:
    raw = sdk.chat.completions.with_raw_response.create(model=MODEL, messages=HELLO)
    answer = raw.parse()
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.total_tokens > 0
    assert raw.headers["x-agentcore-provider"] == "cluster"
    assert raw.headers["x-agentcore-reason"] == "cost_optimization"
    assert float(raw.headers["x-agentcore-cost-usd"]) == 0


def test_streamed(sdk: OpenAI) -> None:
    chunks = list(sdk.chat.completions.create(model=MODEL, messages=HELLO, stream=True))
    text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert text
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert all(chunk.usage is None for chunk in chunks)


def test_streamed_with_usage(sdk: OpenAI) -> None:
    chunks = list(
        sdk.chat.completions.create(
            model=MODEL, messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
    )
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None


def test_responses(sdk: OpenAI) -> None:
    raw = sdk.responses.with_raw_response.create(model=MODEL, input="Hello")
    assert raw.parse().output_text
    assert raw.headers["x-agentcore-provider"] == "cluster"
    events = list(sdk.responses.create(model=MODEL, input="Hello", stream=True))
    assert events[-1].type == "response.completed"
    assert events[-1].response.output_text
    with pytest.raises(BadRequestError) as caught:
        sdk.embeddings.create(model=MODEL, input="Hello")
    assert caught.value.code == "dialect_not_served"


async def test_asynchronously(deployment: Deployment) -> None:
    async with AsyncOpenAI(
        base_url=f"{deployment.url}/v1", api_key=deployment.token("llm"), max_retries=0
    ) as sdk:
        stream = await sdk.chat.completions.create(model=MODEL, messages=HELLO, stream=True)
        parts = [chunk async for chunk in stream]
    assert parts[-1].choices[0].finish_reason == "stop"


def test_models(sdk: OpenAI) -> None:
    assert [model.id for model in sdk.models.list()] == [MODEL]
    assert sdk.models.retrieve(MODEL).owned_by == "cluster"
    with pytest.raises(NotFoundError) as caught:
        sdk.models.retrieve("gpt-9")
    assert caught.value.code == "model_not_found"


def test_errors_are_the_sdks_own(sdk: OpenAI, deployment: Deployment) -> None:
    with pytest.raises(NotFoundError) as missing:
        sdk.chat.completions.create(model="gpt-9", messages=HELLO)
    assert missing.value.code == "model_not_found"
    assert missing.value.param == "model"
    with pytest.raises(BadRequestError) as empty:
        sdk.chat.completions.create(model=MODEL, messages=[])
    assert empty.value.param == "messages"
    with pytest.raises(BadRequestError):
        sdk.chat.completions.create(model=MODEL, messages=HELLO, n=2)
    with pytest.raises(AuthenticationError):
        sdk.with_options(api_key="wrong").models.list()
    with pytest.raises(PermissionDeniedError):
        sdk.with_options(api_key=deployment.token("a2a")).models.list()


def test_a_private_request_is_answered_by_the_private_cluster(sdk: OpenAI) -> None:
    raw = sdk.chat.completions.with_raw_response.create(
        model=MODEL, messages=HELLO, extra_headers={"x-agentcore-private": "true"}
    )
    assert raw.headers["x-agentcore-reason"] == "privacy_required"


def test_what_was_done_is_seen(sdk: OpenAI, deployment: Deployment) -> None:
    sdk.chat.completions.create(model=MODEL, messages=HELLO)
    with deployment.client("admin") as http:
        stats = http.get("/internal/routing/stats").json()
        assert stats["parallax_requests"] >= 1

        def written() -> bool:
            summary = http.get("/internal/costs/summary").json()
            return bool(summary["lines"]) and float(summary["api_equivalent_usd"]) > 0

        wait_until(written, "the ledger has a line")
        assert 'parallax_requests_total{model="playbook-7b",status="success"}' in (
            http.get("/metrics").text
        )


@pytest.fixture(scope="module")
def hybrid() -> Iterator[Deployment]:
    """A private cluster that nobody started, and an API behind it."""
    with (
        simulated_cluster("--latency", "0.001", "--token-latency", "0") as api,
        deployed(
            AGENTCORE_LLM_GATEWAY__PROVIDERS=providers(
                cluster=f"http://127.0.0.1:{free_port()}", api=api
            ),
            AGENTCORE_SERVER__LOG_LEVEL="warning",
        ) as running,
    ):
        yield running


def test_without_the_cluster_an_api_answers_and_private_requests_wait(hybrid: Deployment) -> None:
    sdk = OpenAI(base_url=f"{hybrid.url}/v1", api_key=hybrid.token("llm"), max_retries=0)
    raw = sdk.chat.completions.with_raw_response.create(model=MODEL, messages=HELLO)
    assert raw.headers["x-agentcore-provider"] == "api"
    assert raw.headers["x-agentcore-reason"] == "cluster_saturated"
    assert float(raw.headers["x-agentcore-cost-usd"]) > 0
    with pytest.raises(InternalServerError) as caught:
        sdk.chat.completions.create(
            model=MODEL, messages=HELLO, extra_headers={"x-agentcore-private": "true"}
        )
    assert caught.value.status_code == 503
    assert caught.value.code == "private_provider_unavailable"


def test_accepted_lines_survive_a_kill(hybrid: Deployment) -> None:
    with hybrid.client("admin", tenant="killed") as http:
        ask = {"model": MODEL, "messages": HELLO}
        assert http.post("/v1/chat/completions", json=ask).status_code == 200
        wait_until(lambda: http.get("/internal/costs/summary").json()["lines"], "it is written")
        hybrid.kill()
        hybrid.start()
        lines = http.get("/internal/costs/summary").json()["lines"]
        assert [line["calls"] for line in lines] == [1]
        assert isinstance(http, httpx2.Client)
