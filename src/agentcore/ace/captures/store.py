"""Traces of what agents did, each later than the agent's others before it.

An evolution remembers the last trace that it used by its time, whatever the clocks of replicas say.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Text, cast, func, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.sql.elements import ColumnElement

from agentcore.ace.errors import UnknownAgent
from agentcore.ace.models import ExecutionTrace
from agentcore.ace.tables.rows.store import MOST_BYTES, traces_of
from agentcore.ace.tables.store import execution_traces
from agentcore.kit.db_engine import AsyncConnection
from agentcore.kit.jsonvalue import dumps

# The rows stay locked until the unit ends: traces of one agent are captured in the order of their
# commits. All take them in one order.
COUNT = text("""
INSERT INTO evolution_status (agent_id, pending_traces)
SELECT agent_id, count(*) * :each FROM unnest(CAST(:agent_id AS text[])) AS of (agent_id)
 GROUP BY agent_id ORDER BY agent_id
    ON CONFLICT (agent_id) DO UPDATE
   SET pending_traces = COALESCE(evolution_status.pending_traces, 0) + EXCLUDED.pending_traces
RETURNING agent_id, pending_traces
""")
INSERT = text("""
INSERT INTO execution_traces (trace_id, agent_id, task_id, execution_time, success,
                              output_quality, error_message, metadata, captured_at)
SELECT fresh.trace_id, fresh.agent_id, task_id, execution_time, success,
       output_quality, error_message, CAST(metadata AS jsonb),
       GREATEST(CAST(:now AS timestamptz), last.captured_at + interval '1 microsecond')
         + (place - 1) * interval '1 microsecond'
  FROM unnest(
    CAST(:trace_id AS uuid[]), CAST(:agent_id AS text[]), CAST(:task_id AS text[]),
    CAST(:execution_time AS float8[]), CAST(:success AS boolean[]),
    CAST(:output_quality AS float8[]), CAST(:error_message AS text[]),
    CAST(:metadata AS text[])
  ) WITH ORDINALITY AS fresh (trace_id, agent_id, task_id, execution_time, success,
                              output_quality, error_message, metadata, place)
  LEFT JOIN LATERAL (
    SELECT captured_at FROM execution_traces AS earlier
     WHERE earlier.agent_id = fresh.agent_id ORDER BY captured_at DESC LIMIT 1
  ) AS last ON true
    ON CONFLICT DO NOTHING
RETURNING trace_id, captured_at
""")
_traces = execution_traces.c
# What one trace cannot be stored for.
REFUSED = (UnknownAgent, TypeError, ValueError, DBAPIError)


@dataclass(frozen=True, slots=True)
class Captured:
    """``pending`` is how many traces wait for the agent's next evolution, with this one."""

    trace: ExecutionTrace
    pending: int


class TraceRepository:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def capture(self, traces: Sequence[ExecutionTrace], now: datetime) -> list[Captured]:
        """Store them, captured ``now`` or right after the agent's newest; those that are new.

        Raises:
            UnknownAgent: one of their agents is gone.
        """
        pending = await self._counted(traces, 1)
        found = await self._connection.execute(INSERT, _columns(traces, now))
        times = {str(row.trace_id): row.captured_at for row in found}
        if known := [trace for trace in traces if trace.trace_id not in times]:
            pending |= await self._counted(known, -1)
        fresh = [trace for trace in traces if trace.trace_id in times]
        left = Counter(trace.agent_id for trace in fresh)
        captured = []
        for trace in fresh:
            left[trace.agent_id] -= 1
            stored = trace.model_copy(update={"captured_at": times[trace.trace_id]})
            captured.append(Captured(stored, pending[trace.agent_id] - left[trace.agent_id]))
        return captured

    async def _counted(self, traces: Sequence[ExecutionTrace], each: int) -> dict[str, int]:
        """Count them as pending; how many of their agents' are."""
        agents = [trace.agent_id for trace in traces]
        with of_agent(agents[0]):
            rows = await self._connection.execute(COUNT, {"agent_id": agents, "each": each})
        return {row.agent_id: int(row.pending_traces) for row in rows}

    async def get(self, trace_id: str) -> ExecutionTrace | None:
        query = select(execution_traces).where(_traces.trace_id == UUID(trace_id))
        return next(iter(traces_of(await self._connection.execute(query))), None)

    async def since(
        self, agent_id: str, moment: datetime | None, *, limit: int
    ) -> list[ExecutionTrace]:
        """What was captured after ``moment``, oldest first: ``limit`` traces, or fewer large ones
        of ``MOST_BYTES`` together.
        """
        size = func.octet_length(cast(_traces.metadata, Text)) + func.octet_length(
            func.coalesce(_traces.error_message, "")
        )
        first = select(execution_traces, size.label("size")).where(*newer(agent_id, moment))
        taken = first.order_by(_traces.captured_at).limit(limit).subquery()
        before = func.sum(taken.c.size).over(order_by=taken.c.captured_at) - taken.c.size
        counted = select(taken, before.label("before")).subquery()
        query = select(*(counted.c[column.name] for column in _traces)).where(
            counted.c.before < MOST_BYTES
        )
        found = await self._connection.execute(query.order_by(counted.c.captured_at))
        return traces_of(found)

    async def met_before(self, trace: ExecutionTrace, *, since: datetime) -> bool:
        """Whether another trace of the same task was captured after ``since``."""
        query = select(_traces.trace_id).where(
            *newer(trace.agent_id, since),
            _traces.task_id == trace.task_id,
            _traces.trace_id != UUID(trace.trace_id),
        )
        return (await self._connection.execute(query.limit(1))).first() is not None

    async def count_since(self, agent_id: str, moment: datetime | None) -> int:
        query = select(func.count()).where(*newer(agent_id, moment))
        return int(await self._connection.scalar(query) or 0)


@contextmanager
def of_agent(agent_id: str) -> Iterator[None]:
    try:
        yield
    except IntegrityError as exc:
        raise UnknownAgent(agent_id) from exc


def newer(agent_id: str, moment: datetime | None) -> list[ColumnElement[bool]]:
    mine = [_traces.agent_id == agent_id]
    return mine if moment is None else [*mine, _traces.captured_at > moment]


def _columns(traces: Sequence[ExecutionTrace], now: datetime) -> dict[str, object]:
    return {
        "trace_id": [UUID(trace.trace_id) for trace in traces],
        "agent_id": [trace.agent_id for trace in traces],
        "task_id": [trace.task_id for trace in traces],
        "execution_time": [trace.execution_time for trace in traces],
        "success": [trace.success for trace in traces],
        "output_quality": [trace.output_quality for trace in traces],
        "error_message": [trace.error_message for trace in traces],
        "metadata": [dumps(trace.metadata).decode() for trace in traces],
        "now": now,
    }
