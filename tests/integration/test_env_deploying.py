"""``agentcore env deploy``, ``undeploy`` and ``status``: as typed, against every runtime."""

from __future__ import annotations

import json
import re
import shlex
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import yaml
from anyio import to_thread

from agentcore.cli.main import run
from agentcore.training.openenv.client import Action, OpenEnvClient
from agentcore.training.openenv.environments.examples import guess_number
from tests.fakes.deployment import Deployment, processes_of, short_home, wait_until
from tests.fakes.docker_engine import docker_engine
from tests.fakes.kubernetes_api import kubeconfig, kubernetes_api
from tests.fakes.kubernetes_controllers import controlled

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "deploy-an-environment.md"


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with short_home() as folder:
        monkeypatch.setenv("AGENTCORE_HOME", str(folder))
        yield folder


@pytest.fixture
async def runtimes(home: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """An engine and a cluster where the settings say that they are."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ac-")))
        await stack.enter_async_context(docker_engine(folder / "docker.sock"))
        api = await stack.enter_async_context(kubernetes_api())
        await stack.enter_async_context(controlled(api))
        (folder / "kubeconfig").write_text(json.dumps(kubeconfig(api.url)))
        monkeypatch.setenv("DOCKER_HOST", f"unix://{folder}/docker.sock")
        monkeypatch.setenv("AGENTCORE_TRAINING__DEPLOYMENT__KUBECONFIG", str(folder / "kubeconfig"))
        yield


def commands() -> list[str]:
    blocks = re.findall(r"```bash\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.startswith("agentcore env ")]


async def test_the_commands_of_the_page(runtimes: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert len(commands()) >= 12
    for line in commands():
        code = await to_thread.run_sync(run, shlex.split(line)[1:])
        shown = capsys.readouterr()
        assert (code, shown.err) == (0, ""), f"{line}: {shown.err}"
        if "--dry-run" in line:
            kinds = [each["kind"] for each in yaml.safe_load_all(shown.out)]
            assert kinds == ["NetworkPolicy", "PodDisruptionBudget", "Service", "Deployment"]
        elif " deploy " in line:
            assert " serves at http://" in shown.out


async def test_an_environment_of_ones_own_is_deployed_and_played(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "mine.py").write_text(Path(guess_number.__file__).read_text())
    monkeypatch.chdir(home)
    assert await to_thread.run_sync(run, ["env", "deploy", ".:GuessNumber", "--replicas", "2"]) == 0
    [url] = re.findall(r"http://\S+", capsys.readouterr().out)
    scopes = ["--scope", "env:act", "--scope", "env:control"]
    assert run(["token", "--subject", "me", *scopes]) == 0
    token = capsys.readouterr().out.strip()
    async with OpenEnvClient(url, token=token) as first, OpenEnvClient(url, token=token) as second:
        await first.reset(seed=1)
        await second.reset(seed=1)
        guess = Action(type="guess", parameters={"number": 50})
        assert (await first.step(guess)).reward == (await second.step(guess)).reward
    assert len(processes_of(home)) >= 1
    assert await to_thread.run_sync(run, ["env", "undeploy", "guess_number"]) == 0
    wait_until(lambda: not processes_of(home), "its keeper is gone")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["deploy", "nobody"], "there is no environment 'nobody'"),
        (["deploy", "guess_number", "--runtime", "docker"], "no Docker engine answers at"),
        (["deploy", "guess_number", "--runtime", "kubernetes"], "no usable cluster credentials"),
        (["status", "guess_number"], "'guess_number' is not deployed here"),
        (["undeploy", "../etc"], "cannot be the name of a deployment"),
        (["deploy", "Up", "--image", "a/b:1", "--runtime", "docker"], "'Up' cannot be the name"),
        (["deploy", "x", "--image", "a/b:1"], "x is not bundled"),
        (["deploy", "guess_number", "--cpu", "much", "--dry-run"], "'much' is no amount"),
        (["deploy", "guess_number", "--url", "http://127.0.0.1:1"], "no AgentCore answers at"),
        (["deploy", "x", "--url", "http://127.0.0.1:1", "--image", "y"], "--image does not go"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_code_1(
    home: Path,
    arguments: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{home}/none.sock")
    monkeypatch.setenv("AGENTCORE_TRAINING__DEPLOYMENT__KUBECONFIG", f"{home}/none")
    assert run(["env", *arguments]) == 1
    told = capsys.readouterr().err.splitlines()
    assert told[0].startswith("agentcore: ")
    assert said in told[0]
    assert len(told) <= 2


@pytest.mark.parametrize(
    "arguments",
    [["deploy"], ["deploy", "x", "--replicas", "0"], ["deploy", "x", "--runtime", "podman"]],
)
def test_wrong_usage_is_code_2(home: Path, arguments: list[str]) -> None:
    assert run(["env", *arguments]) == 2


async def test_an_image_that_never_starts_is_the_clusters_reason(
    runtimes: None, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["env", "deploy", "broken", "--image", "registry.local/exit:1", "--runtime"]
    for runtime in ("docker", "kubernetes"):
        assert await to_thread.run_sync(run, [*arguments, runtime]) == 1
        assert "no licence file found" in capsys.readouterr().err
    assert await to_thread.run_sync(run, ["env", "status", "broken", "--runtime", "docker"]) == 1
    assert "status: failed" in capsys.readouterr().out


def test_a_service_deploys_what_it_knows(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AGENTCORE_HOME", str(deployment.home))

    def env(*arguments: str) -> str:
        code, told = run(["env", *arguments, "--url", deployment.url]), capsys.readouterr()
        assert code == 0, told.err
        return told.out

    try:
        assert "guess_number serves at http://127.0.0.1:" in env("deploy", "guess-number")
        assert "guess_number" in env("status")
        assert "status: running" in env("status", "guess-number")
    finally:
        assert "guess_number is gone" in env("undeploy", "guess_number")
    assert "guess_number" not in env("status")


def test_where_nothing_is_deployed_it_says_so(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["env", "status"]) == 0
    assert capsys.readouterr().out == "nothing is deployed\n"
