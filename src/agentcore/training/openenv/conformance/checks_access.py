"""Who may play, and who may only act."""

from __future__ import annotations

import base64
import binascii

from agentcore.kit.jsonvalue import object_of
from agentcore.training.openenv.conformance.judging import (
    NotApplicable,
    Violation,
    check,
    checks_of,
    require,
)
from agentcore.training.openenv.conformance.playing import reset
from agentcore.training.openenv.conformance.subject import Headers, Subject
from agentcore.training.openenv.conformance.wire import NoSession, refusal_of
from agentcore.training.openenv.describing import bearer

FOREIGN = "https://agentcore-conformance.invalid"
PNG = b"\x89PNG\r\n\x1a\n"


@check("auth", "Nobody opens a session without credentials", "WS /ws: handshake", "should")
async def auth(subject: Subject) -> None:
    offers: dict[str, Headers] = {
        "no credentials": {},
        "a token that is none": bearer("agentcore-conformance-wrong"),
    }
    for said, headers in offers.items():
        admitted = await _lets_in(subject, headers)
        require(not admitted, "a refused session", f"a session for {said}")


@check("origin", "Pages of foreign origins open no session", "WS /ws: handshake", "should")
async def origin(subject: Subject) -> None:
    admitted = await _lets_in(subject, {**subject.headers, "Origin": FOREIGN})
    expected = "a refused handshake: a browser lends every page its user's network"
    require(not admitted, expected, f"a session for {FOREIGN}")


@check("agent-scope", "An agent's token cannot reset", "AgentCore: scopes", "extra")
async def agent_scope(subject: Subject) -> None:
    token = subject.plan.agent_token
    if token is None:
        raise NotApplicable("no agent's token was given: --agent-token")
    try:
        async with subject.session(bearer(token)) as talk:
            answer = await talk.ask("reset", {"seed": subject.plan.seed})
    except NoSession as refused:
        # Who may only act joins a session that an orchestrator has opened.
        if refused.code in {"CAPACITY_REACHED", "FACTORY_ERROR"}:
            raise
        return
    require(refusal_of(answer) is not None, "an error frame for the agent's reset", answer)


@check("render", "render answers with a PNG image, or null", "AgentCore: WS /ws: render", "extra")
async def render(subject: Subject) -> None:
    if "render" not in subject.features:
        raise NotApplicable("the server does not announce render")
    async with subject.session() as talk:
        await reset(talk, subject.plan.seed)
        answer = await talk.ask("render")
    image = object_of(answer.get("data")).get("image", "")
    if answer.get("type") == "render" and image is None:
        return
    try:
        drawn = base64.b64decode(str(image), validate=True)
    except binascii.Error as exc:
        raise Violation("an image in base64", str(answer)[:300]) from exc
    require(drawn.startswith(PNG), "a PNG image", answer)


async def _lets_in(subject: Subject, headers: Headers) -> bool:
    try:
        async with subject.session(headers):
            return True
    except NoSession as refused:
        if refused.code in {"CAPACITY_REACHED", "FACTORY_ERROR"}:
            raise
        return False


CHECKS = checks_of(globals())
