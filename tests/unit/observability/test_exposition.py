from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, Counter

from agentcore.observability.exposition import exposition


@pytest.mark.parametrize(
    ("accept", "form", "last"),
    [
        ("", "text/plain", b"\n"),
        ("text/html", "text/plain", b"\n"),
        ("application/openmetrics-text; version=1.0.0", "application/openmetrics-text", b"# EOF\n"),
    ],
)
def test_the_form_is_the_one_that_is_asked_for(accept: str, form: str, last: bytes) -> None:
    registry = CollectorRegistry()
    Counter("seen", "What was seen", registry=registry).inc()
    response = exposition(registry, accept)
    assert response.headers["content-type"].startswith(form)
    assert b"seen_total 1.0" in bytes(response.body)
    assert bytes(response.body).endswith(last)
