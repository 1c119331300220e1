"""``agentcore env serve`` as its operator runs it: a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.fakes.deployment import clean_environment


@dataclass
class EnvServer:
    url: str
    process: subprocess.Popen[str]

    def rest_of_log(self) -> str:
        """After the process has ended."""
        return self.process.communicate(timeout=100)[1]


@contextmanager
def env_server(home: Path, *arguments: str, **env: str) -> Iterator[EnvServer]:
    """A server on a free port; killed at the end if it still runs."""
    command = [sys.executable, "-m", "agentcore", "env", "serve", *arguments, "--port", "0"]
    process = subprocess.Popen(
        command,
        env=clean_environment(AGENTCORE_HOME=str(home), **env),
        cwd=home,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    with process:
        try:
            yield EnvServer(_address(process), process)
        finally:
            process.kill()


def _address(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    told = []
    for line in process.stderr:
        told.append(line)
        if line.startswith("{") and "url" in (entry := json.loads(line)):
            return str(entry["url"])
    raise AssertionError(f"the server ended before it served: {''.join(told)}")
