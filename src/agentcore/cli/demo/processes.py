"""The demo's processes: two simulated model clusters and the service itself."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from agentcore.kit.errors import StartupError

START_SECONDS = 60.0
STOP_SECONDS = 15.0

CONFIGURATION = """# Written by agentcore demo.
home = {home}

[server]
port = {port}
log_level = "warning"

[ace]
ace_llm_model = "playbook-7b"
# A canary takes hundreds of tasks, and the demo plays a hundred.
ace_gate = "curator"

[agents]
model = "playbook-7b"

# Own hardware: here a simulated Parallax cluster.
[[llm_gateway.providers]]
name = "cluster"
kind = "parallax"
base_url = "{cluster}"
private = true
models = {{ "playbook-7b" = "simulated/playbook-7b" }}

# Overflow: here a second simulation, priced as gpt-5-mini is on the API.
[[llm_gateway.providers]]
name = "api"
kind = "compatible"
base_url = "{api}/v1"
price_model = "gpt-5-mini"
models = {{ "playbook-7b" = "simulated/playbook-7b" }}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """The started service."""

    url: str
    home: Path
    config: Path
    processes: tuple[subprocess.Popen[bytes], ...]


@contextmanager
def running(home: Path, *, port: int, capacity: int) -> Iterator[Running]:
    """Start everything in ``home``; leaving the context stops it."""
    ports = {name: free_port() for name in ("cluster", "api")}
    chosen = port or free_port()
    config = home / "agentcore.toml"
    config.write_text(
        CONFIGURATION.format(
            home=json.dumps(str(home)),
            port=chosen,
            cluster=f"http://127.0.0.1:{ports['cluster']}",
            api=f"http://127.0.0.1:{ports['api']}",
        )
    )
    with ExitStack() as stack:
        sizes = {"cluster": capacity, "api": 256}
        simulators = [
            stack.enter_context(
                _process(
                    [
                        "simulate",
                        "cluster",
                        "--port",
                        str(ports[name]),
                        "--capacity",
                        str(sizes[name]),
                    ],
                    home / f"{name}.log",
                )
            )
            for name in ports
        ]
        service = stack.enter_context(
            _process(["serve", "--config", str(config)], home / "service.log")
        )
        yield Running(
            url=f"http://127.0.0.1:{chosen}",
            home=home,
            config=config,
            processes=(*simulators, service),
        )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def died(running: Running) -> StartupError | None:
    """Which of the processes has ended, and what it said of it."""
    names = ("cluster", "api", "service")
    for name, process in zip(names, running.processes, strict=True):
        if process.poll() is not None:
            log = running.home / f"{name}.log"
            return StartupError(
                f"the demo's {name} ended with code {process.returncode}: {_last_words(log)}",
                hint=f"its log is {log}",
            )
    return None


def _last_words(log: Path) -> str:
    """The refusal in the form of the command line, without its hint; else the last line."""
    lines = log.read_text(errors="replace").strip().splitlines()
    refusals = [line for line in lines if line.startswith("agentcore: ")]
    return (refusals or lines or ["it said nothing"])[-1].removeprefix("agentcore: ")


@contextmanager
def _process(arguments: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "agentcore", *arguments],
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
