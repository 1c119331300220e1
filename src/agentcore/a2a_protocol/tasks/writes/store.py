"""The two writes of tasks: one begins them, the other adds to them; each for many tasks at once.

Either is one statement that commits by itself. It may be repeated: what it has done once it does
not do again, and says of that task that it was not written now.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from agentcore.a2a_protocol.models.task import TaskEvent, TaskRecord
from agentcore.kit import jsonvalue
from agentcore.kit.db import Database
from agentcore.kit.db_engine import AsyncConnection

# What one faulty item of a batch brings upon all of it: here, on the way, or in the database.
REFUSED = (TypeError, ValueError, DBAPIError)

BEGIN = text("""
WITH fresh AS (
  SELECT * FROM unnest(
    CAST(:task_id AS text[]), CAST(:key AS text[]), CAST(:message AS text[]),
    CAST(:event AS text[]), CAST(:tenant AS text[]), CAST(:owner AS text[]),
    CAST(:agent_id AS text[]), CAST(:context_id AS text[]), CAST(:state AS text[]),
    CAST(:body AS text[]), CAST(:now AS timestamptz[]), CAST(:lease_owner AS text[]),
    CAST(:lease_until AS timestamptz[])
  ) AS f (task_id, key, message, event, tenant, owner, agent_id, context_id, state, body, now,
          lease_owner, lease_until)
), said AS (
  INSERT INTO task_messages (task_id, seq, key, body)
  SELECT task_id, 1, key, message FROM fresh
   -- An agent that is out of service begins nothing; a hosted one has a row for each tenant.
   -- Lookups, not joins: these rows have to stay in their order.
   WHERE COALESCE((
     SELECT status FROM agents
      WHERE agents.agent_id = fresh.agent_id AND agents.tenant = fresh.tenant
   ), 'active') = 'active' AND COALESCE((
     SELECT status FROM agents
      WHERE agents.agent_id = fresh.agent_id || '.' || fresh.tenant
        AND agents.handler = fresh.agent_id AND agents.tenant = fresh.tenant
   ), 'active') = 'active'
  ON CONFLICT DO NOTHING RETURNING task_id
), told AS (
  INSERT INTO task_events (task_id, seq, state, body)
  SELECT task_id, 1, state, event FROM fresh JOIN said USING (task_id)
)
INSERT INTO tasks (task_id, tenant, owner, agent_id, context_id, state, version, body,
                   created_at, updated_at, lease_owner, lease_until)
SELECT task_id, tenant, owner, agent_id, context_id, state, 1, CAST(body AS jsonb),
       now, now, lease_owner, lease_until
  FROM fresh JOIN said USING (task_id)
RETURNING task_id
""")
APPEND = text("""
WITH change AS (
  SELECT * FROM unnest(
    CAST(:task_id AS text[]), CAST(:expected AS bigint[]), CAST(:version AS bigint[]),
    CAST(:state AS text[]), CAST(:body AS text[]), CAST(:now AS timestamptz[]),
    CAST(:lease_owner AS text[]), CAST(:lease_until AS timestamptz[])
  ) AS c (task_id, expected, version, state, body, now, lease_owner, lease_until)
), head AS (
  UPDATE tasks
     SET version = c.version, state = c.state, body = CAST(c.body AS jsonb), updated_at = c.now,
         lease_owner = c.lease_owner, lease_until = c.lease_until
    FROM change AS c
   WHERE tasks.task_id = c.task_id AND tasks.version = c.expected
  RETURNING tasks.task_id
), told AS (
  INSERT INTO task_events (task_id, seq, state, body)
  SELECT each.* FROM head JOIN unnest(
    CAST(:e_task AS text[]), CAST(:e_seq AS bigint[]), CAST(:e_state AS text[]),
    CAST(:e_body AS text[])
  ) AS each (task_id, seq, state, body) ON each.task_id = head.task_id
), replaced AS (
  DELETE FROM task_artifacts
   USING head JOIN unnest(CAST(:r_task AS text[]), CAST(:r_id AS text[])) AS each (task_id, name)
      ON each.task_id = head.task_id
   WHERE task_artifacts.task_id = each.task_id AND task_artifacts.artifact_id = each.name
), made AS (
  INSERT INTO task_artifacts (task_id, seq, artifact_id, body)
  SELECT each.* FROM head JOIN unnest(
    CAST(:a_task AS text[]), CAST(:a_seq AS bigint[]), CAST(:a_id AS text[]),
    CAST(:a_body AS text[])
  ) AS each (task_id, seq, name, body) ON each.task_id = head.task_id
), said AS (
  INSERT INTO task_messages (task_id, seq, key, body)
  SELECT each.* FROM head JOIN unnest(
    CAST(:m_task AS text[]), CAST(:m_seq AS bigint[]), CAST(:m_key AS text[]),
    CAST(:m_body AS text[])
  ) AS each (task_id, seq, key, body) ON each.task_id = head.task_id
)
SELECT task_id FROM head
""")
REPORT = text("""
UPDATE tasks SET reported_at = now()
 WHERE task_id = ANY(CAST(:task_ids AS text[])) AND reported_at IS NULL RETURNING task_id
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row of a task's messages or artifacts; ``name`` is its key or its artifact's id."""

    seq: int
    name: str | None
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """A new task with its first message and event; ``key`` is of the message."""

    record: TaskRecord
    key: str | None
    message: bytes
    event: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """``record`` as it shall be, the ``events`` that lead there, and what they add.

    Rows of artifacts named in ``replaced`` go.
    """

    record: TaskRecord
    events: Sequence[TaskEvent]
    artifacts: Sequence[Row] = ()
    messages: Sequence[Row] = ()
    replaced: Sequence[str] = ()
    expected: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "expected", self.record.version - len(self.events))


async def begin_all(database: Database, new: Sequence[Beginning]) -> set[str]:
    """The ids of those that were written.

    The others' keys have been used before, or their agents take no new tasks.
    """
    # Two processes that write the same keys take them in the same order.
    ordered = sorted(new, key=lambda each: each.key or "")
    rows = await database.settle(BEGIN, _beginnings(ordered))
    return {row["task_id"] for row in rows}


async def append_all(database: Database, changes: Sequence[Change]) -> set[str]:
    """The ids of the tasks that were written; each may be there once.

    Of the others somebody else has written a newer version.
    """
    rows = await database.settle(APPEND, _changes(changes))
    return {row["task_id"] for row in rows}


async def report_all(database: Database, task_ids: Sequence[str]) -> None:
    """All who are told of ends have heard of these."""
    await database.settle(REPORT, {"task_ids": task_ids})


async def append_within(connection: AsyncConnection, changes: Sequence[Change]) -> None:
    """As ``append_all``, as a part of a transaction."""
    await connection.execute(APPEND, _changes(changes))


def _beginnings(new: Sequence[Beginning]) -> dict[str, list[object]]:
    records = [each.record for each in new]
    return {
        "task_id": [record.task_id for record in records],
        "key": [each.key for each in new],
        "message": [each.message.decode() for each in new],
        "event": [each.event.decode() for each in new],
        "tenant": [record.owner.tenant for record in records],
        "owner": [record.owner.subject for record in records],
        "agent_id": [record.agent_id for record in records],
        "context_id": [record.context_id for record in records],
        "state": [record.state.value for record in records],
        "body": [jsonvalue.dumps(record.body).decode() for record in records],
        "now": [record.created_at for record in records],
        "lease_owner": [record.lease_owner for record in records],
        "lease_until": [record.lease_until for record in records],
    }


def _changes(changes: Sequence[Change]) -> dict[str, list[object]]:
    records = [change.record for change in changes]
    events = [(each.record.task_id, event) for each in changes for event in each.events]
    replaced = [(each.record.task_id, name) for each in changes for name in each.replaced]
    return {
        "task_id": [record.task_id for record in records],
        "expected": [change.expected for change in changes],
        "version": [record.version for record in records],
        "state": [record.state.value for record in records],
        "body": [jsonvalue.dumps(record.body).decode() for record in records],
        "now": [record.updated_at for record in records],
        "lease_owner": [record.lease_owner for record in records],
        "lease_until": [record.lease_until for record in records],
        "e_task": [task_id for task_id, _ in events],
        "e_seq": [event.seq for _, event in events],
        "e_state": [event.state and event.state.value for _, event in events],
        "e_body": [event.body.decode() for _, event in events],
        "r_task": [task_id for task_id, _ in replaced],
        "r_id": [name for _, name in replaced],
        **_columns("a", "id", ((each.record.task_id, each.artifacts) for each in changes)),
        **_columns("m", "key", ((each.record.task_id, each.messages) for each in changes)),
    }


def _columns(
    kind: str, name: str, written: Iterable[tuple[str, Sequence[Row]]]
) -> dict[str, list[object]]:
    rows = [(task_id, row) for task_id, each in written for row in each]
    return {
        f"{kind}_task": [task_id for task_id, _ in rows],
        f"{kind}_seq": [row.seq for _, row in rows],
        f"{kind}_{name}": [row.name for _, row in rows],
        f"{kind}_body": [row.body.decode() for _, row in rows],
    }
