from __future__ import annotations

import pytest

from agentcore.kit.errors import NotFound
from agentcore.llm_gateway.dialects.chat import CHAT
from agentcore.llm_gateway.dialects.formats import FORMATS, form_of


@pytest.mark.parametrize("path", list(FORMATS))
def test_each_route_has_its_dialect(path: str) -> None:
    assert form_of(path) is FORMATS[path]
    refusal = NotFound("there is no such thing")
    assert b"there is no such thing" in FORMATS[path].error_body(refusal)
    assert b"there is no such thing" in FORMATS[path].error_event(refusal)


def test_what_is_no_route_hears_openais() -> None:
    assert form_of("/v1/anything") is CHAT
