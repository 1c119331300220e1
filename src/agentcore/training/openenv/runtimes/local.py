"""Deployments as processes of this machine, recorded in the home: the embedded default.

Each deployment has a keeper, a process that outlives who deployed it (see ``keeper``): it ends with
``undeploy``, with its folder, and with the machine, not with this process. Replicas are told to
stop when their keeper is killed; of what does not, the next deployment under that name takes care.
Resources are recorded and not enforced. A session is a connection, so with several replicas those
opened by POST /mcp cannot be attached to later.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from agentcore.kit.clock import Clock
from agentcore.kit.embedded.layout import Home, open_home
from agentcore.kit.embedded.locks import try_lock
from agentcore.training.openenv.errors import (
    DeploymentFailed,
    DeploymentNotFound,
    RuntimeUnavailable,
)
from agentcore.training.openenv.runtimes import identity
from agentcore.training.openenv.runtimes.naming import check_name, check_replicas
from agentcore.training.openenv.runtimes.records import Record, ReplicaState, State, Wanted
from agentcore.training.openenv.specs import (
    DeployedEnvironment,
    EnvironmentSpec,
    Progress,
    Resources,
    ResourceUsage,
    Status,
)

KEEPER = "agentcore.training.openenv.runtimes.keeper"
FOLDER = "deployments"
POLL_SECONDS = 0.03
# A program that ended so often without ever serving will not serve.
HOPELESS_EXITS = 3
# A keeper gives its replicas ten seconds after SIGTERM.
STOP_SECONDS = 20.0
SAMPLE_SECONDS = 0.25
GONE = "nothing keeps it running any more (a restart of the machine, or a killed keeper)"


@dataclass(frozen=True, slots=True)
class Program:
    """``command`` has ``{port}`` where its port goes; its environment is only what is given."""

    command: tuple[str, ...]
    environment: Mapping[str, str]
    folder: str = "/"


class LocalRuntime:
    """``program`` says what serves a spec; InvalidDeployment for what must not run here."""

    def __init__(
        self,
        home: Path,
        program: Callable[[EnvironmentSpec], Program],
        *,
        wait_seconds: float,
        drain_seconds: float,
        clock: Clock,
        progress: Progress,
    ) -> None:
        self._path = home
        self._program = program
        self._wait = wait_seconds
        self._drain = drain_seconds
        self._clock = clock
        self._progress = progress

    async def deploy(
        self, spec: EnvironmentSpec, *, replicas: int, resources: Resources
    ) -> DeployedEnvironment:
        check_name(spec.name)
        check_replicas(replicas)
        program = self._program(spec)
        end = self._clock.monotonic() + self._wait
        async with self._turn(spec.name, end) as home:
            record = self._record(spec.name)
            before = record.wanted()
            wanted = Wanted(
                generation=record.generation(),
                command=program.command,
                environment=program.environment,
                folder=program.folder,
                replicas=replicas,
                version=spec.version,
                drain_seconds=self._drain,
            )
            if wanted != before or not self._is_kept(home, spec.name) or _failing(record):
                wanted = replace(wanted, generation=wanted.generation + 1)
                record.want(wanted)
                await self._nudge(home, spec.name, end)
        return await self._reached(home, spec.name, wanted, end)

    async def undeploy(self, name: str) -> None:
        check_name(name)
        record = self._record(name)
        if not record.exists():
            raise _absent(name)
        async with self._turn(name, self._clock.monotonic() + self._wait) as home:
            if not record.exists():
                raise _absent(name)
            await self._stop_keeper(home, name)
            shutil.rmtree(record.folder, ignore_errors=True)

    async def list_deployed(self) -> list[DeployedEnvironment]:
        folder = self._path / FOLDER
        names = sorted(each.name for each in folder.iterdir()) if folder.is_dir() else []
        home = Home(Path(os.path.realpath(self._path)))
        found = (self._described(home, name, self._record(name).state()) for name in names)
        return [each for each in found if each is not None]

    async def usage(self, name: str) -> ResourceUsage | None:
        check_name(name)
        record = self._record(name)
        if record.wanted() is None:
            raise _absent(name)
        state = record.state()
        pids = [each.pid for each in _living(state.replicas)] if state is not None else []
        began = self._clock.monotonic()
        first = {pid: identity.reading(pid) for pid in pids}
        await self._clock.sleep(SAMPLE_SECONDS)
        seconds = self._clock.monotonic() - began
        pairs = [(first[pid], identity.reading(pid)) for pid in pids]
        known = [(old, new) for old, new in pairs if old is not None and new is not None]
        return ResourceUsage(
            cpu_usage=round(sum(new.seconds - old.seconds for old, new in known) / seconds, 3),
            memory_usage=sum(new.memory for _, new in known),
        )

    def log(self, name: str) -> Path:
        """Where a deployment's replicas write, by slot: this path with ``-1.log`` behind it."""
        return self._path / "logs" / f"env-{name}"

    def _record(self, name: str) -> Record:
        return Record(self._path / FOLDER / name)

    def _described(self, home: Home, name: str, state: State | None) -> DeployedEnvironment | None:
        wanted = self._record(name).wanted()
        if wanted is None:
            return None
        kept = self._is_kept(home, name)
        replicas = state.replicas if state is not None and kept else ()
        ready = sum(each.ready for each in replicas if each.role != "retiring")
        status, detail = _status(replicas, ready, wanted.replicas) if kept else ("failed", GONE)
        return DeployedEnvironment(
            name=name,
            url=f"http://127.0.0.1:{state.port}" if state is not None else "",
            replicas=wanted.replicas,
            status=status,
            ready=min(ready, wanted.replicas),
            version=wanted.version,
            runtime="local",
            detail=detail,
        )

    @asynccontextmanager
    async def _turn(self, name: str, end: float) -> AsyncIterator[Home]:
        """One change at a time to one deployment, from all processes of the home."""
        try:
            home = open_home(self._path)
            descriptor = await self._locked(home.lock(f"deploy-{name}"), name, end)
            try:
                yield home
            finally:
                os.close(descriptor)
        except (OSError, subprocess.CalledProcessError) as exc:
            # A full disk, too many open files, a folder that is not ours.
            raise RuntimeUnavailable(
                f"{name} cannot be changed: {exc}", hint=f"look at {self._path} and its disk"
            ) from exc

    async def _locked(self, path: Path, name: str, end: float) -> int:
        while (descriptor := try_lock(path, "exclusive")) is None:
            await self._pause(name, end, "another process is changing it")
        return descriptor

    async def _pause(self, name: str, end: float, why: str) -> None:
        if self._clock.monotonic() >= end:
            raise DeploymentFailed(
                f"{name} does not serve within {self._wait:g} s: {why}",
                hint=f"see {self.log(name)}-*.log",
            )
        await self._clock.sleep(POLL_SECONDS)

    def _is_kept(self, home: Home, name: str) -> bool:
        path = _keeper_file(home, name)
        if not path.exists():
            return False
        if (descriptor := try_lock(path, "shared")) is None:
            return True
        os.close(descriptor)
        return False

    def _signal(self, home: Home, name: str, number: signal.Signals) -> bool:
        """Signal the keeper; False where there is none."""
        if not self._is_kept(home, name):
            return False
        pid, _, born = _keeper_file(home, name).read_text().strip().partition(" ")
        return identity.send(int(pid or 0), born, number)

    async def _nudge(self, home: Home, name: str, end: float) -> None:
        """Let the keeper read what is wanted; start one where there is none."""
        if self._signal(home, name, signal.SIGHUP):
            return
        await self._clear(name)
        before = self._record(name).state()
        path = _keeper_file(home, name)
        # Whoever only looks holds the lock for a moment.
        lock = await self._locked(path, name, end)
        os.ftruncate(lock, 0)
        port = before.port if before is not None else 0
        await asyncio.shield(asyncio.to_thread(self._start_keeper, name, lock, port))
        while not path.read_bytes():
            if not self._is_kept(home, name):
                raise DeploymentFailed(
                    f"{name}: its keeper ended at once", hint=f"see {self.log(name)}-keeper.log"
                )
            await self._pause(name, end, "its keeper does not start")

    def _start_keeper(self, name: str, lock: int, port: int) -> None:
        """Closes ``lock`` itself: whoever gives up waiting for this thread does not end it."""
        log = self.log(name)
        with os.fdopen(lock, "wb"), Path(f"{log}-keeper.log").open("ab") as output:
            subprocess.run(
                [
                    *(sys.executable, "-m", KEEPER),
                    *(str(self._record(name).folder), str(log), str(lock), str(port)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=own_environment(),
                pass_fds=(lock,),
                check=True,
            )

    async def _stop_keeper(self, home: Home, name: str) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            end = self._clock.monotonic() + STOP_SECONDS
            told = False
            while self._is_kept(home, name) and self._clock.monotonic() < end:
                # One that is only starting has not written down who it is.
                told = told or self._signal(home, name, number)
                await self._clock.sleep(POLL_SECONDS)
        await self._clear(name)

    async def _clear(self, name: str) -> None:
        """End what a killed keeper left running; a pid that means another by now is left alone."""
        state = self._record(name).state()
        left = _living(state.replicas) if state is not None else []
        for replica in left:
            identity.send(replica.pid, replica.born, signal.SIGKILL, group=True)
        while any(identity.is_running(each.pid, each.born) for each in left):
            await self._clock.sleep(POLL_SECONDS)

    async def _reached(
        self, home: Home, name: str, wanted: Wanted, end: float
    ) -> DeployedEnvironment:
        while True:
            state = self._record(name).state()
            found = self._described(home, name, state)
            if found is None or found.detail == GONE:
                raise DeploymentFailed(f"{name} was undeployed, or killed, before it served")
            self._progress(f"{found.ready} of {found.replicas} replicas are ready")
            if state is not None and state.generation >= wanted.generation:
                fresh = [each for each in state.replicas if each.role == "fresh"]
                others = [each for each in state.replicas if each.role == "stale"]
                if sum(each.ready for each in fresh) >= found.replicas and not others:
                    return found
                self._check_hope(name, fresh)
            await self._pause(name, end, found.detail or "its replicas do not answer /health")

    def _check_hope(self, name: str, fresh: list[ReplicaState]) -> None:
        for replica in fresh:
            if replica.exits >= HOPELESS_EXITS and not replica.ready:
                raise DeploymentFailed(
                    f"{name} does not start: replica {replica.slot} {replica.detail}",
                    hint=f"see {self.log(name)}-{replica.slot}.log",
                )


def _keeper_file(home: Home, name: str) -> Path:
    return home.lock(f"keep-{name}")


def own_environment() -> dict[str, str]:
    """For a process of this installation, without the settings and secrets of this one."""
    return {
        "PATH": os.defpath,
        "LC_ALL": "C.UTF-8",
        "HOME": str(Path.home()),
        "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry),
    }


def _living(replicas: tuple[ReplicaState, ...]) -> list[ReplicaState]:
    return [each for each in replicas if identity.is_running(each.pid, each.born)]


def _failing(record: Record) -> bool:
    state = record.state()
    return state is not None and any(each.exits and not each.ready for each in state.replicas)


def _status(replicas: tuple[ReplicaState, ...], ready: int, wanted: int) -> tuple[Status, str]:
    faults = [
        f"replica {each.slot} {each.detail}"
        for each in replicas
        if each.detail and not each.ready and each.role != "retiring"
    ]
    detail = "; ".join(faults)
    if ready >= wanted:
        return "running", detail
    if ready:
        return "degraded", detail
    return ("failed" if faults else "pending"), detail


def _absent(name: str) -> DeploymentNotFound:
    return DeploymentNotFound(
        f"{name!r} is not deployed here", hint="`agentcore env status` lists what is"
    )
