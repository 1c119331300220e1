"""The keeper of one local deployment: a process of its own that outlives who deployed it.

It holds the lock on the deployment's keeper file, which it inherits from the deployer: a held lock
means that this deployment is kept, whatever pid files say; who keeps it stands in the file. It
keeps as many replicas as are wanted, replaces them one by one when the program changes, and
forwards connections to them. SIGHUP: read what is wanted again. SIGTERM: stop the replicas and end.
It ends as well when its folder or its keeper file is deleted: nobody could find it any more.
Only the standard library, and little of it: there is one of these per deployment.

Arguments: FOLDER LOG_PREFIX LOCK_FD PORT
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Literal

from agentcore.training.openenv.runtimes import identity
from agentcore.training.openenv.runtimes.forwarder import Forwarder, Target
from agentcore.training.openenv.runtimes.records import Record, State, Wanted
from agentcore.training.openenv.runtimes.replica import Replica

LOOK_SECONDS = 1.0
MOST_DESCRIPTORS = 65536
Step = Literal["start", "retire fresh", "retire stale"]


def next_step(*, ready: int, starting: int, stale: int, wanted: int) -> Step | None:
    """One step toward ``wanted`` replicas of the new program; None: nothing to do, or to wait.

    ``ready`` and ``starting`` run the new program, ``stale`` an older one. Never leaves fewer
    serving than there were, or are wanted; at most one more than wanted runs while replacing.
    """
    if ready + starting > wanted:
        return "retire fresh"
    if stale and ready + stale > wanted:
        return "retire stale"
    if ready + starting < wanted and not (stale and starting):
        return "start"
    return None


class Keeper:
    """``lock`` is the descriptor of the keeper file."""

    def __init__(self, record: Record, log_prefix: str, lock: int) -> None:
        self._record = record
        self._lock = lock
        self._log_prefix = log_prefix
        self._serving: list[Replica] = []
        self._retiring: list[Replica] = []
        self._tasks: dict[Replica, asyncio.Task[None]] = {}
        self._news = asyncio.Event()
        self._reload = True
        self._stopping = False
        self._port = 0
        # Whether the last state is to be written once more.
        self._unwritten = False

    def reload(self) -> None:
        self._reload = True
        self._news.set()

    def stop(self) -> None:
        self._stopping = True
        self._news.set()

    async def run(self, port: int) -> None:
        """Keep the deployment until ``stop``."""
        async with asyncio.TaskGroup() as tasks:
            forwarder = Forwarder(self._next_target, tasks.create_task)
            self._port = await forwarder.listen(port)
            await self._follow(tasks)
            forwarder.close()
            for task in self._tasks.values():
                _cancel(task)

    async def _follow(self, tasks: asyncio.TaskGroup) -> None:
        wanted: Wanted | None = None
        while not self._stopping:
            self._news.clear()
            if self._reload:
                self._reload = False
                wanted = self._record.wanted()
                self._try_anew(wanted, tasks)
            if wanted is None:
                return
            while self._advance(wanted, tasks):
                pass
            self._note(wanted)
            await self._next_news()

    async def _next_news(self) -> None:
        while not self._news.is_set():
            if os.fstat(self._lock).st_nlink == 0 or not self._record.exists():
                self.stop()
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._news.wait()
            for replica in self._tasks:
                replica.tidy()
            if self._unwritten:
                return

    def _try_anew(self, wanted: Wanted | None, tasks: asyncio.TaskGroup) -> None:
        """Who deploys again does not want to wait for the backoff of what failed before."""
        for replica in [each for each in self._serving if each.failing]:
            if wanted is not None:
                self._dismiss(replica, wanted, tasks)

    def _advance(self, wanted: Wanted, tasks: asyncio.TaskGroup) -> bool:
        fresh, stale = self._divided(wanted)
        ready = sum(replica.ready for replica in fresh)
        step = next_step(
            ready=ready, starting=len(fresh) - ready, stale=len(stale), wanted=wanted.replicas
        )
        if step == "start":
            slot = min(set(range(1, len(self._tasks) + 2)) - {r.slot for r in self._tasks})
            log = Path(f"{self._log_prefix}-{slot}.log")
            replica = Replica(slot, wanted, log, self._news.set)
            self._serving.append(replica)
            self._tasks[replica] = tasks.create_task(replica.keep())
        elif step is not None:
            # Of the new ones that which serves the fewest; of the old ones the oldest.
            leaving = (
                min(reversed(fresh), key=lambda replica: (replica.ready, replica.connections))
                if step == "retire fresh"
                else stale[0]
            )
            self._dismiss(leaving, wanted, tasks)
        return step is not None

    def _dismiss(self, replica: Replica, wanted: Wanted, tasks: asyncio.TaskGroup) -> None:
        self._serving.remove(replica)
        self._retiring.append(replica)
        tasks.create_task(self._retire(replica, wanted.drain_seconds))

    async def _retire(self, replica: Replica, seconds: float) -> None:
        """Let its sessions end, for so long; then stop it."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await replica.idle.wait()
        task = self._tasks[replica]
        _cancel(task)
        await asyncio.wait([task])
        self._retiring.remove(replica)
        del self._tasks[replica]
        self._news.set()

    def _divided(self, wanted: Wanted) -> tuple[list[Replica], list[Replica]]:
        fresh = [each for each in self._serving if each.wanted.same_program(wanted)]
        return fresh, [each for each in self._serving if each not in fresh]

    def _next_target(self) -> Target | None:
        ready = [replica for replica in self._serving if replica.ready]
        return min(ready, key=lambda replica: replica.connections, default=None)

    def _note(self, wanted: Wanted) -> None:
        fresh, stale = self._divided(wanted)
        roles = (("fresh", fresh), ("stale", stale), ("retiring", self._retiring))
        state = State(
            port=self._port,
            generation=wanted.generation,
            replicas=tuple(each.state(role) for role, group in roles for each in group),
        )
        try:
            self._record.note(state)
            self._unwritten = False
        except OSError:
            # The folder was removed by hand, or the disk is full: that ends nobody's session.
            self._unwritten = True


def _cancel(task: asyncio.Task[None]) -> None:
    """Once: a second time would cut short the stopping of its process."""
    if not task.cancelling():
        task.cancel()


async def keep(folder: Path, log_prefix: str, lock: int, port: int) -> None:
    keeper = Keeper(Record(folder), log_prefix, lock)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, keeper.reload)
    loop.add_signal_handler(signal.SIGTERM, keeper.stop)
    # Whoever reads this may signal from here on.
    os.pwrite(lock, f"{os.getpid()} {identity.born(os.getpid())}\n".encode(), 0)
    await keeper.run(port)


def _allow_connections() -> None:
    """As many as the system lets this process have: each session takes two descriptors."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MOST_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def main(arguments: list[str]) -> None:
    """Leave the deployer's process tree and session, then keep."""
    folder, log_prefix, lock, port = arguments
    if os.fork():
        os._exit(0)
    os.setsid()
    os.chdir("/")
    # Ctrl-C in the deployer's terminal is not meant for what was deployed.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.set_inheritable(int(lock), False)
    _allow_connections()
    asyncio.run(keep(Path(folder), log_prefix, int(lock), int(port)))


if __name__ == "__main__":
    main(sys.argv[1:])
