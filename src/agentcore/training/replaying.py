"""replay: the recorded actions once more, against a live environment, until something differs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from agentcore.kit.errors import AgentCoreError
from agentcore.kit.jsonvalue import JsonValue
from agentcore.training.openenv.playing import EpisodeSession
from agentcore.training.recording import RecordedEpisode

Verdict = Literal["same", "diverged", "failed"]
# Where, what was recorded, and what was found.
_Difference = tuple[str, JsonValue, JsonValue]


@dataclass(frozen=True, slots=True)
class Divergence:
    """The first thing that came out otherwise; step 0 is the reset.

    ``path`` is a JSON pointer into the step: ``/observation/…``, ``/reward``, ``/terminated`` or
    ``/truncated``.
    """

    step: int
    path: str
    recorded: JsonValue
    found: JsonValue


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayedEpisode:
    """``steps`` were repeated with the same outcome. ``error`` says why a replay could not go on.

    A recording that was cut off inside an episode is replayed as far as it goes.
    """

    index: int
    seed: int | None
    verdict: Verdict
    steps: int
    divergence: Divergence | None = None
    error: str = ""


async def replay(
    episodes: Sequence[RecordedEpisode],
    session: EpisodeSession,
    *,
    ignoring: Sequence[str] = (),
    progress: Callable[[ReplayedEpisode], None] | None = None,
) -> list[ReplayedEpisode]:
    """Play the recorded actions of each episode from its seed, up to its first divergence.

    Compared are observations, rewards and how episodes end, exactly; metadata is not, for ids and
    times are in it. ``ignoring`` are JSON pointers of what an environment never repeats, with all
    that is below them. The session stays open.
    """
    found = []
    for episode in episodes:
        replayed = await _replay(episode, session, tuple(ignoring))
        found.append(replayed)
        if progress is not None:
            progress(replayed)
    return found


async def _replay(
    episode: RecordedEpisode, session: EpisodeSession, ignoring: tuple[str, ...]
) -> ReplayedEpisode:
    done = 0
    try:
        first = await session.reset(episode.seed)
        seen = _first(episode.first.state, first.state, "/observation", ignoring)
        if seen is not None:
            return _diverged(episode, 0, seen)
        for step in episode.steps:
            result = await session.step(step.action)
            seen = (
                _first(step.observation.state, result.observation.state, "/observation", ignoring)
                or _first(step.reward, result.reward, "/reward", ignoring)
                or _first(step.terminated, result.terminated, "/terminated", ignoring)
                # A limit of the player's side is not the environment's to repeat.
                or _first(step.truncated and not step.cut, result.truncated, "/truncated", ignoring)
            )
            if seen is not None:
                return _diverged(episode, done + 1, seen)
            done += 1
    except AgentCoreError as error:
        return ReplayedEpisode(
            index=episode.index,
            seed=episode.seed,
            verdict="failed",
            steps=done,
            error=f"{error.code}: {error.detail}",
        )
    return ReplayedEpisode(index=episode.index, seed=episode.seed, verdict="same", steps=done)


def _diverged(episode: RecordedEpisode, step: int, seen: _Difference) -> ReplayedEpisode:
    return ReplayedEpisode(
        index=episode.index,
        seed=episode.seed,
        verdict="diverged",
        steps=max(0, step - 1),
        divergence=Divergence(step, *seen),
    )


def _first(
    recorded: JsonValue, found: JsonValue, path: str, ignoring: tuple[str, ...]
) -> _Difference | None:
    return next(_differences(recorded, found, path, ignoring), None)


def _differences(
    recorded: JsonValue, found: JsonValue, path: str, ignoring: tuple[str, ...]
) -> Iterator[_Difference]:
    """Depth first, members by name; what is missing on one side is null there."""
    if path in ignoring:
        return
    if isinstance(recorded, dict) and isinstance(found, dict):
        for name in sorted(recorded.keys() | found.keys()):
            below = f"{path}/{name.replace('~', '~0').replace('/', '~1')}"
            if name in recorded and name in found:
                yield from _differences(recorded[name], found[name], below, ignoring)
            elif below not in ignoring:
                yield below, recorded.get(name), found.get(name)
    elif isinstance(recorded, list) and isinstance(found, list):
        for place, (one, other) in enumerate(zip(recorded, found, strict=False)):
            yield from _differences(one, other, f"{path}/{place}", ignoring)
        shorter = min(len(recorded), len(found))
        if len(recorded) != len(found) and (below := f"{path}/{shorter}") not in ignoring:
            one, other = (next(iter(each[shorter:]), None) for each in (recorded, found))
            yield below, one, other
    elif not _same(recorded, found):
        yield path, recorded, found


def _same(recorded: JsonValue, found: JsonValue) -> bool:
    # To Python True is 1; to JSON it is not.
    if isinstance(recorded, bool) != isinstance(found, bool):
        return False
    if isinstance(recorded, float) and isinstance(found, float) and math.isnan(recorded):
        return math.isnan(found)
    return recorded == found
