from __future__ import annotations

from typing import Any

import pytest

from agentcore.llm_gateway.features import features_of
from agentcore.llm_gateway.models import ChatCall

IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}


@pytest.mark.parametrize(
    ("body", "features"),
    [
        ({}, set()),
        ({"tools": [], "n": 1, "logprobs": False, "logit_bias": {}}, set()),
        ({"response_format": {"type": "text"}, "messages": "?"}, set()),
        ({"tools": [{}], "tool_choice": "auto"}, {"tools"}),
        ({"tools": [{}], "tool_choice": "required"}, {"tools", "forced_tools"}),
        ({"tools": [{}], "tool_choice": {"type": "auto"}}, {"tools"}),
        ({"tools": [{}], "tool_choice": {"type": "any"}}, {"tools", "forced_tools"}),
        ({"tools": [{}], "tool_choice": {"type": "function"}}, {"tools", "forced_tools"}),
        ({"response_format": {"type": "json_schema"}}, {"json"}),
        ({"output_config": {"effort": "low"}}, set()),
        ({"output_config": {"format": {"type": "json_schema"}}}, {"json"}),
        ({"text": {"format": {"type": "json_object"}}}, {"json"}),
        ({"logprobs": True}, {"logprobs"}),
        ({"top_logprobs": 3}, {"logprobs"}),
        ({"logit_bias": {"1": 2}}, {"logit_bias"}),
        ({"n": 2}, {"n"}),
        ({"n": "2"}, {"n"}),
        ({"messages": [{"content": "a"}, {"content": [{"type": "text"}, IMAGE]}]}, {"images"}),
        ({"input": [{"content": [{"type": "input_image"}]}]}, {"images"}),
        ({"messages": [1, {"content": [None, "x", {"type": {}}]}]}, set()),
        ({"tools": [{}], "tool_choice": {"type": []}}, {"tools", "forced_tools"}),
    ],
)
def test_what_a_call_asks_for(body: Any, features: set[str]) -> None:
    assert features_of(ChatCall("m", body)) == features
