from __future__ import annotations

from typing import Any, cast

from agentcore.llm_gateway.ingress import EXPLAIN, MODEL, MODELS, ROUTES
from agentcore.llm_gateway.openapi import openapi_paths


def test_every_route_is_written_down() -> None:
    assert set(openapi_paths()) == {*ROUTES, EXPLAIN.path, MODELS.path, MODEL.path}


def test_every_answer_has_an_example() -> None:
    for operations in cast("dict[str, dict[str, Any]]", openapi_paths()).values():
        for operation in operations.values():
            for answer in operation["responses"].values():
                assert all("example" in media for media in answer["content"].values())
