"""The registry's further queries: the search, the moves with their log, and what falls due."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from sqlalchemy import (
    Subquery,
    Text,
    and_,
    any_,
    bindparam,
    case,
    collate,
    delete,
    exists,
    func,
    literal,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql.elements import ColumnElement

from agentcore.a2a_protocol.discovery import (
    CAPABILITY,
    IN_NAME,
    IN_TEXT,
    NAMED,
    SAID,
    Demand,
    Match,
    Wish,
    demands,
    terms,
)
from agentcore.a2a_protocol.models.agent import (
    AgentHealth,
    AgentRecord,
    AgentStatus,
    Happening,
)
from agentcore.a2a_protocol.models.task import RUNNING, TERMINAL
from agentcore.a2a_protocol.store import (
    BY_ID,
    WHOLE,
    agent_of,
    agent_values,
    agents,
    events,
    happening_of,
)
from agentcore.a2a_protocol.tasks.store import tasks
from agentcore.kit.db import Database
from agentcore.kit.db_engine import AsyncConnection

BACKFILL = 200
# What a look at an agent's card changes, and what the card itself.
LOOKED = ("health", "health_reason", "failures", "checked_at", "check_at")
FOLLOWED = (
    "name", "version", "description", "capabilities", "skills", "endpoint", "card", "metadata",
    "card_etag", "updated_at", "terms",
)  # fmt: skip
# So many terms are faster looked for one by one.
FEW = 24


class RegistryStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def search(
        self,
        tenant: str,
        wish: Wish,
        now: datetime,
        *,
        limit: int,
        after: tuple[int, str] | None = None,
        usable: bool = True,
    ) -> list[Match]:
        """Active agents of the tenant that fit, best first, behind the ``after`` of a match.

        Agents that hosted ones answer for are not among them; with ``usable``, neither are those
        that are known not to answer.
        """
        found = _fitting(tenant, wish, now, usable=usable)
        query, by_id = select(found), collate(found.c.agent_id, "C")
        if after is not None:
            query = query.where(tuple_(-found.c.score, by_id) > after)
        page = query.order_by(found.c.score.desc(), by_id).limit(limit).subquery()
        # Cards are read for the page alone.
        whole = select(*WHOLE, page.c.score).join(page, page.c.agent_id == agents.c.agent_id)
        rows = await self._database.rows(whole.order_by(page.c.score.desc(), BY_ID))
        return [Match(agent_of(row).at(now), row["score"]) for row in rows]

    async def statuses(self, agent_ids: Collection[str]) -> Mapping[str, AgentStatus]:
        query = select(agents.c.agent_id, agents.c.status).where(agents.c.agent_id.in_(agent_ids))
        rows = await self._database.rows(query)
        return {row["agent_id"]: AgentStatus(row["status"]) for row in rows}

    async def drained(self, *, began_before: datetime, patient_until: datetime) -> Sequence[str]:
        """Agents whose draining is over: nothing of theirs runs any more.

        A task that waits for its client counts as running, for those that have drained since
        ``patient_until`` or later.
        """
        here = and_(
            tasks.c.tenant == agents.c.tenant,
            tasks.c.agent_id == func.coalesce(agents.c.handler, agents.c.agent_id),
            tasks.c.reported_at.is_(None),
        )
        running = exists().where(here, tasks.c.state.in_(RUNNING))
        unfinished = exists().where(here, tasks.c.state.not_in(TERMINAL))
        query = select(agents.c.agent_id).where(
            agents.c.status == AgentStatus.DRAINING.value,
            agents.c.changed_at <= began_before,
            ~running,
            or_(~unfinished, agents.c.changed_at < patient_until),
        )
        return [row["agent_id"] for row in await self._database.rows(query)]

    async def due_checks(self, now: datetime, until: datetime, limit: int) -> list[AgentRecord]:
        """Remote agents whose card is to be read now, each given to one process until ``until``."""
        picked = (
            select(agents.c.agent_id)
            .where(agents.c.check_at <= now, agents.c.status != AgentStatus.TERMINATED.value)
            .order_by(agents.c.check_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        claim = update(agents).where(agents.c.agent_id.in_(picked)).values(check_at=until)
        return [agent_of(row) for row in await self._database.rows(claim.returning(*WHOLE))]

    async def checked(self, before: AgentRecord, after: AgentRecord) -> bool:
        """Write what a look at the card has shown of the agent's health, and the card if it is new.

        Nothing of it, where the agent was looked at or registered elsewhere since; and nothing but
        the health, where anything else of it has changed since.
        """
        values = agent_values(after)
        looked = and_(agents.c.agent_id == before.agent_id, agents.c.check_at == before.check_at)
        query = update(agents).where(looked).values({name: values[name] for name in LOOKED})
        if after.updated_at == before.updated_at:
            return await self._database.write(query) == 1
        same = query.where(agents.c.updated_at == before.updated_at)
        followed = same.values({name: values[name] for name in FOLLOWED})
        return await self._database.write(followed) == 1 or await self._database.write(query) == 1

    async def untold(
        self, now: datetime, until: datetime, limit: int
    ) -> list[tuple[Happening, AgentRecord]]:
        """What listeners have not heard of, oldest first, each for one process until ``until``."""
        picked = (
            select(events.c.event_id)
            .where(events.c.tell_at <= now)
            .order_by(events.c.event_id)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        claim = (
            update(events)
            .where(events.c.event_id.in_(picked))
            .values(tell_at=until, attempts=events.c.attempts + 1)
            .returning(events)
        )
        found = sorted(map(happening_of, await self._database.rows(claim)), key=_number)
        named = {happening.agent_id for happening in found}
        rows = await self._database.rows(select(*WHOLE).where(agents.c.agent_id.in_(named)))
        known = {row["agent_id"]: agent_of(row) for row in rows}
        return [(each, known[each.agent_id]) for each in found if each.agent_id in known]

    async def prune(self, before: datetime) -> None:
        """Forget lines that are older and have been told."""
        old = and_(events.c.at < before, events.c.tell_at.is_(None))
        await self._database.write(delete(events).where(old))

    async def fill_terms(self) -> int:
        """Index agents that an earlier version has written; how many, until there are none."""

        async def work(connection: AsyncConnection) -> int:
            query = select(*WHOLE).where(agents.c.terms.is_(None)).limit(BACKFILL)
            rows = await connection.execute(query.with_for_update(skip_locked=True))
            found = [agent_of(row) for row in rows.mappings()]
            for agent in found:
                mine = agents.c.agent_id == agent.agent_id
                await connection.execute(
                    update(agents).where(mine).values(terms=sorted(terms(agent)))
                )
            return len(found)

        return await self._database.run(work)

    async def census(self, now: datetime) -> Mapping[tuple[AgentStatus, AgentHealth], int]:
        """How many agents there are of each state and health."""
        health = case(
            (agents.c.expires_at <= now, AgentHealth.SILENT.value),
            (
                and_(agents.c.expires_at > now, agents.c.health == AgentHealth.UNKNOWN.value),
                AgentHealth.HEALTHY.value,
            ),
            else_=agents.c.health,
        ).label("known")
        each = select(agents.c.status, health).subquery()
        query = select(each, func.count().label("count")).group_by(*each.c)
        rows = await self._database.rows(query)
        return {
            (AgentStatus(row["status"]), AgentHealth(row["known"])): row["count"] for row in rows
        }


def _fitting(tenant: str, wish: Wish, now: datetime, *, usable: bool) -> Subquery:
    """The ids of agents that fit, with their scores."""
    asked = demands(wish)
    query = select(agents.c.agent_id, _score(asked).label("score")).where(
        agents.c.tenant == tenant,
        agents.c.status == AgentStatus.ACTIVE.value,
        agents.c.handler.is_(None),
    )
    for demand in asked:
        wanted = bindparam(None, list(demand.weights), type_=ARRAY(Text))
        query = query.where(agents.c.terms.overlap(wanted))
    if usable:
        query = query.where(
            agents.c.health != AgentHealth.UNHEALTHY.value,
            or_(agents.c.expires_at.is_(None), agents.c.expires_at > now),
        )
    return query.subquery()


def _score(asked: Sequence[Demand]) -> ColumnElement[int]:
    """What the terms that an agent has add up to."""
    weights = {term: weight for demand in asked for term, weight in demand.weights.items()}
    if len(weights) <= FEW:
        has = [(literal(term, Text) == any_(agents.c.terms), w) for term, w in weights.items()]
        return sum((case((each, w), else_=0) for each, w in has), start=literal(0))
    # PostgreSQL looks each term of the agent up in a hash table of those that are wanted.
    offered = func.unnest(agents.c.terms).table_valued("term", name="offered").render_derived()
    kind = func.left(offered.c.term, 1)
    weight = case((kind == NAMED, IN_NAME), (kind == SAID, IN_TEXT), else_=CAPABILITY)
    wanted = offered.c.term == any_(bindparam(None, list(weights), type_=ARRAY(Text)))
    return select(func.sum(weight)).where(wanted).correlate(agents).scalar_subquery()


def _number(happening: Happening) -> int:
    return happening.event_id
