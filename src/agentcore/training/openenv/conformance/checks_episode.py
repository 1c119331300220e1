"""Episodes: what is shown, counted, repeated, and how they end."""

from __future__ import annotations

import math
from collections.abc import Iterator

from agentcore.kit.jsonvalue import JsonObject, JsonValue, list_of, object_of
from agentcore.training.openenv.conformance.judging import (
    NotApplicable,
    Violation,
    check,
    checks_of,
    require,
)
from agentcore.training.openenv.conformance.playing import (
    envelope_of,
    first_action,
    played,
    require_envelope,
    reset,
    state,
    step,
    trajectory,
)
from agentcore.training.openenv.conformance.schemas import canonical, schema_fault, value_fault
from agentcore.training.openenv.conformance.subject import Subject
from agentcore.training.openenv.conformance.wire import (
    NoSession,
    SocketClosed,
    Talk,
    refusal_of,
    shortened,
)

RESET, STEP, STATE = "WS /ws: reset", "WS /ws: step", "WS /ws: state"
STEPS_JUDGED = 20


@check("session-opens", "A session opens where /health is green", "WS /ws: sessions")
async def session_opens(subject: Subject) -> None:
    try:
        async with subject.session():
            pass
    except NoSession as refused:
        raise Violation("a session", str(refused)) from refused


@check("episode", "An episode runs in one session", RESET)
async def episode(subject: Subject) -> None:
    async with subject.session() as talk:
        first = await reset(talk, subject.plan.seed)
        require_envelope(first)
        require(first["done"] is False, "an episode that is not done at its start", first)
        if not subject.actions:
            expected = "an action made from the schema to be taken; if none can be, give --action"
            raise Violation(expected, subject.without_actions or "each one ended in an error")
        require_envelope(await step(talk, first_action(subject)))


@check("reset-again", "A reset in the middle starts a new episode", RESET)
async def reset_again(subject: Subject) -> None:
    action = first_action(subject)
    async with subject.session() as talk:
        await reset(talk, subject.plan.seed)
        first = (await state(talk)).get("step_count")
        await step(talk, action)
        again = await reset(talk, subject.plan.seed)
        require(again.get("done") is False, "done to be false after a reset", again)
        count = (await state(talk)).get("step_count")
        require(count == first, f"step_count {first} as after the first reset", count)


@check("step-before-reset", "A step before any reset is answered and survived", STEP)
async def step_before_reset(subject: Subject) -> None:
    action = first_action(subject)
    async with subject.session() as talk:
        try:
            await talk.ask("step", action)
            await reset(talk, subject.plan.seed)
        except SocketClosed as closed:
            raise Violation("an observation or an error frame", closed.came) from closed


@check("one-answer", "Each frame gets one answer, in order, and nothing comes unasked", "WS /ws")
async def one_answer(subject: Subject) -> None:
    action = first_action(subject)
    async with subject.session() as talk:
        await reset(talk, subject.plan.seed)
        asked: list[tuple[str, JsonValue]] = [("state", None), ("step", action), ("state", None)]
        for kind, data in asked:
            await talk.post(kind, data)
        kinds = [(await talk.next()).get("type") for _ in asked]
        require(kinds == ["state", "observation", "state"], "one answer per frame, in order", kinds)
        await talk.silence(subject.plan.quiet_seconds)


@check("step-count", "step_count counts the steps of the episode", STATE)
async def step_count(subject: Subject) -> None:
    action = first_action(subject)
    async with subject.session() as talk:
        await reset(talk, subject.plan.seed)
        counts = [(await state(talk)).get("step_count")]
        await step(talk, action)
        counts.append((await state(talk)).get("step_count"))
    require(counts == [0, 1], "step_count 0 after the reset and 1 after a step", counts)


@check("episode-id", "The state has the episode_id that the reset gave", STATE, "should")
async def episode_id(subject: Subject) -> None:
    async with subject.session() as talk:
        await reset(talk, subject.plan.seed, episode_id="conformance-1")
        found = (await state(talk)).get("episode_id")
    require(found == "conformance-1", '"conformance-1"', found)


@check("state-schema", "The state fits its schema", STATE)
async def state_schema(subject: Subject) -> None:
    schema = _schema(subject, "state")
    async with subject.session() as talk:
        await reset(talk, subject.plan.seed)
        _fits(schema, await state(talk))
        for action in subject.actions[:1]:
            await step(talk, action)
            _fits(schema, await state(talk))


@check("observation-schema", "Observations fit their schema", "HTTP: GET /schema")
async def observation_schema(subject: Subject) -> None:
    schema = _schema(subject, "observation")
    at_start = object_of(subject.schema.get("reset_observation")) or schema
    async with subject.session() as talk:
        _fits_envelope(at_start, await reset(talk, subject.plan.seed))
        if subject.actions:
            async for envelope in played(subject, talk, STEPS_JUDGED):
                _fits_envelope(schema, envelope)


@check("schema-taken", "Actions that fit the schema are not refused as invalid", STEP, "should")
async def schema_taken(subject: Subject) -> None:
    if subject.plan.actions:
        raise NotApplicable("the actions were given")
    _schema(subject, "action")
    drawn = subject.sampled()
    async with subject.session() as talk:
        for _ in range(STEPS_JUDGED):
            await reset(talk, subject.plan.seed)
            answer = await talk.ask("step", next(drawn))
            refused = refusal_of(answer) or {}
            good = refused.get("code") != "VALIDATION_ERROR"
            require(good, "a sampled action that fits the schema to be taken", answer)


@check("finite-rewards", "Rewards and all other numbers are finite", "JSON (RFC 8259)")
async def finite_rewards(subject: Subject) -> None:
    async with subject.session() as talk:
        async for envelope in played(subject, talk, STEPS_JUDGED):
            bad = [number for number in _numbers(envelope) if not math.isfinite(number)]
            expected = "finite numbers: JSON has no NaN or Infinity, a missing reward is null"
            require(not bad, expected, envelope)


@check("seed-determinism", "The same seed and actions give the same episode", RESET, "should")
async def seed_determinism(subject: Subject) -> None:
    runs: list[list[JsonValue]] = []
    for repetitions in (1, 2):
        # Once in a session of its own, then twice in one: no episode may leak into the next.
        async with subject.session() as talk:
            seed = subject.plan.seed
            runs += [await trajectory(subject, talk, seed) for _ in range(repetitions)]
    _same(runs, subject.plan.seed)


@check("seed-zero", "0 is a seed like any other", RESET, "should")
async def seed_zero(subject: Subject) -> None:
    async with subject.session() as talk:
        usual = [await trajectory(subject, talk, 1) for _ in range(2)]
        if canonical(usual[0]) != canonical(usual[1]):
            raise NotApplicable("no seed gives the same episode twice")
        _same([await trajectory(subject, talk, 0) for _ in range(2)], 0)


@check("sessions-apart", "Two interleaved sessions do not mix", "WS /ws: sessions")
async def sessions_apart(subject: Subject) -> None:
    if subject.sessions == 1 or subject.plan.most_sessions < 2:
        raise NotApplicable("one session at a time")
    action = first_action(subject)
    async with subject.session() as alone:
        await reset(alone, subject.plan.seed)
        expected = [await _count_after(alone, action) for _ in range(2)]
    async with subject.session() as one, subject.session() as two:
        await reset(one, subject.plan.seed, episode_id="one")
        await reset(two, subject.plan.seed, episode_id="two")
        await _count_after(one, action)
        await _count_after(two, action)
        await _count_after(one, action)
        shown = [await state(each) for each in (one, two)]
    counts = [each.get("step_count") for each in shown]
    wanted = list(reversed(expected))
    require(counts == wanted, f"step counts {wanted}, as when each is alone", counts)
    ids = [each.get("episode_id") for each in shown]
    mixed = ids[0] == "two" or ids[1] == "one"
    require(not mixed, "each session to keep its episode_id", ids)


@check("episode-ends", "Nothing goes on after done until a reset", STEP)
async def episode_ends(subject: Subject) -> None:
    async with subject.session() as talk:
        after = await _after_the_end(subject, talk)
        if refusal_of(after) is None:
            revived = envelope_of(after).get("done") is not True
            require(not revived, "no further step of an episode that was done", after)
        again = await reset(talk, subject.plan.seed)
        require(again.get("done") is False, "the next reset to start an episode", again)


@check("done-once", "done comes once: a step behind it is refused", STEP, "should")
async def done_once(subject: Subject) -> None:
    async with subject.session() as talk:
        after = await _after_the_end(subject, talk)
        code = (refusal_of(after) or {}).get("code")
        if code is None and envelope_of(after).get("done") is not True:
            raise NotApplicable("the episode goes on after done: see episode-ends")
        require(code == "EXECUTION_ERROR", "EXECUTION_ERROR for a step after done", after)


@check("terminated-truncated", "metadata tells the task's end from a limit", STEP, "extra")
async def terminated_truncated(subject: Subject) -> None:
    if "terminated_truncated" not in subject.features:
        raise NotApplicable("the server does not announce terminated_truncated")
    async with subject.session() as talk:
        async for envelope in played(subject, talk, STEPS_JUDGED):
            metadata = object_of(object_of(envelope.get("observation")).get("metadata"))
            kinds = [metadata.get("terminated"), metadata.get("truncated")]
            good = all(isinstance(kind, bool) for kind in kinds)
            ends = any(kind is True for kind in kinds) == envelope.get("done")
            expected = "terminated and truncated as booleans, one true exactly when done"
            require(good and ends and kinds != [True, True], expected, envelope)


async def _count_after(talk: Talk, action: JsonObject) -> JsonValue:
    # Whatever the answer is: an episode may end, or refuse the same move twice.
    await talk.ask("step", action)
    return (await state(talk)).get("step_count")


async def _after_the_end(subject: Subject, talk: Talk) -> JsonObject:
    """Play to the end and then one step more; its answer."""
    told = subject.extras.get("max_episode_steps")
    most = max(subject.plan.most_steps, told if isinstance(told, int) and told <= 1000 else 0)
    done = False
    async for envelope in played(subject, talk, most):
        done = envelope.get("done") is True
    if not done:
        raise NotApplicable(f"no episode ended within {most} steps")
    return await talk.ask("step", first_action(subject))


def _schema(subject: Subject, name: str) -> JsonObject:
    schema = subject.schema.get(name)
    if schema_fault(schema) is not None:
        raise NotApplicable(f"{name} of /schema is no JSON Schema")
    return object_of(schema)


def _fits(schema: JsonObject, value: JsonObject) -> None:
    fault = value_fault(schema, value)
    require(fault is None, "what fits the schema", f"{fault}, in {shortened(value)}")


def _fits_envelope(schema: JsonObject, envelope: JsonObject) -> None:
    """Upstream's schemas hold reward and done beside the observation's members, others do not."""
    observation = object_of(envelope.get("observation"))
    whole = {**observation, "reward": envelope.get("reward"), "done": envelope.get("done")}
    if value_fault(schema, observation) is not None:
        _fits(schema, whole)


def _same(runs: list[list[JsonValue]], seed: int) -> None:
    for run in runs[1:]:
        for at, (one, two) in enumerate(zip(runs[0], run, strict=False)):
            got = f"at step {at}: {shortened(one)}, then {shortened(two)}"
            same = canonical(one) == canonical(two)
            require(same, f"the same answers for seed {seed}", got)
        require(len(run) == len(runs[0]), "episodes of one length", f"{len(runs[0])}, {len(run)}")


def _numbers(value: JsonValue) -> Iterator[float]:
    if isinstance(value, float):
        yield value
    for inner in list_of(value) or list(object_of(value).values()):
        yield from _numbers(inner)


CHECKS = checks_of(globals())
