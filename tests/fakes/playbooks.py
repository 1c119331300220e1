"""Playbooks and deltas of which a test names only what it is about."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from agentcore.ace.journal import Entry
from agentcore.ace.models import ContextDelta, ContextPlaybook
from agentcore.ace.ops import Operation, apply, replay
from agentcore.kit.jsonvalue import JsonObject

NOW = datetime(2026, 1, 1, tzinfo=UTC)
# ``:agents`` of them, each with a goal that it shares with others.
MANY_AGENTS = """
INSERT INTO agents (agent_id, tenant, owner, name, version, status, description, capabilities,
                    skills, metadata, created_at, updated_at, last_seen)
SELECT 'agent-' || n, 'north', 'alice', 'a', '1', 'active', '', '[]', '[]', '{}',
       now(), now(), now()
FROM generate_series(1, :agents) n
"""
MANY_PLAYBOOKS = """
INSERT INTO context_playbooks (agent_id, content)
SELECT 'agent-' || n, jsonb_build_object(
  'goals', jsonb_build_array('goal ' || n % 500),
  'playbook', jsonb_build_object('schema', 'ace/1', 'next_id', 21, 'sections', jsonb_build_object(
    'checks', (SELECT jsonb_agg(jsonb_build_object('id', 'b' || k, 'text', repeat('word ', 12)))
               FROM generate_series(1, 20) k))))
FROM generate_series(1, :agents) n
"""


def made_playbook(
    content: JsonObject | None = None, operations: Iterable[Operation] = (), **given: object
) -> ContextPlaybook:
    """Of agent ``a``; ``operations`` have made its version."""
    version = given.get("version", 1)
    assert isinstance(version, int)
    values: dict[str, object] = {
        "playbook_id": "p",
        "agent_id": "a",
        "version": version,
        "content": apply(content or {}, list(operations), version=version).content,
        "created_at": NOW,
        "updated_at": NOW,
    }
    return ContextPlaybook.model_validate(values | given)


def made_delta(changes: JsonObject | None = None, **given: object) -> ContextDelta:
    """A certain one, of playbook ``p`` unless told otherwise."""
    values: dict[str, object] = {
        "delta_id": "first",
        "playbook_id": "p",
        "changes": changes or {},
        "confidence": 1.0,
        "reasoning": "",
        "generated_at": NOW,
    }
    return ContextDelta.model_validate(values | given)


def rebuilt(oldest_first: Sequence[Entry]) -> JsonObject:
    """The content after these entries, the first of which is the seed or a snapshot."""
    first, *rest = oldest_first
    log = [(entry.result_version or 0, entry.operations) for entry in rest]
    return replay(first.delta.changes, log)
