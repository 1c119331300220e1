"""What plays episodes needs of an environment, wherever that runs."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar, runtime_checkable

from anyio import to_thread

from agentcore.kit.errors import AgentCoreError, InvalidInput, said_by
from agentcore.kit.jsonvalue import JsonObject
from agentcore.training.openenv.environments.base import FAULTS, AnyEnvironment, Step
from agentcore.training.openenv.environments.catalog import EnvironmentFactory
from agentcore.training.openenv.errors import OpenEnvError, OpenEnvResetError, OpenEnvStepError
from agentcore.training.openenv.models import Action, Observation, StepResult

T = TypeVar("T")


class EpisodeSession(Protocol):
    """One environment for one player: ``OpenEnvClient`` is one, and so is ``LocalSession``.

    ``reset`` brings a lost session back; every fault is an ``AgentCoreError``.
    """

    async def reset(
        self, seed: int | None = None, options: JsonObject | None = None
    ) -> Observation: ...

    async def step(self, action: Action) -> StepResult: ...

    async def close(self) -> None: ...


@runtime_checkable
class PromptSession(EpisodeSession, Protocol):
    """A session that sends a step without waiting, so that many at once need no task each.

    The session is held until ``finish_step``, or ``abandon_step``, which gives it up. The future in
    which the answer comes tells one step from another.
    """

    def begin_step(self, action: Action) -> Future[bytes] | None:
        """None while another call has the session: then ``step`` waits for it."""

    async def finish_step(self, coming: Future[bytes]) -> StepResult:
        """The outcome, once; raises as ``step`` does."""

    def abandon_step(self, coming: Future[bytes]) -> None:
        """Nobody waits for the outcome any more; does nothing once the step has ended."""


# Makes the session of the player with this number, not yet connected.
OpenSession = Callable[[int], EpisodeSession]


class LocalSession:
    """An environment in this process, without a server; the same results as over the wire."""

    def __init__(self, environment: AnyEnvironment) -> None:
        self._environment = environment

    async def reset(
        self, seed: int | None = None, options: JsonObject | None = None
    ) -> Observation:
        environment = self._environment

        def work() -> JsonObject:
            return _faulty(lambda: environment.reset(seed, options), OpenEnvResetError)

        state = await to_thread.run_sync(work) if environment.threaded else work()
        return Observation(state=state, metadata={"seed": environment.seed})

    async def step(self, action: Action) -> StepResult:
        environment = self._environment

        def work() -> Step:
            return _faulty(lambda: environment.step(action), OpenEnvStepError)

        step = await to_thread.run_sync(work) if environment.threaded else work()
        return StepResult(
            observation=Observation(state=step.observation, metadata=step.info),
            reward=step.reward,
            terminated=step.terminated,
            truncated=step.truncated,
            info=step.info,
            reward_raw=step.reward,
        )

    async def close(self) -> None:
        _faulty(self._environment.close, OpenEnvError)


def local_sessions(factory: EnvironmentFactory) -> OpenSession:
    """Sessions in this process: no latency, no isolation."""
    return lambda _: LocalSession(factory())


def remote_sessions(
    urls: str | Sequence[str], *, token: str = "", step_seconds: float = 30.0
) -> OpenSession:
    """Sessions of the servers at ``urls``, the replicas of one environment, taken in turn."""
    replicas = (urls,) if isinstance(urls, str) else tuple(urls)
    if not replicas:
        raise InvalidInput("no environment server is named", hint="give at least one URL")

    from agentcore.training.openenv.client import OpenEnvClient  # noqa: PLC0415 -- a service starts without WebSockets

    def open_session(number: int) -> EpisodeSession:
        return OpenEnvClient(replicas[number % len(replicas)], timeout=step_seconds, token=token)

    return open_session


def _faulty(work: Callable[[], T], failure: type[OpenEnvError]) -> T:
    """What an environment raises is its fault, in the words a server would have for it."""
    try:
        return work()
    except AgentCoreError:
        raise
    except FAULTS as exc:
        raise failure(said_by(exc)) from exc
