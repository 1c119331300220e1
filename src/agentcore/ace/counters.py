"""What traces say about bullets: each was shown some of them and then succeeded or failed.

A trace counts for what a bullet said when it was shown. One that has been rewritten since, or taken
back to an older wording, has neither the merits nor the faults of its other texts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from pydantic import JsonValue

from agentcore.ace.content import Draft
from agentcore.ace.experiment import CHAMPION
from agentcore.ace.journal import Entry
from agentcore.ace.models import ContextPlaybook, ExecutionTrace
from agentcore.ace.ops import Extend, Set, Tag, Unset, perform

# Traces of a playbook that has changed more often since count for nothing.
MOST_BEHIND = 500
# Bullets by id at each version that matters.
Texts = Mapping[int, Mapping[str, str]]


def rendered_in(trace: ExecutionTrace, playbook_id: str) -> frozenset[str]:
    """The bullets of this playbook that were in the agent's context, by the trace's stamp."""
    bullets = _stamp(trace, playbook_id).get("bullets")
    if not isinstance(bullets, list):
        return frozenset()
    return frozenset(bullet for bullet in bullets if isinstance(bullet, str))


def version_of(trace: ExecutionTrace, playbook_id: str) -> int | None:
    """The version of this playbook that the agent was shown, by the trace's stamp."""
    version = _stamp(trace, playbook_id).get("version")
    return version if isinstance(version, int) and not isinstance(version, bool) else None


def texts_at(
    playbook: ContextPlaybook, newest_first: Iterable[Entry], versions: Collection[int]
) -> Texts:
    """What the bullets said at each of ``versions``, as far back as the entries lead."""
    draft, version = Draft.of(playbook.content), playbook.version
    found = {version: _texts(draft)} if version in versions else {}
    for entry in newest_first:
        perform(draft, entry.inverse, version=0)
        version = entry.base_version
        if version in versions:
            found[version] = _texts(draft)
    return found


def about_bullets(entry: Entry) -> Entry:
    """What an entry says of bullets, without the owner's keys, which may be large."""
    inverse = tuple(one for one in entry.inverse if not isinstance(one, Set | Unset | Extend))
    delta = entry.delta.model_copy(update={"changes": {}})
    return replace(entry, delta=delta, operations=(), inverse=inverse)


def folded(
    playbook: ContextPlaybook, traces: Sequence[ExecutionTrace], texts: Texts
) -> tuple[Tag, ...]:
    """One TAG for each bullet that some trace was shown as it is now."""
    helpful: Counter[str] = Counter()
    harmful: Counter[str] = Counter()
    now = _texts(Draft.of(playbook.content))
    for trace in traces:
        version = version_of(trace, playbook.playbook_id)
        then = texts.get(version, {}) if version is not None else {}
        shown = rendered_in(trace, playbook.playbook_id)
        same = [bullet for bullet in shown & now.keys() if then.get(bullet) == now[bullet]]
        (helpful if trace.success else harmful).update(same)
    return tuple(
        Tag(id=bullet, helpful=helpful[bullet], harmful=harmful[bullet])
        for bullet in now
        if bullet in helpful or bullet in harmful
    )


def _stamp(trace: ExecutionTrace, playbook_id: str) -> Mapping[str, JsonValue]:
    stamp = trace.metadata.get("playbook")
    ours = (
        isinstance(stamp, dict)
        and stamp.get("playbook_id") == playbook_id
        # The other arm of an experiment showed what no version held.
        and stamp.get("arm", CHAMPION) == CHAMPION
    )
    return stamp if ours and isinstance(stamp, dict) else {}


def _texts(draft: Draft) -> dict[str, str]:
    return {place.bullet.id: place.bullet.text for place in draft.bullets()}
