"""EnvironmentPool: many sessions stepped together, over any number of replicas."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import structlog

from agentcore.kit.errors import AgentCoreError, InvalidInput
from agentcore.training.openenv.errors import (
    EnvironmentNotReset,
    OpenEnvConnectionError,
    OpenEnvStepError,
    SessionLost,
    StepTimeout,
)
from agentcore.training.openenv.models import Action, Observation, StepResult
from agentcore.training.openenv.playing import EpisodeSession, PromptSession

# Connecting costs a server more than stepping: not everybody at once.
CONNECTING_AT_ONCE = 8
OpenReplica = Callable[[str], EpisodeSession]

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class SessionFailure:
    """Why one session has no result; its siblings have theirs.

    ``code`` is the error's. ``lost``: the session's episode is gone, and the next reset replaces
    the session; else it stands where it stood.
    """

    session: int
    code: str
    detail: str
    lost: bool


@dataclass(slots=True)
class _Slot:
    number: int
    replica: int
    session: EpisodeSession | None = None
    # The same session, where it sends steps without waiting.
    prompt: PromptSession | None = None
    connected: bool = False
    over: bool = False


Outcome = StepResult | SessionFailure
_Sent = tuple[_Slot, PromptSession, asyncio.Future[bytes]]


class EnvironmentPool:
    """``size`` sessions over the replicas at ``urls``; results come in the sessions' order.

    Every session has at most one frame outstanding. One that fails is a ``SessionFailure`` in its
    place and does not disturb the others; when its server is gone, the next reset takes the next
    replica. Not for several tasks at once: a pool is one learner's.

    ``autoreset`` (off by default) gives the seeds of further episodes: the step after an
    episode's last one then ignores its action, resets, and returns the first observation with
    reward 0.0 and ``autoreset`` in its info.
    """

    def __init__(
        self,
        urls: Sequence[str],
        size: int,
        *,
        open_session: OpenReplica,
        connecting: int = CONNECTING_AT_ONCE,
        autoreset: Iterator[int] | None = None,
    ) -> None:
        if not urls or size < 1:
            raise InvalidInput(f"a pool of {size} sessions over {len(urls)} servers is empty")
        if connecting < 1:
            raise InvalidInput(f"{connecting} sessions connect at once: none ever would")
        self._urls = tuple(urls)
        self._open = open_session
        self._slots = [_Slot(number, number % len(urls)) for number in range(size)]
        self._connecting = asyncio.Semaphore(connecting)
        self._seeds = autoreset

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __len__(self) -> int:
        return len(self._slots)

    async def reset_many(
        self, seeds: Sequence[int | None], *, sessions: Sequence[int] | None = None
    ) -> list[Observation | SessionFailure]:
        """Start an episode in all sessions, or in ``sessions``, with one seed each.

        Lost sessions are replaced, at most ``connecting`` at once.
        """
        numbers = range(len(self)) if sessions is None else sessions
        self._expect(len(numbers), len(seeds), "seeds")
        if absent := [number for number in numbers if not 0 <= number < len(self)]:
            raise InvalidInput(f"there is no session {absent[0]}: they are 0 to {len(self) - 1}")
        slots = [self._slots[number] for number in numbers]
        return await asyncio.gather(
            *(self._reset(slot, seed) for slot, seed in zip(slots, seeds, strict=True))
        )

    async def step_many(
        self, actions: Sequence[Action | None]
    ) -> list[StepResult | SessionFailure | None]:
        """One action for each session, all at once; None leaves a session alone."""
        self._expect(len(self), len(actions), "actions")
        found: list[Outcome | None] = [None] * len(self)
        sent: list[_Sent] = []
        waiting: list[tuple[_Slot, Action]] = []
        try:
            for slot, action in zip(self._slots, actions, strict=True):
                if action is None:
                    continue
                session, coming = slot.prompt, None
                if session is not None and not self._to_be_reset(slot):
                    try:
                        coming = session.begin_step(action)
                    except AgentCoreError as error:
                        found[slot.number] = _failure(slot, error)
                        continue
                if session is None or coming is None:
                    waiting.append((slot, action))
                else:
                    sent.append((slot, session, coming))
            await self._answers(sent, waiting, found)
        except BaseException:
            for _, session, coming in sent:
                session.abandon_step(coming)
            raise
        return found

    async def close(self) -> None:
        """End all sessions; a further reset opens them again."""
        await asyncio.gather(*(self._drop(slot) for slot in self._slots))

    @staticmethod
    def _expect(wanted: int, given: int, what: str) -> None:
        if wanted != given:
            raise InvalidInput(f"{wanted} sessions were given {given} {what}")

    async def _reset(self, slot: _Slot, seed: int | None) -> Observation | SessionFailure:
        try:
            if slot.connected and slot.session is not None:
                observation = await slot.session.reset(seed)
            else:
                async with self._connecting:
                    observation = await self._connect(slot, seed)
        except AgentCoreError as error:
            # Whatever the fault was, nobody knows what state the session is in.
            slot.connected = False
            return SessionFailure(slot.number, error.code, error.detail, lost=True)
        slot.connected, slot.over = True, False
        return observation

    async def _connect(self, slot: _Slot, seed: int | None) -> Observation:
        """Reset in a new session, of the next replica while nobody answers at this one."""
        for attempt in range(len(self._urls)):
            await self._drop(slot)
            slot.session = session = self._open(self._urls[slot.replica])
            slot.prompt = session if isinstance(session, PromptSession) else None
            try:
                return await session.reset(seed)
            except OpenEnvConnectionError:
                slot.replica = (slot.replica + 1) % len(self._urls)
                if attempt + 1 == len(self._urls):
                    raise
        raise AssertionError("a pool has at least one replica")

    async def _answers(
        self,
        sent: Sequence[_Sent],
        waiting: Sequence[tuple[_Slot, Action]],
        found: list[Outcome | None],
    ) -> None:
        """Fill in what is ``found``: answers come by themselves, and only others need tasks."""

        async def arriving() -> None:
            for slot, session, coming in sent:
                try:
                    found[slot.number] = result = await session.finish_step(coming)
                    slot.over = result.done
                except AgentCoreError as error:
                    found[slot.number] = _failure(slot, error)

        async def taken(slot: _Slot, action: Action) -> None:
            found[slot.number] = await self._step(slot, action)

        if waiting:
            await asyncio.gather(arriving(), *(taken(slot, action) for slot, action in waiting))
        else:
            await arriving()

    async def _step(self, slot: _Slot, action: Action) -> Outcome:
        if self._to_be_reset(slot):
            return await self._start_over(slot)
        if slot.session is None:
            error = EnvironmentNotReset("no episode has begun", hint="call reset_many first")
            return _failure(slot, error)
        try:
            result = await slot.session.step(action)
        except AgentCoreError as error:
            return _failure(slot, error)
        slot.over = result.done
        return result

    def _to_be_reset(self, slot: _Slot) -> bool:
        return self._seeds is not None and (slot.over or not slot.connected)

    async def _start_over(self, slot: _Slot) -> Outcome:
        seed = next(self._seeds or iter(()), None)
        if seed is None:
            detail = "the seeds of autoreset are used up"
            return _failure(slot, InvalidInput(detail, hint="give an endless iterator"))
        first = await self._reset(slot, seed)
        if isinstance(first, SessionFailure):
            return first
        return StepResult(
            observation=first,
            reward=0.0,
            terminated=False,
            truncated=False,
            info={"autoreset": True, "seed": seed},
        )

    async def _drop(self, slot: _Slot) -> None:
        session, slot.session, slot.connected = slot.session, None, False
        slot.prompt = None
        if session is None:
            return
        try:
            await session.close()
        except AgentCoreError as error:
            log.warning("pooled session did not close", session=slot.number, error=str(error))


def _failure(slot: _Slot, error: AgentCoreError) -> SessionFailure:
    # What the server answered is an ``OpenEnvStepError``; behind all else nobody knows what it did.
    stands = isinstance(error, OpenEnvStepError | InvalidInput)
    lost = not stands or isinstance(error, SessionLost | StepTimeout | EnvironmentNotReset)
    slot.connected = slot.connected and not lost
    return SessionFailure(slot.number, error.code, error.detail, lost)
