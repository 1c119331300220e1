"""From what a model proposed to what may be judged: known fields only, evidence looked up.

A quote counts when it stands word for word in a trace that the model was shown; it then becomes
the ids of the traces that hold it. Counts, pins and ids are never taken from a model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pydantic import JsonValue

from agentcore.ace.content import one_line
from agentcore.ace.trace_digest import TraceDigest
from agentcore.kit.jsonvalue import JsonObject

SHORTEST_QUOTE = 4
MOST_QUOTES = 10
TRACES_PER_QUOTE = 5
FIELDS = {
    "ADD": ("section", "text"),
    "UPDATE": ("id", "text"),
    "REMOVE": ("id",),
    "MERGE": ("ids", "text"),
    "MOVE": ("id", "section"),
}
BACKED_BY_EVIDENCE = frozenset({"ADD", "UPDATE", "MERGE"})


def grounded(proposal: Mapping[str, JsonValue], digests: Sequence[TraceDigest]) -> JsonObject:
    """The ``changes`` of a proposed delta. ``evidence_required`` says that there was any to give.

    Plain keys, ``{"strategies": ["do this"]}``, become additions to a section of that name.
    """
    changes = proposal.get("changes", {"ops": proposal.get("ops")})
    if isinstance(changes, list):
        changes = {"ops": changes}
    own = proposal.get("evidence")
    operations: list[JsonValue] = [
        {**operation, **_evidence(operation, item.get("evidence", own), digests)}
        for item in _proposed(changes if isinstance(changes, dict) else {})
        if (operation := _known_fields(item))
    ]
    return {"ops": operations, "evidence_required": any(one.texts for one in digests)}


def _proposed(changes: Mapping[str, JsonValue]) -> Iterator[Mapping[str, JsonValue]]:
    if "ops" in changes:
        listed = changes["ops"]
        for item in listed if isinstance(listed, list) else []:
            if isinstance(item, dict):
                yield item
        return
    for section, value in changes.items():
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str):
                yield {"op": "ADD", "section": section, "text": text}


def _known_fields(item: Mapping[str, JsonValue]) -> JsonObject:
    """Empty for an operation that models may not ask for: counting is done from traces."""
    named = item.get("op", item.get("type"))
    name = named.upper() if isinstance(named, str) else ""
    if name not in FIELDS:
        return {}
    kept = {field: item[field] for field in FIELDS[name] if item.get(field) is not None}
    return {"op": name, **kept}


def evidence_in(
    given: JsonValue, digests: Sequence[TraceDigest]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The quotes among ``given`` that stand in traces, and the ids of those traces."""
    held: list[str] = []
    backing: list[str] = []
    for quote in list(_quotes(given))[:MOST_QUOTES]:
        holders = [one.trace_id for one in digests if one.holds(quote)][:TRACES_PER_QUOTE]
        if holders:
            held.append(quote)
            backing += holders
    return tuple(dict.fromkeys(held)), tuple(dict.fromkeys(backing))


def _evidence(
    operation: JsonObject, given: JsonValue, digests: Sequence[TraceDigest]
) -> JsonObject:
    if operation["op"] not in BACKED_BY_EVIDENCE:
        return {}
    _, trace_ids = evidence_in(given, digests)
    return {"evidence": list(trace_ids)}


def _quotes(given: JsonValue) -> Iterator[str]:
    for item in given if isinstance(given, list) else [given]:
        quote = item.get("quote") if isinstance(item, dict) else item
        if isinstance(quote, str) and len(clean := one_line(quote)) >= SHORTEST_QUOTE:
            yield clean
