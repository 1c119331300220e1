from __future__ import annotations

import pytest

from agentcore.kit.security import ANYBODY
from agentcore.llm_gateway.terms import NO_TERMS, KeyHolder, Terms, terms_of

OPEN = frozenset({"llm"})


@pytest.mark.parametrize(
    ("patterns", "model", "allowed"),
    [
        ((), "anything", True),
        (("qwen3-8b",), "qwen3-8b", True),
        (("qwen3-8b",), "qwen3-8b-turbo", False),
        (("qwen3-*", "gpt-5*"), "gpt-5-mini", True),
        (("qwen3-*",), "Qwen3-8b", False),
        (("org/*",), "org/model", True),
        (("gpt-[45]o",), "gpt-4o", True),
    ],
)
def test_models_are_allowed_by_globs(patterns: tuple[str, ...], model: str, allowed: bool) -> None:
    assert Terms(models=patterns).allow(model) is allowed


def test_any_rate_is_metered() -> None:
    assert Terms(models=("m",), ceiling=2).unmetered
    assert not Terms(requests_per_minute=0).unmetered
    assert not Terms(tokens_per_minute=5).unmetered


def test_only_keys_have_terms() -> None:
    assert terms_of(ANYBODY) is NO_TERMS
    holder = KeyHolder(subject="a", tenant="t", scopes=OPEN, terms=Terms(models=("m",)))
    assert terms_of(holder).models == ("m",)
    assert terms_of(KeyHolder(subject="a", tenant="t", scopes=OPEN)) is NO_TERMS
