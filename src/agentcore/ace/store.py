"""Queries of the context layer.

All repositories of a unit share one transaction: :meth:`ContextStore.run`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TypeVar
from uuid import UUID

from pydantic import JsonValue
from sqlalchemy import (
    DateTime,
    Executable,
    Integer,
    cast,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import IntegrityError

from agentcore.ace.bookings.store import BookingRepository
from agentcore.ace.calibration import WORSE, Proposed
from agentcore.ace.captures.store import REFUSED, Captured, TraceRepository, newer, of_agent
from agentcore.ace.errors import PlaybookDeleted
from agentcore.ace.journal import (
    BESIDE_THE_VERSIONS,
    Entry,
    Kind,
    snapshot_due,
    snapshots_for,
    starts_at,
)
from agentcore.ace.models import ContextPlaybook, EvolutionStatus, ExecutionTrace
from agentcore.ace.ops import Operation, parse_operations
from agentcore.ace.tables.rows.store import (
    MOST_BYTES,
    annotated,
    delta_row,
    entry_of,
    few,
    noted,
    playbook_of,
    rewritten,
    status_written,
)
from agentcore.ace.tables.store import (
    context_deltas,
    context_playbooks,
    evolution_status,
    execution_traces,
)
from agentcore.kit.batches import Batches
from agentcore.kit.db import Database
from agentcore.kit.db_engine import AsyncConnection
from agentcore.kit.supervisor import Supervisor

T = TypeVar("T")
# Versions and what led to them.
Log = list[tuple[int, tuple[Operation, ...]]]
# Rows that are read ahead of a walk.
WALKED = 16
EVOLUTION_LOCK = 0x_ACE_E701

_playbooks, _deltas = context_playbooks.c, context_deltas.c
_traces, _status = execution_traces.c, evolution_status.c
_result_version = cast(_deltas.changes["result_version"].astext, Integer)


class PlaybookRepository:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def of(self, agent_id: str, *, lock: bool = False) -> ContextPlaybook | None:
        """The agent's playbook; with ``lock``, nobody else changes it until the unit ends."""
        query = select(context_playbooks).where(_playbooks.agent_id == agent_id)
        return await self._one(query.with_for_update() if lock else query)

    async def get(self, playbook_id: str) -> ContextPlaybook | None:
        query = select(context_playbooks).where(_playbooks.playbook_id == UUID(playbook_id))
        return await self._one(query)

    async def insert(self, playbook: ContextPlaybook) -> bool:
        """False when the agent has a playbook already."""
        values = playbook.model_dump() | {"playbook_id": UUID(playbook.playbook_id)}
        fresh = upsert(context_playbooks).values(values).on_conflict_do_nothing()
        with of_agent(playbook.agent_id):
            done = await self._connection.execute(fresh.returning(_playbooks.playbook_id))
        return done.first() is not None

    async def advance(
        self, playbook: ContextPlaybook, *, expected: int, **notes: JsonValue
    ) -> bool:
        """Write content and version, and ``notes`` as :meth:`annotate` does.

        False when the row is no longer at version ``expected``.
        """
        done = await self._connection.execute(
            update(context_playbooks)
            .where(
                _playbooks.playbook_id == UUID(playbook.playbook_id), _playbooks.version == expected
            )
            .values(
                content=playbook.content,
                version=playbook.version,
                updated_at=playbook.updated_at,
                **({"metadata": noted(notes)} if notes else {}),
            )
        )
        return done.rowcount == 1

    async def annotate(self, playbook: ContextPlaybook, **notes: JsonValue) -> None:
        """Set members of the metadata; hold the row's lock when they depend on what was there."""
        await self._connection.execute(annotated(playbook, notes))

    async def in_trial(self, *, stale: datetime, now: datetime, limit: int) -> list[str]:
        """Agents with something to try in their environment, longest waiting first.

        Those claimed after ``stale`` are being tried; those that were disturbed get some rest.
        """
        mark = _playbooks.metadata["trial"]
        requested = mark["requested_at"].astext
        claimed = cast(mark["claimed_at"].astext, DateTime(timezone=True))
        resting = cast(mark["resting_until"].astext, DateTime(timezone=True))
        query = select(_playbooks.agent_id).where(
            requested.is_not(None),
            or_(claimed.is_(None), claimed < stale),
            or_(resting.is_(None), resting < now),
        )
        found = await self._connection.execute(query.order_by(requested).limit(limit))
        return list(found.scalars())

    async def delete(self, agent_id: str) -> bool:
        gone = delete(context_playbooks).where(_playbooks.agent_id == agent_id)
        return (await self._connection.execute(gone)).rowcount == 1

    async def _one(self, query: Executable) -> ContextPlaybook | None:
        row = (await self._connection.execute(query)).mappings().first()
        return None if row is None else playbook_of(row)


class DeltaRepository:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def insert(self, entry: Entry) -> bool:
        """False when the id is taken, after waiting for whoever is just taking it.

        Raises:
            PlaybookDeleted: the playbook is gone.
        """
        fresh = upsert(context_deltas).values(delta_row(entry)).on_conflict_do_nothing()
        try:
            done = await self._connection.execute(fresh.returning(_deltas.delta_id))
        except IntegrityError as exc:
            raise PlaybookDeleted(entry.delta.playbook_id) from exc
        return done.first() is not None

    async def insert_all(self, entries: Sequence[Entry]) -> None:
        """Entries with ids that nobody else can have taken."""
        if entries:
            await self._connection.execute(
                insert(context_deltas).values([delta_row(entry) for entry in entries])
            )

    async def get(self, delta_id: str) -> Entry | None:
        query = select(context_deltas).where(_deltas.delta_id == UUID(delta_id))
        row = (await self._connection.execute(query)).mappings().first()
        return None if row is None else entry_of(row)

    async def replace(self, entry: Entry) -> None:
        """Rewrite a row of this id: a booking, an experiment, a delta that was decided about."""
        await self._connection.execute(rewritten(entry))

    async def settle(self, booking: Entry, agent_id: str, cost: Decimal) -> None:
        """:meth:`replace` a booking, and count its cost for the agent; once, whoever else does."""
        grown = func.coalesce(_status.total_cost, 0.0) + float(cost)
        open_yet = _deltas.reasoning != booking.delta.reasoning
        settled = rewritten(booking).where(open_yet).returning(_deltas.delta_id).cte("settled")
        counted = update(evolution_status).where(
            _status.agent_id == agent_id, exists(select(settled.c.delta_id))
        )
        await self._connection.execute(counted.values(total_cost=grown))

    async def versions(
        self,
        playbook_id: str,
        *,
        above: int = 0,
        below: int | None = None,
        limit: int | None = None,
    ) -> list[Entry]:
        """Applied entries whose version lies between the bounds, newest first.

        With ``limit`` fewer large ones of ``MOST_BYTES`` together.
        """
        query = select(context_deltas).where(
            _deltas.playbook_id == UUID(playbook_id), _result_version > above
        )
        if below is not None:
            query = query.where(_result_version < below)
        newest = query.order_by(_result_version.desc())
        found = await self._connection.execute(
            newest if limit is None else few(newest, limit, MOST_BYTES)
        )
        return [entry_of(row) for row in found.mappings()]

    async def walk(self, playbook_id: str, *, above: int) -> AsyncIterator[Entry]:
        """As :meth:`versions`, a few at a time: all of them together may be very large."""
        query = select(context_deltas).where(
            _deltas.playbook_id == UUID(playbook_id), _result_version > above
        )
        query = query.order_by(_result_version.desc())
        async for rows in self._connection.parts(query, WALKED):
            for row in rows:
                yield entry_of(row)

    async def start_of(self, playbook_id: str, version: int) -> Entry | None:
        """The last one up to ``version`` that holds a whole content: a snapshot, or the seed."""
        ids = [UUID(known) for known in snapshots_for(playbook_id, version)]
        found = await self._connection.execute(
            select(context_deltas).where(_deltas.delta_id.in_(ids))
        )
        # A caller may have sent a delta under an id that was meant for a snapshot.
        snapshots = [
            entry for row in found.mappings() if (entry := entry_of(row)).kind == "snapshot"
        ]
        fitting = [entry for entry in snapshots if starts_at(entry) <= version]
        if fitting:
            return max(fitting, key=starts_at)
        first = await self.versions(playbook_id, below=2)
        return next((entry for entry in first if entry.kind == "seed"), None)

    async def stretches(self, playbook_id: str, *, above: int, upto: int) -> AsyncIterator[Log]:
        """What led from version ``above`` to ``upto``, oldest first, a few versions at a time."""
        query = select(_result_version.label("version"), _deltas.changes["ops"].label("ops")).where(
            _deltas.playbook_id == UUID(playbook_id), _result_version.between(above + 1, upto)
        )
        query = query.order_by(_result_version)
        async for rows in self._connection.parts(query, WALKED):
            yield [(row["version"], parse_operations(row["ops"], internal=True)) for row in rows]

    async def page(
        self, playbook_id: str, *, after: str | None, limit: int, kind: Kind | None = None
    ) -> list[Entry]:
        """Newest first, behind the entry ``after``: those of ``kind``, or all but those that
        stand beside the versions. Of large ones fewer, of ``MOST_BYTES`` together.
        """
        found_kind = func.coalesce(_deltas.changes["kind"].astext, "")
        query = select(context_deltas).where(
            _deltas.playbook_id == UUID(playbook_id),
            found_kind.not_in(BESIDE_THE_VERSIONS) if kind is None else found_kind == kind,
        )
        if after is not None:
            edge = select(_deltas.generated_at, _deltas.delta_id).where(
                _deltas.delta_id == UUID(after), _deltas.playbook_id == UUID(playbook_id)
            )
            position = tuple_(_deltas.generated_at, _deltas.delta_id)
            query = query.where(position < edge.scalar_subquery())
        query = query.order_by(_deltas.generated_at.desc(), _deltas.delta_id.desc())
        found = await self._connection.execute(few(query, limit, MOST_BYTES))
        return [entry_of(row) for row in found.mappings()]

    async def proposed(self, playbook_id: str, *, since: datetime, limit: int) -> list[Proposed]:
        """Deltas of models from ``since`` on that were applied or found worse, newest first."""
        decided = _deltas.changes["gate"]["reason"].astext
        query = select(
            _deltas.confidence,
            _deltas.changes["ops"],
            _deltas.changes["inverse"],
            decided,
        ).where(
            _deltas.playbook_id == UUID(playbook_id),
            or_(_deltas.applied.is_(True), decided == WORSE),
            _deltas.generated_at >= since,
            _deltas.changes["model"].astext != "",
        )
        found = await self._connection.execute(
            query.order_by(_deltas.generated_at.desc()).limit(limit)
        )
        return [Proposed.read(*row) for row in found]

    async def keep_snapshot(self, before: ContextPlaybook, after: ContextPlaybook) -> None:
        """Call in each unit that raises a version, behind the entries that did it."""
        if (due := snapshot_due(before, after)) is not None:
            await self.insert(due)

    async def decided(
        self, playbook_id: str, *reasons: str, limit: int | None = None
    ) -> list[Entry]:
        """Deltas that are not applied for one of these reasons, oldest first."""
        query = select(context_deltas).where(
            _deltas.playbook_id == UUID(playbook_id),
            _deltas.applied.is_(False),
            _deltas.changes["gate"]["reason"].astext.in_(reasons),
        )
        query = query.order_by(_deltas.generated_at, _deltas.delta_id).limit(limit)
        found = await self._connection.execute(query)
        return [entry_of(row) for row in found.mappings()]


class StatusRepository:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def get(self, agent_id: str, *, lock: bool = False) -> EvolutionStatus:
        """An agent without a row is idle and has done nothing yet.

        ``lock`` waits for captures of this agent that are under way; later ones wait for this unit.
        """
        query = select(evolution_status).where(_status.agent_id == agent_id)
        if lock:
            query = query.with_for_update()
        row = (await self._connection.execute(query)).mappings().first()
        return EvolutionStatus(agent_id=agent_id) if row is None else EvolutionStatus(**row)

    async def begin(self, agent_id: str) -> None:
        """A row for the agent where it has none.

        Raises:
            UnknownAgent: the agent is gone.
        """
        fresh = upsert(evolution_status).values(agent_id=agent_id).on_conflict_do_nothing()
        with of_agent(agent_id):
            await self._connection.execute(fresh)

    async def count_applied(self, agent_id: str) -> None:
        """One more delta was applied, whatever else is written at the same time."""
        one_more = {"deltas_applied": _status.deltas_applied + 1}
        mine = update(evolution_status).where(_status.agent_id == agent_id)
        await self._connection.execute(mine.values(one_more))

    async def write(self, status: EvolutionStatus) -> None:
        """The whole row but its cost, which :meth:`DeltaRepository.settle` alone counts."""
        with of_agent(status.agent_id):
            await self._connection.execute(status_written(status))

    async def write_beside(
        self, status: EvolutionStatus, playbook: ContextPlaybook, **notes: JsonValue
    ) -> None:
        """:meth:`write`, and :meth:`PlaybookRepository.annotate`, at once."""
        noted = annotated(playbook, notes).cte("noted")
        with of_agent(status.agent_id):
            await self._connection.execute(status_written(status).add_cte(noted))

    async def write_counted(self, status: EvolutionStatus) -> int:
        """:meth:`write`, but ``pending_traces`` are counted now: those after ``last_evolution``."""
        fresh = newer(status.agent_id, status.last_evolution)
        pending = select(func.count()).where(*fresh).scalar_subquery()
        row = status_written(status, pending_traces=pending)
        with of_agent(status.agent_id):
            found = await self._connection.execute(row.returning(_status.pending_traces))
        return int(found.scalar_one())

    async def try_claim(self, agent_id: str) -> bool:
        """The right to decide about the agent's evolution until the unit ends; never waits."""
        key = func.hashtextextended(agent_id, EVOLUTION_LOCK)
        return bool(await self._connection.scalar(select(func.pg_try_advisory_xact_lock(key))))

    async def waiting(
        self, *, interval: int, stale: datetime, now: datetime, limit: int
    ) -> list[str]:
        """Agents with enough new traces or a request, longest unevolved first.

        Those claimed after ``stale`` are in somebody's hands; those that failed get some rest.
        """
        mark = _playbooks.metadata["evolution"]
        claimed = cast(mark["claimed_at"].astext, DateTime(timezone=True))
        resting = cast(mark["resting_until"].astext, DateTime(timezone=True))
        query = (
            select(_status.agent_id)
            .outerjoin(context_playbooks, _playbooks.agent_id == _status.agent_id)
            .where(
                or_(_status.pending_traces >= interval, mark["requested_at"].astext.is_not(None)),
                or_(claimed.is_(None), claimed < stale),
                or_(resting.is_(None), resting < now),
            )
            .order_by(_status.last_evolution.asc().nulls_first())
        )
        return list((await self._connection.execute(query.limit(limit))).scalars())


@dataclass(frozen=True, slots=True)
class Unit:
    """The repositories of one transaction."""

    playbooks: PlaybookRepository
    deltas: DeltaRepository
    traces: TraceRepository
    status: StatusRepository
    bookings: BookingRepository


class ContextStore:
    """Traces that are captured at the same time go to the database together."""

    def __init__(self, database: Database, supervisor: Supervisor) -> None:
        self._database = database
        self._captures = Batches(
            "capture traces",
            self._capture,
            lambda asked: asked[0].trace_id,
            supervisor=supervisor,
            refused=REFUSED,
        )

    async def capture(self, trace: ExecutionTrace, now: datetime) -> Captured | None:
        """None where it is stored; else as ``TraceRepository.capture``, in a unit of its own."""
        return await self._captures.write((trace, now))

    async def run(self, work: Callable[[Unit], Awaitable[T]]) -> T:
        """``work`` in one short transaction, repeated after faults that surely rolled back."""

        async def with_unit(connection: AsyncConnection) -> T:
            return await work(
                Unit(
                    PlaybookRepository(connection),
                    DeltaRepository(connection),
                    TraceRepository(connection),
                    StatusRepository(connection),
                    BookingRepository(connection),
                )
            )

        return await self._database.run(with_unit)

    async def _capture(
        self, asked: Sequence[tuple[ExecutionTrace, datetime]]
    ) -> dict[str, Captured]:
        traces, now = [trace for trace, _ in asked], max(now for _, now in asked)
        captured = await self.run(lambda unit: unit.traces.capture(traces, now))
        return {each.trace.trace_id: each for each in captured}
