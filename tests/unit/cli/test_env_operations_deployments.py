from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from agentcore.cli.client import ServiceClient
from agentcore.cli.env import operations
from agentcore.cli.env.deployments import ServiceDeployments
from agentcore.cli.main import run
from agentcore.kit.errors import InvalidInput
from agentcore.kit.jsonvalue import JsonObject
from agentcore.training.openenv.specs import Resources

DEPLOYED: JsonObject = {"name": "echo", "url": "http://x", "replicas": 2, "status": "running"}


class Operator:
    """Operations pass through the given states and then end."""

    def __init__(self, *states: str, error: JsonObject | None = None) -> None:
        self._states: Iterator[str] = iter(states)
        self._error = error
        self.requests: list[str] = []
        self.measured = True

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        path = str(request.url).partition(operations.ROOT)[2]
        self.requests.append(f"{request.method} {path}")
        if path == "/deployed":
            return httpx2.Response(200, json={"deployed": [DEPLOYED]})
        if path.endswith("/metrics"):
            usage = {"cpu_usage": 0.5, "memory_usage": 7} if self.measured else {}
            return httpx2.Response(200, json={"name": "echo", **usage})
        body: JsonObject = {"id": "7", "state": next(self._states)}
        if body["state"] == "failed":
            body["error"] = self._error
        if body["state"] == "succeeded":
            body["result"] = DEPLOYED
        return httpx2.Response(200, json=body)


def deployments(service: Operator, told: list[str]) -> ServiceDeployments:
    http = httpx2.Client(transport=httpx2.MockTransport(service.answer))
    return ServiceDeployments(ServiceClient(http, "http://service"), told.append)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "POLL_SECONDS", 0.0)


def test_an_operation_is_followed_to_its_end() -> None:
    service, told = Operator("pending", "running", "succeeded"), list[str]()
    found = deployments(service, told).deploy(
        "echo", replicas=2, resources=Resources(), runtime="docker"
    )
    assert (found.name, found.replicas) == ("echo", 2)
    assert told == ["pending", "running"]
    assert service.requests == ["POST /echo/deploy", "GET /operations/7", "GET /operations/7"]


def test_a_failure_is_told_in_the_words_of_the_service() -> None:
    problem: JsonObject = {"detail": "echo does not start: no licence", "hint": "see the log"}
    with pytest.raises(InvalidInput, match="echo does not start: no licence") as failed:
        deployments(Operator("failed", error=problem), []).undeploy("echo")
    assert failed.value.hint == "see the log"


def test_what_a_lost_runtime_has_is_forgotten_by_the_service_alone(
    capsys: pytest.CaptureFixture[str],
) -> None:
    service = Operator("succeeded")
    deployments(service, []).undeploy("echo", forget=True)
    assert service.requests == ["DELETE /echo/deploy?forget=true"]
    assert run(["env", "undeploy", "guess_number", "--forget"]) == 1
    assert "--forget goes with --url" in capsys.readouterr().err


def test_one_is_shown_with_what_it_uses_where_that_is_known() -> None:
    service = Operator()
    [deployed] = deployments(service, []).listed()
    assert deployed.name == "echo"
    usage = deployments(service, []).usage("echo")
    assert usage is not None
    assert (usage.cpu_usage, usage.memory_usage) == (0.5, 7)
    service.measured = False
    assert deployments(service, []).usage("echo") is None


def test_what_is_gone_before_it_is_listed_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AGENTCORE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(ServiceDeployments, "usage", lambda *_: None)
    monkeypatch.setattr(ServiceDeployments, "listed", lambda _: [])
    assert run(["env", "status", "echo", "--url", "http://x", "--token", "t"]) != 0
    assert "'echo' has just been undeployed" in capsys.readouterr().err


def test_an_interrupted_wait_says_what_goes_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setenv("AGENTCORE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(ServiceDeployments, "deploy", interrupted)
    arguments = ["env", "deploy", "guess_number", "--url", "http://x"]
    assert run([*arguments, "--token", "t"]) == 130
    ending = "`agentcore env undeploy guess_number --url http://x` ends it"
    assert capsys.readouterr().err.splitlines() == [f"still starting; {ending}"]
