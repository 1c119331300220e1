"""Sessions as a limited good: kept within the limit, and given back however they end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from agentcore.training.openenv.conformance.judging import (
    NotApplicable,
    Violation,
    check,
    checks_of,
    require,
)
from agentcore.training.openenv.conformance.playing import any_action
from agentcore.training.openenv.conformance.subject import PAUSE, Subject
from agentcore.training.openenv.conformance.wire import NoSession, Talk, refusal_of

SECTION = "WS /ws: capacity"
UNTOLD = "the server does not tell its limit: give it with --sessions"
Leave = Callable[[Subject, Talk], Awaitable[None]]


@check("capacity", "One session too many is CAPACITY_REACHED, and one less is not", SECTION)
async def capacity(subject: Subject) -> None:
    most = _limit(subject)
    # Sessions of others are none of ours to end.
    others = await subject.occupied() or 0
    async with AsyncExitStack() as held:
        for number in range(others, most):
            try:
                await held.enter_async_context(subject.session())
            except NoSession as refused:
                if number == others:
                    raise
                raise Violation(f"{most} sessions", f"{number}, then {refused}") from refused
        async with subject.socket() as talk:
            await talk.post("state")
            answer = await talk.next()
            data = refusal_of(answer) or {}
            full = data.get("code") == "CAPACITY_REACHED"
            require(full, f"CAPACITY_REACHED for session {most + 1}", answer)
            told = [data.get("active_sessions"), data.get("max_sessions")]
            require(told == [most, most], f"active_sessions and max_sessions {most}", data)
            code = await talk.closing()
            require(code == 1000, "close code 1000", code)


# Nothing of these checks is open when they begin: a server that is full then has lost slots, which
# the first of the two says and the second leaves to it.
@check("slot-after-close", "A closed session gives its slot back", SECTION)
async def slot_after_close(subject: Subject) -> None:
    await _given_back(subject, _close, first=True)


@check(
    "slot-after-cut", "A session that is cut in the middle of a step gives its slot back", SECTION
)
async def slot_after_cut(subject: Subject) -> None:
    await _given_back(subject, _cut_mid_step, first=False)


async def _close(_: Subject, talk: Talk) -> None:
    await talk.post("close")
    await talk.closing()


async def _cut_mid_step(subject: Subject, talk: Talk) -> None:
    await talk.ask("reset", {"seed": subject.plan.seed})
    await talk.post("step", any_action(subject))
    talk.cut()


async def _given_back(subject: Subject, leave: Leave, *, first: bool) -> None:
    """Open and leave more sessions than there are slots, or watch the server's own count."""
    most, before = subject.sessions, await subject.occupied()
    if most is not None and most <= subject.plan.most_sessions:
        for number in range(most + 1):
            try:
                async with subject.session() as talk:
                    await leave(subject, talk)
            except NoSession as refused:
                full = refused.code == "CAPACITY_REACHED"
                if not full or (number == 0 and not first):
                    raise
                got = f"{refused}, after {number} that were left"
                raise Violation(f"a session, {most} being the limit", got) from refused
    elif before is not None:
        async with subject.session() as talk:
            await leave(subject, talk)
        await _emptied(subject, before)
    else:
        raise NotApplicable(UNTOLD)


async def _emptied(subject: Subject, before: int) -> None:
    active: int | None = None
    for _ in range(1 + round(subject.plan.settle_seconds / PAUSE)):
        active = await subject.occupied()
        if active is None or active <= before:
            return
        await asyncio.sleep(PAUSE)
    raise Violation(f"{before} active sessions, as before", f"{active} of the metadata's capacity")


def _limit(subject: Subject) -> int:
    most = subject.sessions
    if most is None:
        raise NotApplicable(UNTOLD)
    if most > subject.plan.most_sessions:
        bound = subject.plan.most_sessions
        why = f"the server takes {most} sessions, and no more than {bound} are opened"
        raise NotApplicable(f"{why}: raise --most-sessions")
    return most


CHECKS = checks_of(globals())
