"""What traces say about bullets: each was shown some of them and then succeeded or failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from pydantic import JsonValue

from agentcore.ace.content import Draft
from agentcore.ace.models import ExecutionTrace
from agentcore.ace.ops import Tag


def rendered_in(trace: ExecutionTrace, playbook_id: str) -> frozenset[str]:
    """The bullets of this playbook that were in the agent's context, by the trace's stamp."""
    stamp = trace.metadata.get("playbook")
    if not isinstance(stamp, dict) or stamp.get("playbook_id") != playbook_id:
        return frozenset()
    bullets = stamp.get("bullets")
    if not isinstance(bullets, list):
        return frozenset()
    return frozenset(bullet for bullet in bullets if isinstance(bullet, str))


def folded(
    content: Mapping[str, JsonValue], playbook_id: str, traces: Sequence[ExecutionTrace]
) -> tuple[Tag, ...]:
    """One TAG for each bullet that still exists and that some trace was shown."""
    helpful: Counter[str] = Counter()
    harmful: Counter[str] = Counter()
    for trace in traces:
        (helpful if trace.success else harmful).update(rendered_in(trace, playbook_id))
    return tuple(
        Tag(id=bullet, helpful=helpful[bullet], harmful=harmful[bullet])
        for place in Draft.of(content).bullets()
        if (bullet := place.bullet.id) in helpful or bullet in harmful
    )
