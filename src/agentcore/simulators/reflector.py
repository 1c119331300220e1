"""REFLECT: read execution traces, find the most frequent failure no rule covers yet, write a rule.

Asked for reflections it says what went wrong, asked for deltas what to change.

Nothing is known beyond the prompt: the failures are counted in the traces that it shows, and a
lesson already taught by one of its playbook bullets is not learned twice.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from agentcore.kit.jsonvalue import JsonObject, JsonValue
from agentcore.simulators.lessons import LESSONS, Lesson, Mistake, knowledge_of
from agentcore.simulators.prompt import Prompt, objects

MAX_DELTAS = 2
MAX_QUOTES = 10
SECTION = "strategies"
# A lesson seen in one trace stays below the customary threshold of 0.7.
BASE_CONFIDENCE, CONFIDENCE_PER_TRACE, TOP_CONFIDENCE = 0.6, 0.05, 0.95

NO_RULES = frozenset({"success", "deltas", "reflections", "key_insight"})
_TRACE_ID_KEYS = ("trace_id", "id")
_PLAIN_QUOTE = re.compile(r'^[^"\\\x00-\x1f]{1,200}$')


@dataclass(slots=True)
class _Support:
    occurrences: int = 0
    quotes: dict[str, str] = field(default_factory=dict[str, str])


def traces_in(prompt: Prompt) -> list[JsonObject] | None:
    """The traces of a prompt that asks for lessons; None when it does not ask."""
    if "deltas" not in prompt.text and "reflections" not in prompt.text:
        return None
    traces = [
        found
        for value in prompt.values
        for found in objects(value)
        if "success" in found and ("trace_id" in found or "metadata" in found)
    ]
    return traces or None


def reflect(prompt: Prompt, traces: list[JsonObject]) -> JsonObject:
    """The answer in the prompt's own format, with at most two deltas; none is an answer too."""
    known = knowledge_of(_known_rules(prompt)).learned
    support = _support(traces)
    missing = [
        lesson for lesson in LESSONS if lesson.mistake in support and lesson.mistake not in known
    ]
    missing.sort(key=lambda lesson: -support[lesson.mistake].occurrences)
    if "deltas" not in prompt.text:
        return {
            "reflections": [
                _reflection(lesson, support[lesson.mistake]) for lesson in missing[:MAX_DELTAS]
            ]
        }
    as_ops = '"ops"' in prompt.text
    return {
        "deltas": [
            _delta(lesson, support[lesson.mistake], as_ops=as_ops)
            for lesson in missing[:MAX_DELTAS]
        ]
    }


def _known_rules(prompt: Prompt) -> tuple[str, ...]:
    """Bullets, and the texts of a playbook that is shown as JSON."""
    shown = [text for value in prompt.values for text in _texts_beside_traces(value)]
    return (*prompt.rules, *shown)


def _texts_beside_traces(value: JsonValue) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _texts_beside_traces(item)
    # Findings, and the prompt's examples of an answer, are no rules.
    elif isinstance(value, dict) and not value.keys() & NO_RULES:
        yield from _texts_beside_traces(list(value.values()))


def _support(traces: list[JsonObject]) -> dict[Mistake, _Support]:
    found: dict[Mistake, _Support] = {}
    for number, trace in enumerate(traces):
        trace_id = next((str(trace[key]) for key in _TRACE_ID_KEYS if key in trace), str(number))
        for note, count in _count(trace, Counter()).items():
            for lesson in LESSONS:
                if match := lesson.evidence.search(note):
                    support = found.setdefault(lesson.mistake, _Support())
                    support.occurrences += count
                    quote = note if _PLAIN_QUOTE.match(note) else match[0]
                    support.quotes.setdefault(trace_id, quote)
    return found


def _count(value: JsonValue, notes: Counter[str]) -> Counter[str]:
    """Every text in ``value`` with how often it occurs, or is said to: ``{"note": 3}`` is three."""
    if isinstance(value, str):
        notes[value] += 1
    elif isinstance(value, list):
        for item in value:
            _count(item, notes)
    elif isinstance(value, dict):
        for key, member in value.items():
            if isinstance(member, int) and not isinstance(member, bool):
                notes[key] += max(member, 1)
            else:
                _count(member, notes)
    return notes


def _reflection(lesson: Lesson, support: _Support) -> JsonObject:
    evidence: list[JsonValue] = [
        {"trace_id": trace_id, "quote": quote}
        for trace_id, quote in sorted(support.quotes.items())[:MAX_QUOTES]
    ]
    return {
        "error_identification": f"{support.occurrences} failures share one cause.",
        "root_cause_analysis": "No rule of the playbook covers it yet.",
        "correct_approach": lesson.rule,
        "key_insight": lesson.rule,
        "evidence": evidence,
    }


def _delta(lesson: Lesson, support: _Support, *, as_ops: bool) -> JsonObject:
    evidence: list[JsonValue] = [
        {"trace_id": trace_id, "quote": quote}
        for trace_id, quote in sorted(support.quotes.items())[:3]
    ]
    op: JsonObject = {"op": "ADD", "section": SECTION, "text": lesson.rule, "evidence": evidence}
    traces = len(support.quotes)
    confidence = min(TOP_CONFIDENCE, BASE_CONFIDENCE + CONFIDENCE_PER_TRACE * traces)
    return {
        "changes": {"ops": [op]} if as_ops else {SECTION: [lesson.rule]},
        "confidence": round(confidence, 2),
        "reasoning": (
            f"{support.occurrences} failures in {traces} traces share one cause that no rule of "
            "the playbook covers yet; the rule names what would have avoided it."
        ),
    }
