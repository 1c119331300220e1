"""What a model found in the traces, before anything is proposed.

A reflection stands only on words that stand in a trace. What it says besides is the model's own, is
scrubbed, and is read by the next call as material, never as an instruction.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from agentcore.ace.content import one_line
from agentcore.ace.grounding import evidence_in
from agentcore.ace.salvage import items_in
from agentcore.ace.screening import scrubbed
from agentcore.ace.trace_digest import TraceDigest
from agentcore.kit.jsonvalue import JsonObject

MOST_REFLECTIONS = 8
LONGEST_FINDING = 400
# What a reflection may say, in the words that the method uses.
FINDINGS = ("error_identification", "root_cause_analysis", "correct_approach", "key_insight")


@dataclass(frozen=True, slots=True)
class Reflection:
    """``shown`` is what the next call sees; ``trace_ids`` are the traces that bear it out."""

    shown: JsonObject
    trace_ids: tuple[str, ...]


def reflections_in(answer: str, digests: Sequence[TraceDigest]) -> list[Reflection] | None:
    """Those that traces bear out; None where the answer holds no list of them."""
    items = items_in(answer, "reflections", alone=FINDINGS)
    if items is None:
        return None
    evidence_needed = any(one.texts for one in digests)
    found: list[Reflection] = []
    for item in items[:MOST_REFLECTIONS]:
        quotes, trace_ids = evidence_in(item.get("evidence"), digests)
        findings: JsonObject = {
            name: _finding(value)
            for name in FINDINGS
            if isinstance(value := item.get(name), str) and value.strip()
        }
        if findings and (trace_ids or not evidence_needed):
            shown: JsonObject = {**findings, "evidence": list(quotes)} if quotes else findings
            found.append(Reflection(shown, trace_ids))
    return found


def neutral_in(answer: str, known: Collection[str]) -> frozenset[str]:
    """The bullets among ``known`` that made no difference, as the model says."""
    tagged = (items_in(answer, "bullet_tags") or []) if known else []
    said = {one["id"] for one in tagged if one.get("tag") == "neutral" and _is_name(one.get("id"))}
    return frozenset(name for name in known if name in said)


def _finding(text: str) -> str:
    return scrubbed(one_line(text[: 2 * LONGEST_FINDING]))[:LONGEST_FINDING]


def _is_name(value: JsonValue) -> bool:
    return isinstance(value, str)
