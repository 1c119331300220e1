from __future__ import annotations

import traceback
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from agentcore.kit.errors import StartupError
from agentcore.kit.jsonvalue import JsonObject
from agentcore.llm_gateway.errors import PrivacyDetectorFailed
from agentcore.llm_gateway.models import ChatCall
from agentcore.llm_gateway.privacy import NO_RULES, PrivacyRules, holds_private_data, texts_of
from agentcore.llm_gateway.traffic import PrivacyConfig

CALL = ChatCall("m", {"messages": [{"role": "user", "content": "Hello"}]}, tenant="acme")


def rules(**config: Any) -> PrivacyRules:
    return PrivacyRules(PrivacyConfig.model_validate(config))


def says(text: str) -> ChatCall:
    return CALL._replace(body={"messages": [{"role": "user", "content": [{"text": text}]}]})


def mentions_the_project(text: str) -> bool:
    """Named by a setting in the tests below."""
    return "bluebird" in text


@pytest.mark.parametrize(
    ("config", "private"),
    [
        ({}, False),
        ({"models": ["m"]}, True),
        ({"models": ["x*", "?"]}, True),
        ({"models": ["m-private"]}, False),
        ({"tenants": ["acme"]}, True),
        ({"tenants": ["other"]}, False),
        ({"detector": "builtin"}, False),
    ],
)
def test_models_and_tenants(config: Any, private: bool) -> None:
    assert rules(**config).marked(CALL).requires_privacy is private


def test_what_is_private_stays_so() -> None:
    private = CALL._replace(requires_privacy=True)
    assert NO_RULES.marked(private) is private
    assert NO_RULES.marked(CALL) is CALL


@pytest.mark.parametrize(
    "text",
    [
        "write to ann.lee+x@example.co.uk today",
        "card 4111 1111 1111 1111, thanks",
        "5500-0000-0000-0004",
        "12 4111 1111 1111 1111",
        "card \u0664\u0661\u0661\u0661 1111 1111 1111",
        "order 2024-01 4111111111111111 5",
        "4111 1111 1111 1111 12 2027",
        "x12 4111 1111 1111 1111 5th",
        "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1",
        "ES91 2100 0418 4502 0005 1332 2024",
        "378282246310005",
        "4222222222222",
        "DE89 3704 0044 0532 0130 00",
        "GB82WEST12345698765432",
        "key: sk-proj-abcdefghijklmnop1234",
        "-----BEGIN OPENSSH *PRIVATE KEY-----".replace("*", ""),
        "AKIA*IOSFODNN7EXAMPLE".replace("*", ""),
        "Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm4ifQ.c2lnbmF0dXJl",
    ],
)
def test_what_the_builtin_detector_finds(text: str) -> None:
    assert rules(detector="builtin").marked(says(text)).requires_privacy


@pytest.mark.parametrize(
    "text",
    [
        "Hello",
        "4111 1111 1111 1112",
        "1234567890123",
        "5500-0000-0000-0005",
        "DE00 3704 0044 0532 0130 00",
        "a@b",
        "sk-1",
    ],
)
def test_what_it_lets_go(text: str) -> None:
    assert not holds_private_data(text)


def test_a_number_is_looked_at_too() -> None:
    called: JsonObject = {"type": "tool_use", "input": {"card": 4111111111111111, "times": 2}}
    document: JsonObject = {"messages": [{"role": "assistant", "content": [called]}]}
    assert rules(detector="builtin").marked(CALL._replace(body=document)).requires_privacy
    assert list(texts_of({"times": 2, "seed": 10**12 - 1, "stream": True})) == []
    assert list(texts_of({"card": 10**12})) == ["1000000000000"]


@pytest.mark.parametrize("piece", ["a", "1", "a.", "a@", "eyJ-", ".eyJ", "AB12", "-----BEGIN A"])
def test_no_text_holds_up_everybody(piece: str) -> None:
    """Read again from each of its signs, such a text would take minutes."""
    assert not holds_private_data(piece * (200_000 // len(piece)))


def test_a_detector_of_ones_own() -> None:
    own = rules(detector=f"{__name__}:mentions_the_project")
    assert own.marked(says("about bluebird")).requires_privacy
    assert not own.marked(says("about nothing")).requires_privacy


def quotes(text: str) -> bool:
    raise ValueError(f"cannot read {text!r}")


def test_a_detector_that_fails_quotes_nothing() -> None:
    with pytest.raises(PrivacyDetectorFailed, match="ValueError") as failed:
        rules(detector=f"{__name__}:quotes").marked(says("bird" * 3))
    assert "birdbird" not in "".join(traceback.format_exception(failed.value))


@pytest.mark.parametrize("name", ["no.such.module:x", f"{__name__}:nothing", f"{__name__}:CALL"])
def test_a_detector_that_is_none_refuses_the_start(name: str) -> None:
    with pytest.raises(StartupError, match="detector"):
        rules(detector=name)


def test_a_detectors_name_has_a_form() -> None:
    with pytest.raises(ValidationError, match="module:function"):
        rules(detector="builtins")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON, st.sampled_from(["tools", "messages", "input"]))
def test_nothing_is_overlooked(document: Any, member: str) -> None:
    body: JsonObject = {member: [document, {"deep": [{"er": "me@example.org"}]}]}
    assert "me@example.org" in set(texts_of(body))
    assert rules(detector="builtin").marked(CALL._replace(body=body)).requires_privacy
