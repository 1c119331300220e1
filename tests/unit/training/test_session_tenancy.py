"""Whatever ids callers choose, guess and share: nobody reaches a session that is not theirs."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from agentcore.kit.security import Principal
from agentcore.training.openenv.errors import (
    EnvironmentSessionConflict,
    EnvironmentSessionNotFound,
)
from agentcore.training.openenv.session import EnvironmentSession
from agentcore.training.openenv.sessions import EnvironmentSessions
from tests.fakes.clock import ManualClock
from tests.fakes.environment_sessions import caller, mounted, sessions_at

CALLERS = (caller("ada"), caller("bob"), caller("ada", "other"), caller("bob", "other"))
WHO = st.sampled_from(CALLERS)
# A number stands for the unique id of the session opened so many opens ago.
IDS = st.one_of(st.sampled_from(["a", "b"]), st.integers(1, 4))
ACTS = st.lists(
    st.one_of(
        st.tuples(st.just("open"), WHO, st.none() | IDS, st.booleans()),
        st.tuples(st.sampled_from(["view", "follow", "close"]), WHO, IDS, st.just(value=False)),
    ),
    max_size=14,
)


@pytest.fixture(scope="module")
async def envs() -> AsyncIterator[str]:
    async with mounted(max_sessions=1000) as url:
        yield url


class Model:
    """What each caller may reach under which id."""

    def __init__(self) -> None:
        self.opened: list[EnvironmentSession] = []
        self.living: dict[str, EnvironmentSession] = {}

    def id(self, given: str | int | None) -> str | None:
        if not isinstance(given, int):
            return given
        return self.opened[-given].id if given <= len(self.opened) else "never-opened"

    def own(self, who: Principal, session_id: str) -> EnvironmentSession | None:
        mine = [each for each in self.living.values() if (each.tenant, each.owner) == owner(who)]
        named = [each for each in mine if each.name == session_id]
        return next(iter([*named, *(each for each in mine if each.id == session_id)]), None)

    def reaches(self, who: Principal, session_id: str) -> EnvironmentSession | None:
        found = self.own(who, session_id) or self.living.get(session_id)
        shared = found and found.tenant == who.tenant and who.subject in found.asked.agents
        return found if found and (shared or (found.tenant, found.owner) == owner(who)) else None


def owner(who: Principal) -> tuple[str, str]:
    return who.tenant, who.subject


@settings(
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(acts=ACTS)
# Who shares a session may look at it and not end it, under its id; its name is its owner's.
@example(
    acts=[
        ("open", CALLERS[0], "a", True),
        ("view", CALLERS[1], 1, False),
        ("close", CALLERS[1], 1, False),
        ("close", CALLERS[1], "a", False),
        ("close", CALLERS[2], 1, False),
        ("close", CALLERS[0], 1, False),
    ]
)
async def test_tenancy(
    envs: str, acts: list[tuple[str, Principal, str | int | None, bool]]
) -> None:
    model = Model()
    async with sessions_at(envs, ManualClock()) as sessions:
        for act, who, given_id, shared in acts:
            session_id = model.id(given_id)
            if act == "open":
                await _open(model, sessions, who, session_id, shared=shared)
            else:
                assert session_id is not None
                await _reach(model, sessions, act, who, session_id)
        for who in CALLERS:
            listed = {view.session_id for view in sessions.page(who, limit=100, cursor="").sessions}
            mine = {s.name for s in model.living.values() if (s.tenant, s.owner) == owner(who)}
            assert listed == mine


async def _open(
    model: Model, sessions: EnvironmentSessions, who: Principal, chosen: str | None, *, shared: bool
) -> None:
    agents = ["ada", "bob"] if shared else []
    known = model.own(who, chosen) if chosen else None
    try:
        session = await sessions.open(who, "guess_number", session_id=chosen, agents=agents)
    except EnvironmentSessionConflict:
        assert known is not None
        assert known.asked.agents != frozenset(agents)
        return
    assert known is None or session is known
    if known is None:
        assert session.id not in model.living
        assert (session.tenant, session.owner) == owner(who)
        model.opened.append(session)
        model.living[session.id] = session


async def _reach(
    model: Model, sessions: EnvironmentSessions, act: str, who: Principal, session_id: str
) -> None:
    wanted = model.reaches(who, session_id)
    if act == "close" and wanted is not None and wanted.owner != who.subject:
        wanted = None
    if wanted is None:
        with pytest.raises(EnvironmentSessionNotFound):
            await _do(sessions, act, who, session_id)
        return
    await _do(sessions, act, who, session_id)
    if act == "close":
        del model.living[wanted.id]


async def _do(sessions: EnvironmentSessions, act: str, who: Principal, session_id: str) -> None:
    if act == "view":
        sessions.view(who, session_id)
    elif act == "follow":
        sessions.follow(who, session_id, None)
    else:
        await sessions.close(who, session_id)
