from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest
from fastapi import FastAPI
from prometheus_client import CollectorRegistry, Counter

from agentcore.kit.errors import Unavailable
from agentcore.observability import api
from agentcore.observability.api import Check, Probe, router
from tests.fakes.asgi import client


async def good() -> Check:
    return Check(ok=True)


async def degraded() -> Check:
    return Check(ok=True, degraded=True, detail="from memory")


async def bad() -> Check:
    raise Unavailable("the database is away")


def app(registry: CollectorRegistry, probes: Mapping[str, Probe]) -> FastAPI:
    made = FastAPI()
    made.include_router(router("1.2.3", registry, lambda: probes))
    return made


@pytest.mark.parametrize(
    ("probes", "status", "word"),
    [
        ({"a": good, "b": degraded}, 200, "ready"),
        ({"a": good, "b": bad}, 503, "not ready"),
        ({}, 503, "not ready"),
    ],
)
async def test_readiness_is_what_all_parts_say(
    registry: CollectorRegistry, probes: Mapping[str, Probe], status: int, word: str
) -> None:
    async with client(app(registry, probes)) as http:
        answer = await http.get("/health/ready")
        assert (await http.get("/health/live")).json()["version"] == "1.2.3"
    assert (answer.status_code, answer.json()["status"]) == (status, word)
    if status == 503 and probes:
        assert answer.json()["checks"]["b"]["detail"] == "the database is away"


async def test_a_part_that_does_not_answer_is_not_waited_for(
    registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "PROBE_SECONDS", 0.01)

    async def silent() -> Check:
        await asyncio.Event().wait()
        raise AssertionError

    async with client(app(registry, {"a": good, "b": silent})) as http:
        answer = await http.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json()["checks"]["b"]["detail"] == "no answer within 0.01 s"


@pytest.mark.parametrize(
    ("accept", "ending"),
    [("text/plain", ""), ("application/openmetrics-text; version=1.0.0", "# EOF\n")],
)
async def test_metrics_come_in_the_form_that_is_asked_for(
    registry: CollectorRegistry, accept: str, ending: str
) -> None:
    Counter("things", "Things counted", registry=registry).inc()
    async with client(app(registry, {"a": good})) as http:
        answer = await http.get("/metrics", headers={"accept": accept})
    assert "things_total 1.0" in answer.text
    assert answer.text.endswith(ending)
