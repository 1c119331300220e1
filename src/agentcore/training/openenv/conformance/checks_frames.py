"""Frames that are wrong: each has its error code, and a session survives them."""

from __future__ import annotations

from agentcore.kit.jsonvalue import JsonObject, list_of, object_of
from agentcore.training.openenv.conformance.judging import (
    NotApplicable,
    Violation,
    check,
    checks_of,
    require,
)
from agentcore.training.openenv.conformance.playing import first_action, reset, state, step
from agentcore.training.openenv.conformance.schemas import filled, unfit
from agentcore.training.openenv.conformance.subject import Subject
from agentcore.training.openenv.conformance.wire import (
    Talk,
    WireFault,
    frame_text,
    refusal_of,
    shortened,
)

ERRORS = "WS /ws: error codes"
NOT_JSON = ("{", "", "nothing")
UNKNOWN = ("{}", '{"type":"fly"}', '{"type":null}')
EXTRA = (
    '{"type":"state","data":{}}',
    '{"type":"close","data":{}}',
    '{"type":"step","data":{},"request_id":"r"}',
    '{"type":"step"}',
    '{"type":"reset","data":[]}',
)
NO_OBJECT: tuple[str | bytes, ...] = ("[]", b"{}")
TWO_MEGABYTES = 2 * 1024 * 1024


@check("invalid-json", "What is no JSON is INVALID_JSON", ERRORS)
async def invalid_json(subject: Subject) -> None:
    for text in NOT_JSON:
        async with subject.session() as talk:
            await refused(talk, text, "INVALID_JSON")


@check("unknown-type", "A frame of no known type is UNKNOWN_TYPE", ERRORS)
async def unknown_type(subject: Subject) -> None:
    for text in UNKNOWN:
        async with subject.session() as talk:
            await refused(talk, text, "UNKNOWN_TYPE")


@check("extra-members", "A frame with too much or too little is VALIDATION_ERROR", ERRORS)
async def extra_members(subject: Subject) -> None:
    for text in EXTRA:
        async with subject.session() as talk:
            data = await refused(talk, text, "VALIDATION_ERROR")
            faults = list_of(data.get("errors"))
            require(bool(faults), "errors that name the members", data)


@check("invalid-action", "An action that does not fit is VALIDATION_ERROR", ERRORS)
async def invalid_action(subject: Subject) -> None:
    wrong = unfit(subject.action_space, first_action(subject))
    if wrong is None:
        raise NotApplicable("the action schema takes everything")
    async with subject.session() as talk:
        await reset(talk, subject.plan.seed)
        data = await refused(talk, frame_text("step", wrong), "VALIDATION_ERROR")
        faults = list_of(data.get("errors"))
        good = all({"loc", "msg", "type"} <= object_of(fault).keys() for fault in faults)
        require(bool(faults) and good, "errors, each with loc, msg and type", data)


@check("survives", "A session survives wrong frames, and they count no step", ERRORS)
async def survives(subject: Subject) -> None:
    action = first_action(subject)
    wrong = unfit(subject.action_space, action)
    invalid = [] if wrong is None else [frame_text("step", wrong)]
    async with subject.session() as untroubled:
        await reset(untroubled, subject.plan.seed)
        await step(untroubled, action)
        wanted = (await state(untroubled)).get("step_count")
    async with subject.session() as talk:
        await reset(talk, subject.plan.seed)
        for text in (*NOT_JSON, *UNKNOWN, *EXTRA, *invalid):
            try:
                await talk.raw(text)
            except WireFault as fault:
                raise Violation("an error frame in an open session", fault.came) from fault
        await step(talk, action)
        count = (await state(talk)).get("step_count")
    require(count == wanted, f"step_count {wanted}, as without the wrong frames", count)


@check("no-object", "What is no JSON object ends the session with SESSION_ERROR", ERRORS, "should")
async def no_object(subject: Subject) -> None:
    for text in NO_OBJECT:
        async with subject.session() as talk:
            await refused(talk, text, "SESSION_ERROR")
            code = await talk.closing()
            require(code == 1000, "close code 1000", code)


@check("close", "close is answered by closing with 1000", "WS /ws: close")
async def close(subject: Subject) -> None:
    async with subject.session() as talk:
        await talk.post("close")
        code = await talk.closing()
    require(code == 1000, "close code 1000 and no frame", code)


@check("large-frame", "A frame of 2 MB is answered and survived", "WS /ws: limits")
async def large_frame(subject: Subject) -> None:
    large = filled(subject.action_space, first_action(subject), "x" * TWO_MEGABYTES)
    async with subject.session() as talk:
        await reset(talk, subject.plan.seed)
        try:
            answer = await talk.ask("step", large)
            await state(talk)
        except WireFault as fault:
            raise Violation("an answer, and a session that goes on", fault.came) from fault
    known = answer.get("type") in {"observation", "error"}
    require(known, "an observation or an error", answer)


async def refused(talk: Talk, text: str | bytes, code: str) -> JsonObject:
    """The ``data`` of the error frame that ``text`` must be answered with."""
    try:
        answer = await talk.raw(text)
    except WireFault as fault:
        raise Violation(f"{code} for {shown(text)}", fault.came) from fault
    data = refusal_of(answer) or {}
    require(data.get("code") == code, f"{code} for {shown(text)}", answer)
    message = data.get("message")
    require(isinstance(message, str) and bool(message), "an error with a message", answer)
    return data


def shown(text: str | bytes) -> str:
    return shortened(text) if isinstance(text, str) else f"the binary frame {text!r}"


CHECKS = checks_of(globals())
