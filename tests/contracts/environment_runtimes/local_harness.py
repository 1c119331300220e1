from __future__ import annotations

import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from agentcore.kit.clock import SystemClock
from agentcore.kit.embedded.locks import try_lock
from agentcore.training.openenv.runtimes.local import LocalRuntime, Program, own_environment
from agentcore.training.openenv.runtimes.records import Record, State
from agentcore.training.openenv.specs import EnvironmentSpec
from tests.contracts.environment_runtimes.harness import WAIT_SECONDS
from tests.fakes import environment_program
from tests.fakes.deployment import processes_of, short_home, wait_until


class LocalHarness:
    reachable = True
    most_replicas = 100

    def __init__(self, home: Path) -> None:
        self.home = home
        self.interpreter = sys.executable
        self.told: list[str] = []

    def runtime(
        self, *, wait_seconds: float = WAIT_SECONDS, drain_seconds: float = 60.0
    ) -> LocalRuntime:
        return LocalRuntime(
            self.home,
            self._program,
            wait_seconds=wait_seconds,
            drain_seconds=drain_seconds,
            clock=SystemClock(),
            progress=self.told.append,
        )

    def spec(self, name: str, behaviour: str = "serve", version: str = "1.0.0") -> EnvironmentSpec:
        return EnvironmentSpec(name=name, version=version, tags=(behaviour,))

    async def replicas(self, name: str) -> Sequence[str]:
        state = self.state(name)
        return [f"{each.pid}" for each in state.replicas if each.ready and each.role != "retiring"]

    async def kill(self, replica: str) -> None:
        os.kill(int(replica), signal.SIGKILL)

    async def leftovers(self) -> Sequence[str]:
        folder = self.home / "deployments"
        return [*map(str, processes_of(self.home)), *(each.name for each in folder.glob("*"))]

    def keeper(self, name: str) -> int:
        return int((self.home / "locks" / f"keep-{name}").read_text().split()[0])

    def kill_keeper(self, name: str) -> None:
        pid = self.keeper(name)
        os.kill(pid, signal.SIGKILL)
        # Its threads may hold the lock for a moment longer.
        wait_until(lambda: self._free(f"keep-{name}"), "the keeper is gone")

    def _free(self, lock: str) -> bool:
        descriptor = try_lock(self.home / "locks" / lock, "shared")
        if descriptor is not None:
            os.close(descriptor)
        return descriptor is not None

    def state(self, name: str) -> State:
        state = Record(self.home / "deployments" / name).state()
        assert state is not None
        return state

    def _program(self, spec: EnvironmentSpec) -> Program:
        script = str(environment_program.__file__)
        # The home's path as a last argument lets tests find the process.
        command = (self.interpreter, "-I", "-S", script, spec.tags[0], "{port}", str(self.home))
        return Program(command, own_environment())


@asynccontextmanager
async def local_harness() -> AsyncIterator[LocalHarness]:
    with short_home() as home:
        harness = LocalHarness(home)
        yield harness
        for deployed in await harness.runtime().list_deployed():
            await harness.runtime().undeploy(deployed.name)
        wait_until(lambda: not processes_of(home), "nothing of it is left")
