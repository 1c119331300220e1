"""Traces as the model sees them: scrubbed, shortened, failures first, with short ids.

Evidence that the model quotes is looked up in exactly these texts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from pydantic import JsonValue

from agentcore.ace.content import one_line
from agentcore.ace.models import ExecutionTrace
from agentcore.ace.screening import masked, scrubbed
from agentcore.kit.jsonvalue import JsonObject, dumps

LONGEST_STRING = 400
# Of longer texts no more is even looked at: what is masked may make room for what comes behind it.
LONGEST_LOOK = 10 * LONGEST_STRING
MOST_ITEMS = 12
MOST_VALUES = 120
DEEPEST = 4
# From so many digits on, a number may be a card or a telephone.
LONG_NUMBER = 10**8
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
        shown["metadata"] = _Shrinking().shrunk(metadata)
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
    return _cleaned(_beginning(text))


@lru_cache(maxsize=2048)
def _cleaned(text: str) -> str:
    clean = scrubbed(one_line(text))
    return clean if len(clean) <= LONGEST_STRING else f"{clean[:LONGEST_STRING]}…"


def _beginning(text: str) -> str:
    """Without the last word, where it may be half a secret that nobody would know for one."""
    if len(text) <= LONGEST_LOOK:
        return text
    return " ".join(text[:LONGEST_LOOK].split()[:-1])


class _Shrinking:
    """Of one trace: deep, wide and long ones alike cost no more than so many values."""

    def __init__(self) -> None:
        self._left = MOST_VALUES

    def shrunk(self, value: JsonValue, depth: int = 0) -> JsonValue:
        self._left -= 1
        if isinstance(value, str):
            return _short(value)
        if isinstance(value, list):
            inner = value[-MOST_ITEMS:] if depth < DEEPEST else []
            return [self.shrunk(item, depth + 1) for item in inner if self._left > 0]
        if isinstance(value, dict):
            items = list(value.items())[:MOST_ITEMS] if depth < DEEPEST else []
            return {
                _short(key): self.shrunk(masked(key, item), depth + 1)
                for key, item in items
                if self._left > 0
            }
        if isinstance(value, int | float) and abs(value) >= LONG_NUMBER:
            return _short(str(value))
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
