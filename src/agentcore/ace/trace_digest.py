"""Traces as the model sees them: scrubbed, shortened, failures first, with short ids.

Evidence that the model quotes is looked up in exactly these texts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from agentcore.ace.content import one_line
from agentcore.ace.models import ExecutionTrace
from agentcore.ace.screening import scrubbed
from agentcore.kit.jsonvalue import JsonObject, dumps

LONGEST_STRING = 400
MOST_ITEMS = 12
DEEPEST = 4
# Kept out of prompts: what AgentCore itself wrote into the metadata, and what only costs tokens.
OWN_KEYS = frozenset({"playbook", "tokens", "cost_usd", "tenant", "principal", "private"})
FAILURES_PER_SUCCESS = 3


@dataclass(frozen=True, slots=True)
class TraceDigest:
    trace_id: str
    shown: JsonObject
    texts: tuple[str, ...]

    @property
    def line(self) -> str:
        return dumps(self.shown).decode()

    def holds(self, quote: str) -> bool:
        return any(quote in text for text in self.texts)


def digest(trace: ExecutionTrace, alias: str) -> TraceDigest:
    shown: JsonObject = {
        "trace_id": alias,
        "success": trace.success,
        "seconds": round(trace.execution_time, 3),
    }
    if trace.output_quality is not None:
        shown["quality"] = round(trace.output_quality, 3)
    if trace.error_message:
        shown["error"] = _short(trace.error_message)
    metadata = {key: value for key, value in trace.metadata.items() if key not in OWN_KEYS}
    if metadata:
        shown["metadata"] = _shrunk(metadata, 0)
    texts = tuple(_texts([shown.get("error"), shown.get("metadata")]))
    return TraceDigest(trace_id=trace.trace_id, shown=shown, texts=texts)


def by_interest(traces: Sequence[ExecutionTrace]) -> Iterator[ExecutionTrace]:
    """Failures, the newest first, with a success among every few of them to compare with."""
    failures = [trace for trace in reversed(traces) if not trace.success]
    successes = [trace for trace in reversed(traces) if trace.success]
    successes.sort(key=lambda trace: 1.0 if trace.output_quality is None else trace.output_quality)
    good = iter(successes)
    for number, trace in enumerate(failures, start=1):
        yield trace
        if number % FAILURES_PER_SUCCESS == 0:
            yield from _one(good)
    yield from good


def _one(items: Iterator[ExecutionTrace]) -> Iterator[ExecutionTrace]:
    found = next(items, None)
    if found is not None:
        yield found


def _short(text: str) -> str:
    clean = one_line(scrubbed(text))
    return clean if len(clean) <= LONGEST_STRING else f"{clean[:LONGEST_STRING]}…"


def _shrunk(value: JsonValue, depth: int) -> JsonValue:
    if isinstance(value, str):
        return _short(value)
    if isinstance(value, list):
        return [_shrunk(item, depth + 1) for item in value[-MOST_ITEMS:]] if depth < DEEPEST else []
    if isinstance(value, dict):
        items = list(value.items())[:MOST_ITEMS] if depth < DEEPEST else []
        return {_short(key): _shrunk(item, depth + 1) for key, item in items}
    return value


def _texts(values: Iterable[JsonValue]) -> Iterator[str]:
    for value in values:
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):
            yield from _texts(value)
        elif isinstance(value, dict):
            yield from value
            yield from _texts(value.values())
