"""Recorded episodes as JSON lines in the columns that RL trainers read.

================  =============================================================================
``trl-messages``  one row per episode: ``messages`` (conversational language modelling) and
                  ``reward``, the total
``trl-steps``     one row per step: ``prompt`` and ``completion`` (conversational), ``reward`` of
                  the step and ``return``, all that came from it on
``verifiers``     one row per episode, the columns of a verifiers rollout: ``example_id``,
                  ``prompt``, ``completion``, ``reward``, ``metrics``, ``is_completed``,
                  ``is_truncated``, ``stop_condition``, ``info``, ``error``, ``timing``
================  =============================================================================

Observations are the user's messages and actions the assistant's, both as compact JSON. TRL passes
columns that it does not know to reward functions: ``seed``, ``episode`` and ``step`` are such.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import Literal, get_args

from agentcore.kit.errors import InvalidInput
from agentcore.kit.jsonvalue import JsonObject, JsonValue, dumps
from agentcore.training.openenv.models import Action
from agentcore.training.recording import RecordedEpisode, Recording

ExportFormat = Literal["trl-messages", "trl-steps", "verifiers"]
FORMATS: tuple[str, ...] = get_args(ExportFormat)


def export_rows(recording: Recording, form: str) -> Iterator[JsonObject]:
    """The rows of all episodes that have a step; those that failed say so where the form can.

    TRL's forms leave failed and unfinished episodes out: a trainer would take their reward for
    what the policy earned.

    Raises:
        InvalidInput: no such form.
    """
    if form not in FORMATS:
        raise InvalidInput(f"unknown export format {form!r}", hint=f"one of: {', '.join(FORMATS)}")
    played = (episode for episode in recording.episodes if episode.steps)
    if form == "verifiers":
        return (_verifiers(recording, episode) for episode in played)
    whole = (episode for episode in played if episode.ended and episode.failure is None)
    if form == "trl-messages":
        return (_messages_row(episode) for episode in whole)
    return (row for episode in whole for row in _step_rows(episode))


def export_lines(rows: Iterable[JsonObject]) -> Iterator[bytes]:
    return (dumps(row) + b"\n" for row in rows)


def _messages_row(episode: RecordedEpisode) -> JsonObject:
    return {
        "messages": list(_conversation(episode)),
        "reward": episode.reward,
        "episode": episode.index,
        "seed": episode.seed,
    }


def _step_rows(episode: RecordedEpisode) -> Iterator[JsonObject]:
    state = episode.first.state
    rewards = [step.reward for step in episode.steps]
    # From the end: each sums up all that is behind it.
    returns = [*accumulate(reversed(rewards))][::-1]
    for number, step in enumerate(episode.steps):
        yield {
            "prompt": [_seen(state)],
            "completion": [_done(step.action)],
            "reward": step.reward,
            "return": returns[number],
            "episode": episode.index,
            "step": number + 1,
            "seed": episode.seed,
        }
        state = step.observation.state


def _verifiers(recording: Recording, episode: RecordedEpisode) -> JsonObject:
    conversation = list(_conversation(episode))
    last, failure = episode.steps[-1], episode.failure
    turns: JsonObject = {"num_turns": float(len(episode.steps))}
    seconds = math.fsum(step.seconds for step in episode.steps)
    row: JsonObject = {
        "example_id": episode.index if episode.seed is None else episode.seed,
        "prompt": conversation[:1],
        "completion": conversation[1:],
        "reward": episode.reward,
        "metrics": turns,
        # verifiers repeats every metric as a column of its own.
        **turns,
        "is_completed": episode.ended and failure is None,
        "is_truncated": last.truncated or not episode.ended,
        "stop_condition": _stop(episode),
        "info": {
            "environment": recording.header.environment,
            "version": recording.header.version,
            "policy": recording.header.policy,
            "seed": episode.seed,
        },
        "error": None,
        "timing": {"total_ms": round(seconds * 1000, 3)},
    }
    if failure is not None:
        told = f"{failure.code}: {failure.detail}"
        row["error"] = {"error": failure.code, "error_chain_repr": told, "error_chain_str": told}
    return row


def _stop(episode: RecordedEpisode) -> str | None:
    last = episode.steps[-1]
    if episode.failure is not None:
        return "has_error"
    if last.truncated:
        return "max_turns_reached"
    return "environment_done" if last.terminated else None


def _conversation(episode: RecordedEpisode) -> Iterator[JsonValue]:
    """What was seen, what was done, in turn; the last observation ends nothing and is left out."""
    state = episode.first.state
    for step in episode.steps:
        yield _seen(state)
        yield _done(step.action)
        state = step.observation.state


def _seen(state: JsonObject) -> JsonObject:
    return {"role": "user", "content": dumps(state).decode()}


def _done(action: Action) -> JsonObject:
    said = {"type": action.type, "parameters": action.parameters}
    return {"role": "assistant", "content": dumps(said).decode()}
