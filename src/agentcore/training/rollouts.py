"""rollout: episodes of a policy in an environment, with every failure kept as a record."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from inspect import isawaitable
from itertools import islice
from typing import Protocol

import structlog

from agentcore.kit.clock import SYSTEM_CLOCK, Clock
from agentcore.kit.errors import AgentCoreError, DeadlineExceeded, InvalidInput, said_by
from agentcore.kit.jsonvalue import JsonObject
from agentcore.kit.resilience import Deadline
from agentcore.training.errors import PolicyFailed, RecordingFailed, RewardInvalid
from agentcore.training.models import (
    LARGEST_REWARD,
    Episode,
    EpisodeFailure,
    Phase,
    RolloutResult,
    Transition,
)
from agentcore.training.openenv.models import Action, Observation
from agentcore.training.openenv.playing import EpisodeSession, OpenSession
from agentcore.training.openenv.policy import Policy

log = structlog.get_logger()


class AsyncPolicy(Protocol):
    """A policy that waits, for a model for instance."""

    async def act(self, observation: JsonObject) -> Action: ...


# Makes the player of the episode with this seed.
PlayerFactory = Callable[[int], Policy | AsyncPolicy]
RewardFunction = Callable[[Transition], float]


class EpisodeWatcher(Protocol):
    """Is told of everything while it happens; must not wait."""

    def began(self, index: int, seed: int, first: Observation, seconds: float) -> None: ...

    def stepped(self, index: int, number: int, transition: Transition) -> None: ...

    def ended(self, episode: Episode) -> None: ...


class Progress:
    """Hears of episodes as they end, in the order in which they do."""

    def __init__(self, report: Callable[[Episode], None]) -> None:
        self._report = report

    def began(self, index: int, seed: int, first: Observation, seconds: float) -> None:
        pass

    def stepped(self, index: int, number: int, transition: Transition) -> None:
        pass

    def ended(self, episode: Episode) -> None:
        self._report(episode)


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutPlan:
    """How to play.

    ``concurrency`` sessions play at once. ``deadline`` seconds after the start, what still plays
    is cut off and what has not begun does not begin: both are failures. ``max_steps`` truncates
    an episode here. ``reward`` shapes what counts, step by step. ``keep_transitions`` keeps every
    step in the episodes, which a learner needs and a benchmark does not.
    """

    concurrency: int = 1
    deadline: float | None = None
    max_steps: int | None = None
    options: JsonObject | None = None
    reward: RewardFunction | None = None
    keep_transitions: bool = False


DEFAULT_PLAN = RolloutPlan()


async def rollout(
    policy: PlayerFactory,
    env: OpenSession,
    episodes: int,
    seeds: int | Iterable[int] = 0,
    *,
    plan: RolloutPlan = DEFAULT_PLAN,
    watchers: Sequence[EpisodeWatcher] = (),
    clock: Clock = SYSTEM_CLOCK,
) -> RolloutResult:
    """Play ``episodes`` episodes; ``seeds`` are theirs, or the first of consecutive ones.

    ``policy`` makes a player for each episode, sync or async. Whatever fails, in the environment,
    on the way to it or in the policy, is a failure of its episode; the others go on.

    Raises:
        RecordingFailed: a watcher that records cannot go on; nothing further is played.
    """
    numbered = _numbered(episodes, seeds)
    if plan.max_steps is not None and plan.max_steps < 1:
        raise InvalidInput(f"episodes of at most {plan.max_steps} steps", hint="at least 1")
    run = _Run(policy, plan, tuple(watchers), clock, Deadline(plan.deadline, clock))
    began = clock.monotonic()
    rest = iter(numbered)
    try:
        async with asyncio.TaskGroup() as group:
            players = [
                group.create_task(_play_all(run, env(number), rest))
                for number in range(min(max(1, plan.concurrency), episodes))
            ]
    except* RecordingFailed as failed:
        # Of all that a player meets only this ends the others' play; one of them says it all.
        raise failed.exceptions[0] from None
    played = [episode for player in players for episode in player.result()]
    played.sort(key=lambda episode: episode.index)
    return RolloutResult(tuple(played), clock.monotonic() - began)


def _numbered(episodes: int, seeds: int | Iterable[int]) -> list[tuple[int, int]]:
    if isinstance(seeds, int):
        seeds = range(seeds, seeds + episodes)
    # One more than is needed shows that there are too many: seeds may have no end.
    listed = list(islice(seeds, max(episodes, 0) + 1))
    if episodes < 1 or len(listed) != episodes:
        told = f"{len(listed)} seeds" if len(listed) <= episodes else "more seeds than that"
        raise InvalidInput(f"{episodes} episodes were given {told}")
    return list(enumerate(listed))


@dataclass(frozen=True, slots=True)
class _Run:
    policy: PlayerFactory
    plan: RolloutPlan
    watchers: tuple[EpisodeWatcher, ...]
    clock: Clock
    deadline: Deadline


@dataclass(slots=True)
class _Played:
    """What an episode has come to so far: it survives the failure that cuts it off."""

    phase: Phase = "reset"
    rewards: list[float] = field(default_factory=list)
    shaped: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    transitions: list[Transition] = field(default_factory=list)
    last: Transition | None = None


async def _play_all(
    run: _Run, session: EpisodeSession, rest: Iterator[tuple[int, int]]
) -> list[Episode]:
    """One player's share: whoever is free takes the next seed."""
    episodes = []
    try:
        for index, seed in rest:
            episode = await _play(run, session, index, seed)
            for watcher in run.watchers:
                watcher.ended(episode)
            episodes.append(episode)
    finally:
        await _leave(session)
    return episodes


async def _leave(session: EpisodeSession) -> None:
    try:
        await session.close()
    except AgentCoreError as error:
        log.warning("environment session did not close", error=str(error))


async def _play(run: _Run, session: EpisodeSession, index: int, seed: int) -> Episode:
    played = _Played()
    failure: EpisodeFailure | None = None
    began = run.clock.monotonic()
    left = run.deadline.remaining()
    limit = asyncio.timeout(None if left == float("inf") else left)
    try:
        run.deadline.check()
        async with limit:
            await _steps(run, session, index, seed, played)
    except RecordingFailed:
        raise
    except AgentCoreError as error:
        phase = "deadline" if isinstance(error, DeadlineExceeded) else played.phase
        failure = EpisodeFailure(phase, error.code, error.detail, error.hint)
    except TimeoutError:
        if not limit.expired():
            raise
        detail = f"the rollout's {run.plan.deadline} seconds are over"
        failure = EpisodeFailure("deadline", DeadlineExceeded.code, detail)
    last = played.last
    return Episode(
        index=index,
        seed=seed,
        rewards=tuple(played.rewards),
        shaped=None if run.plan.reward is None else tuple(played.shaped),
        terminated=last is not None and last.terminated,
        truncated=last is not None and last.truncated,
        seconds=run.clock.monotonic() - began,
        step_seconds=tuple(played.seconds),
        info={} if last is None else last.info,
        failure=failure,
        transitions=tuple(played.transitions),
    )


async def _steps(
    run: _Run, session: EpisodeSession, index: int, seed: int, played: _Played
) -> None:
    clock, limit = run.clock, run.plan.max_steps
    began = clock.monotonic()
    first = await session.reset(seed, run.plan.options)
    for watcher in run.watchers:
        watcher.began(index, seed, first, clock.monotonic() - began)
    played.phase = "policy"
    player, observation = _player(run.policy, seed), first.state
    while True:
        played.phase = "policy"
        action = await _decide(player, observation)
        played.phase = "step"
        asked = clock.monotonic()
        result = await session.step(action)
        seconds = clock.monotonic() - asked
        cut = limit is not None and len(played.rewards) + 1 >= limit and not result.done
        transition = Transition(
            observation=observation,
            action=action,
            reward=result.reward,
            next_observation=result.observation.state,
            terminated=result.terminated,
            truncated=result.truncated or cut,
            info=result.info,
            seconds=seconds,
            cut=cut,
        )
        _keep(run, played, transition)
        for watcher in run.watchers:
            watcher.stepped(index, len(played.rewards), transition)
        if transition.done:
            return
        observation = transition.next_observation


def _keep(run: _Run, played: _Played, transition: Transition) -> None:
    played.phase = "reward"
    played.rewards.append(_usable(transition.reward, "the environment's reward"))
    played.seconds.append(transition.seconds)
    played.last = transition
    if run.plan.keep_transitions:
        played.transitions.append(transition)
    if run.plan.reward is not None:
        try:
            shaped = run.plan.reward(transition)
        except AgentCoreError:
            raise
        except Exception as exc:
            raise RewardInvalid(f"the reward function failed: {said_by(exc)}") from exc
        played.shaped.append(_usable(shaped, "what the reward function returned"))


def _usable(reward: object, what: str) -> float:
    """``reward``, where means and intervals can be computed with it."""
    if isinstance(reward, int | float) and abs(reward) <= LARGEST_REWARD:
        return reward
    told = f"{reward:g}" if isinstance(reward, float) else f"of type {type(reward).__name__}"
    raise RewardInvalid(f"{what} is {told}", hint=f"a number of at most {LARGEST_REWARD:g}")


def _player(policy: PlayerFactory, seed: int) -> Policy | AsyncPolicy:
    try:
        return policy(seed)
    except AgentCoreError:
        raise
    except Exception as exc:
        raise PolicyFailed(f"no player for seed {seed}: {said_by(exc)}") from exc


async def _decide(player: Policy | AsyncPolicy, observation: JsonObject) -> Action:
    try:
        chosen: Action | Awaitable[Action] = player.act(observation)
        action = await chosen if isawaitable(chosen) else chosen
    except AgentCoreError:
        raise
    except asyncio.CancelledError as exc:
        # Nobody stops the rollout: something that the policy waited for was cancelled.
        if _is_cancelled():
            raise
        raise PolicyFailed("the policy was cancelled from inside") from exc
    except Exception as exc:
        raise PolicyFailed(f"the policy failed: {said_by(exc)}") from exc
    if not isinstance(action, Action):
        raise PolicyFailed(f"the policy returned {type(action).__name__}, not an Action")
    return action


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0
