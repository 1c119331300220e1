from __future__ import annotations

import pytest

from agentcore.cli.main import run
from tests.fakes.json_server import JsonServer

REPORT = {
    "provider": "cluster",
    "health": "ready",
    "limit": 8,
    "in_flight": 3,
    "queued": 0,
    "start_tokens": None,
    "source": "reported",
    "models": ["Qwen/Qwen3-8B"],
}
SWITCHED = {"cluster": "cluster", "model": "new", "before": "old", "seconds": 48.2}
MODEL_OF = "/internal/capacity/a%20cluster/model"


ANSWERS = {"/internal/capacity": [REPORT], MODEL_OF: SWITCHED}


def test_capacity_is_shown(service: JsonServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["capacity", "show", "--url", service.url, "--token", "t"]) == 0
    shown = capsys.readouterr().out
    assert "cluster" in shown
    assert "reported" in shown


def test_a_cluster_is_given_another_model(
    service: JsonServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        run(["capacity", "preload", "a cluster", "new", "--url", service.url, "--token", "t"]) == 0
    )
    assert "cluster serves new (before: old, 48.2 s without service)" in capsys.readouterr().out
    assert service.posted == [(MODEL_OF, {"model": "new"})]
