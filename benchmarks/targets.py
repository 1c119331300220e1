"""What is measured: AgentCore, the bare minimum, and the peers that are installed."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import httpx2

from benchmarks.processes import TARGET_CORE, chosen_port, running, unpin_servers_in
from devtools.node import find_node
from tests.fakes.ports import free_port

START_SECONDS = 60.0
ROOT = Path(__file__).parent.parent
# Made by `python3 dev.py peers gateway`.
PEERS = ROOT / ".venv-peers-gateway"
LITELLM = PEERS / "bin" / "litellm"
PORTKEY = PEERS / "portkey/node_modules/@portkey-ai/gateway/build/start-server.js"
TENSORZERO = next(PEERS.glob("lib/*/site-packages/tensorzero"), PEERS / "tensorzero")


@dataclass(frozen=True)
class Running:
    """A started target; ``pid`` 0 where nothing stands between load and upstream."""

    port: int
    pid: int
    path: str = "/v1/chat/completions"
    model: str = "mock"
    headers: dict[str, str] = field(default_factory=dict)


Start = Callable[[int], AbstractContextManager[Running]]


@dataclass(frozen=True)
class Target:
    """``needs``: files without which it cannot be started."""

    name: str
    start: Start
    needs: tuple[Path, ...] = ()

    @property
    def installed(self) -> bool:
        return all(path.exists() for path in self.needs)


@contextmanager
def direct(upstream: int) -> Iterator[Running]:
    yield Running(upstream, 0)


@contextmanager
def passthrough(upstream: int) -> Iterator[Running]:
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.passthrough", str(port)]
    command.append(f"http://127.0.0.1:{upstream}")
    with running(command, port, core=TARGET_CORE) as process:
        yield Running(port, process.pid)


@contextmanager
def relay(upstream: int) -> Iterator[Running]:
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.relay", str(port), str(upstream)]
    with running(command, port, core=TARGET_CORE) as process:
        yield Running(port, process.pid)


@contextmanager
def agentcore(upstream: int) -> Iterator[Running]:
    """The service as ``agentcore serve`` starts it: auth, routing, ledger, metrics, logs."""
    url = f"http://127.0.0.1:{upstream}"
    providers: list[Mapping[str, object]] = [
        {
            "name": "cluster",
            "kind": "compatible",
            "base_url": f"{url}/v1",
            "private": True,
            "self_hosted": True,
            # What a server carries is learned otherwise, which is not what is measured.
            "max_concurrency": 4096,
            "models": {"mock": "mock"},
        },
        {
            "name": "api",
            "kind": "compatible",
            "base_url": f"{url}/v1",
            "models": {"mock": "mock"},
            "price_model": "gpt-5-mini",
        },
    ]
    with served(providers, core=TARGET_CORE) as started:
        yield started


@contextmanager
def served(
    providers: Sequence[Mapping[str, object]],
    *,
    core: int | None = None,
    scope: str = "llm",
    settings: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Running]:
    """``agentcore serve`` with these providers, on ``core`` or on any; the key has ``scope``."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="acb-") as home:
        env = {
            "AGENTCORE_HOME": home,
            "AGENTCORE_LLM_GATEWAY__PROVIDERS": json.dumps(providers),
            **settings,
        }
        command = [sys.executable, "-m", "agentcore", "serve", "--port", str(port)]
        # Before it: who has just made the database is larger by what that takes.
        key = access(env, scope)
        with running(command, port, core=core, env=env) as process:
            ready(f"http://127.0.0.1:{port}/health/ready")
            # The database is beside the target, not a part of it: it inherits the target's core.
            unpin_servers_in(Path(home))
            yield Running(port, process.pid, headers={"authorization": f"Bearer {key}"})
        gone(Path(home))


@contextmanager
def litellm(upstream: int) -> Iterator[Running]:
    port = free_port()
    model = {
        "model_name": "mock",
        "litellm_params": {
            "model": "openai/mock",
            "api_base": f"http://127.0.0.1:{upstream}/v1",
            "api_key": "k",
        },
    }
    with tempfile.TemporaryDirectory(prefix="acb-") as folder:
        config = Path(folder, "litellm.yaml")
        config.write_text(json.dumps({"model_list": [model]}))  # JSON is YAML
        command = [str(LITELLM), "--config", str(config), "--port", str(port), "--num_workers", "1"]
        key = f"sk-{secrets.token_hex(32)}"  # without one it does not start
        env = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}
        env["LITELLM_MASTER_KEY"] = key
        with running(command, port, core=TARGET_CORE, env=env) as process:
            yield Running(port, process.pid, headers={"authorization": f"Bearer {key}"})


@contextmanager
def portkey(upstream: int) -> Iterator[Running]:
    port = free_port()
    node = find_node()
    command = [node.program if node else "node", str(PORTKEY), f"--port={port}", "--headless"]
    headers = {
        "x-portkey-provider": "openai",
        "x-portkey-custom-host": f"http://127.0.0.1:{upstream}/v1",
        "authorization": "Bearer k",
    }
    with running(command, port, core=TARGET_CORE) as process:
        yield Running(port, process.pid, headers=headers)


@contextmanager
def tensorzero(upstream: int) -> Iterator[Running]:
    """In a process of ours: its package is the whole gateway as a library."""
    settings = f"""
[gateway]
observability.enabled = false

[models.mock]
routing = ["upstream"]

[models.mock.providers.upstream]
type = "openai"
model_name = "mock"
api_base = "http://127.0.0.1:{upstream}/v1/"
api_key_location = "none"
"""
    with tempfile.TemporaryDirectory(prefix="acb-") as folder:
        config = Path(folder, "tensorzero.toml")
        config.write_text(settings)
        told = Path(folder, "port")
        script = ROOT / "benchmarks" / "peers" / "tensorzero_gateway.py"
        command = [str(PEERS / "bin" / "python"), str(script), str(config), str(told)]
        with running(command, told, core=TARGET_CORE) as process:
            path, model = "/openai/v1/chat/completions", "tensorzero::model_name::mock"
            yield Running(chosen_port(told), process.pid, path=path, model=model)


TARGETS = (
    Target("direct", direct),
    Target("relay", relay),
    Target("starlette+aiohttp", passthrough),
    Target("agentcore", agentcore),
    Target("litellm", litellm, needs=(LITELLM,)),
    Target("portkey", portkey, needs=(PORTKEY,)),
    Target("tensorzero", tensorzero, needs=(TENSORZERO,)),
)


def access(env: Mapping[str, str], scope: str) -> str:
    """A key for the service of that environment."""
    command = [sys.executable, "-m", "agentcore", "keys", "create"]
    made = subprocess.run(
        [*command, "--subject", "bench", "--scope", scope],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=True,
    )
    return made.stdout.strip()


def ready(url: str) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        try:
            if httpx2.get(url, timeout=2).status_code == 200:
                return
        except httpx2.TransportError:
            pass
        time.sleep(0.05)
    raise RuntimeError(f"{url} did not become ready")


def gone(home: Path) -> None:
    """The embedded servers stop a moment after their last client; their files go with ``home``."""
    end = time.monotonic() + 10
    while time.monotonic() < end and list(home.glob("**/postmaster.pid")):
        time.sleep(0.1)
