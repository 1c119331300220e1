from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from agentcore.llm_gateway.models import GatewayConfig, LLMRequest, ProviderConfig

CLUSTER = {"name": "cluster", "kind": "parallax", "base_url": "http://127.0.0.1:3001/"}


def configured(**changes: Any) -> ProviderConfig:
    return ProviderConfig.model_validate({**CLUSTER, **changes})


def test_nothing_needs_to_be_configured() -> None:
    assert GatewayConfig.model_validate({}).providers == ()


def test_a_cluster_is_own_hardware_and_not_private_unless_said() -> None:
    cluster = configured()
    assert cluster.on_own_hardware
    assert not cluster.private
    assert cluster.url == "http://127.0.0.1:3001"
    assert not configured(self_hosted=False).on_own_hardware
    assert not configured(kind="compatible", base_url="http://h/v1").on_own_hardware


def test_openai_knows_its_address() -> None:
    assert configured(kind="openai", base_url="").url == "https://api.openai.com/v1"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"kind": "azure"}, "'parallax', 'compatible'"),
        ({"base_url": ""}, "must be an http or https address"),
        ({"base_url": "ftp://h"}, "must be an http or https address"),
        ({"base_url": "http://user:secret@h"}, "a key goes to api_key"),
        ({"base_url": "http://h:3001/v1"}, "must have no path"),
        ({"base_url": "http://m\u20acn"}, "in ASCII"),
        ({"kind": "compatible", "base_url": "http://h/\u20ac"}, "in ASCII"),
        ({"base_url": "http://h:99999"}, "port in base_url of provider 'cluster'"),
        ({"base_url": "http://h:0"}, "port in base_url of provider 'cluster'"),
        ({"api_key": "two\nlines"}, "one line of printable ASCII"),
        ({"api_key": "schl\u00fcssel"}, "one line of printable ASCII"),
        ({"api_key": "a\x00b"}, "one line of printable ASCII"),
        ({"name": "Mine!"}, "pattern"),
        ({"price": {"input": 1, "output": 2}, "price_model": "gpt-5-mini"}, "not both"),
        ({"price": {"input": -1, "output": 2}}, "greater than or equal to 0"),
        ({"unknown": 1}, "Extra inputs are not permitted"),
        ({"timeouts": {"total": 0}}, "greater than 0"),
    ],
    ids=str,
)
def test_a_bad_provider_is_named(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words) as caught:
        configured(**changes)
    assert "secret@" not in str(caught.value.errors()[0]["msg"])


def test_names_are_unique() -> None:
    with pytest.raises(ValidationError, match="two providers are named 'cluster'"):
        GatewayConfig.model_validate({"providers": [CLUSTER, CLUSTER]})


def test_a_key_is_not_shown() -> None:
    assert "sesame" not in repr(configured(api_key="sesame"))


def test_a_request_becomes_the_wires_document() -> None:
    request = LLMRequest(
        model="m",
        messages=[{"role": "user", "content": "Hello"}],
        temperature=0.0,
        max_tokens=5,
        extras={"seed": 7},
        requires_privacy=True,
        priority="high",
        trace_id="t",
    )
    call = request.call()
    assert call.body == {
        "seed": 7,
        "model": "m",
        "messages": [{"role": "user", "content": "Hello"}],
        "temperature": 0.0,
        "max_tokens": 5,
    }
    assert (call.requires_privacy, call.priority, call.trace_id) == (True, "high", "t")
    assert call.prompt_bytes > 20
    assert request.call(stream=True).body["stream"] is True


def test_what_was_not_asked_is_not_sent() -> None:
    body = LLMRequest(model="m", messages=[]).call().body
    assert set(body) == {"model", "messages"}
