"""Episodes as the checks play them: what is an observation, and what is the same one."""

from __future__ import annotations

from collections.abc import AsyncIterator

from agentcore.kit.jsonvalue import JsonObject, JsonValue, object_of
from agentcore.training.openenv.conformance.judging import NotApplicable, Violation, require
from agentcore.training.openenv.conformance.subject import Subject
from agentcore.training.openenv.conformance.wire import Talk, refusal_of, shortened
from agentcore.training.openenv.errors import SchemaNotSampleable

STEPS = 5


def first_action(subject: Subject) -> JsonObject:
    """An action that the environment takes at the start.

    Raises:
        NotApplicable: none is known.
    """
    if not subject.actions:
        why = subject.without_actions or "none was taken"
        raise NotApplicable(f"no action to play ({why}): give one with --action")
    return subject.actions[0]


def any_action(subject: Subject) -> JsonObject:
    """An action for a frame whose fate does not matter."""
    return subject.actions[0] if subject.actions else {}


async def reset(talk: Talk, seed: int, **options: JsonValue) -> JsonObject:
    """The envelope of the first observation."""
    return envelope_of(await talk.ask("reset", {"seed": seed, **options}))


async def step(talk: Talk, action: JsonObject) -> JsonObject:
    return envelope_of(await talk.ask("step", action))


def envelope_of(answer: JsonObject) -> JsonObject:
    data = answer.get("data")
    if answer.get("type") != "observation" or not isinstance(data, dict):
        raise Violation("an observation", shortened(answer))
    return data


async def state(talk: Talk) -> JsonObject:
    answer = await talk.ask("state")
    data = answer.get("data")
    if answer.get("type") != "state" or not isinstance(data, dict):
        raise Violation('{"type":"state","data":{...}}', shortened(answer))
    return data


async def trajectory(subject: Subject, talk: Talk, seed: int) -> list[JsonValue]:
    """What the first steps of an episode show, without the side channel."""
    answers = [await talk.ask("reset", {"seed": seed, "episode_id": "conformance"})]
    for at in range(STEPS if subject.actions else 0):
        answers.append(await talk.ask("step", subject.actions[at % len(subject.actions)]))
        if object_of(answers[-1].get("data")).get("done") is True:
            break
    return [_shown(answer) for answer in answers]


def _shown(answer: JsonObject) -> JsonValue:
    if refusal_of(answer) is not None:
        return {"error": object_of(answer.get("data")).get("code")}
    data = object_of(answer.get("data"))
    observation = object_of(data.get("observation"))
    shown = {name: value for name, value in observation.items() if name != "metadata"}
    return {"observation": shown, "reward": data.get("reward"), "done": data.get("done")}


async def played(subject: Subject, talk: Talk, most: int) -> AsyncIterator[JsonObject]:
    """Envelopes of the steps of one episode, up to its end or ``most``; refused moves are none.

    Raises:
        NotApplicable: nothing can be played.
    """
    first_action(subject)
    await reset(talk, subject.plan.seed)
    actions = subject.sampled()
    for _ in range(most):
        try:
            answer = await talk.ask("step", next(actions))
        except SchemaNotSampleable as error:
            raise NotApplicable(error.detail) from error
        if refusal_of(answer) is None:
            envelope = envelope_of(answer)
            yield envelope
            if envelope.get("done") is True:
                return


def require_envelope(envelope: JsonObject) -> None:
    observation = envelope.get("observation")
    if not isinstance(observation, dict):
        raise Violation("an object as observation", shortened(envelope))
    inside = {"reward", "done"} & set(observation)
    require(not inside, "reward and done beside the observation, not in it", envelope)
    require("reward" in envelope, "a reward, also where it is null", envelope)
    reward = envelope["reward"]
    require(reward is None or isinstance(reward, bool | int | float), "a numeric reward", envelope)
    require(isinstance(envelope.get("done"), bool), "done to be true or false", envelope)
