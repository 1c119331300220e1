"""Requests that the service's own OpenAPI allows, made up by a machine, over real HTTP."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.fakes.deployment import Deployment

PREFIXES = ("/a2a", "/internal/agents", "/internal/tasks", "/internal/interactions")
OPERATIONS = 15
# Of one operation; all of them take about a tenth of a second.
LOOKING = settings(
    max_examples=8,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def operations(deployment: Deployment) -> list[Any]:
    import schemathesis

    document = httpx2.get(f"{deployment.url}/openapi.json", timeout=60).json()
    schema = schemathesis.openapi.from_dict(document)
    results: list[Any] = list(schema.get_all_operations())
    return [found for each in results if (found := each.ok()).path.startswith(PREFIXES)]


def send(url: str, case: Any, headers: dict[str, str]) -> None:
    from schemathesis.checks import CHECKS

    if isinstance(case.body, dict):
        # The registry would follow it: where that may lead has tests of its own.
        case.body.pop("card_url", None)
    wanted = [
        CHECKS.get_one(name) for name in ("not_a_server_error", "response_schema_conformance")
    ]
    case.call_and_validate(base_url=url, headers=headers, timeout=60, checks=wanted)


def test_what_the_document_allows_never_breaks_the_service(
    deployment: Deployment, operations: list[Any]
) -> None:
    assert len(operations) >= OPERATIONS
    # Whose agents and tasks are nobody else's concern.
    token = deployment.token("a2a", tenant="made-up", subject="machine")
    headers = {"authorization": f"Bearer {token}", "a2a-version": "1.0"}
    for operation in operations:

        @LOOKING
        @given(case=operation.as_strategy())
        def tried(case: Any) -> None:
            send(deployment.url, case, headers)

        tried()
