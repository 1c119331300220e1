"""What the scripted model can see: messages, the rules in them and the JSON in them.

The model knows nothing but its prompt. A rule counts when it stands as a playbook bullet,
``- [id] text`` anywhere or ``- text`` below a heading that says playbook, in a message that is
not the model's own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache

from agentcore.kit.jsonvalue import JsonObject, JsonValue

_BULLET = re.compile(r"^\s*[-*]\s+(?:\[(?P<id>[^\]\s]{1,80})\]\s*)?(?P<text>\S.*)$")
_COUNTERS = re.compile(r"^helpful=\d+\s+harmful=\d+\s*::\s*")
_HEADING = re.compile(r"^\s{0,3}(?P<level>#{1,6})\s+(?P<title>.+)$")
_OPENING = re.compile(r"\{(?=\s*[\"}])|\[(?=\s*[\[{\"\]\d-])")
_DECODER = json.JSONDecoder()

# A prompt full of braces that open nothing must not make reading it quadratic.
MAX_FAILED_PARSES = 64
MAX_DEPTH = 6


@dataclass(frozen=True, slots=True)
class Message:
    role: str
    content: str


@dataclass(frozen=True)
class Prompt:
    messages: tuple[Message, ...]

    @property
    def question(self) -> str:
        """The last message that is not the model's own."""
        return next((m.content for m in reversed(self.messages) if m.role != "assistant"), "")

    @cached_property
    def text(self) -> str:
        """All that others wrote."""
        return "\n".join(m.content for m in self.messages if m.role != "assistant")

    @cached_property
    def values(self) -> tuple[JsonValue, ...]:
        """The JSON that others wrote."""
        return tuple(json_values(self.text))

    @cached_property
    def rules(self) -> tuple[str, ...]:
        """The texts of the playbook's bullets, in order."""
        found: list[str] = []
        for message in self.messages:
            if message.role != "assistant":
                found.extend(bullets(message.content))
        return tuple(found)


@lru_cache(maxsize=512)
def bullets(text: str) -> tuple[str, ...]:
    found: list[str] = []
    playbook_level = 0
    for line in text.splitlines():
        if heading := _HEADING.match(line):
            level = len(heading["level"])
            if "playbook" in heading["title"].lower():
                playbook_level = level
            elif level < playbook_level:
                playbook_level = 0
        elif (bullet := _BULLET.match(line)) and (bullet["id"] or playbook_level):
            found.append(_COUNTERS.sub("", bullet["text"]).strip())
    return tuple(found)


def json_values(text: str) -> Iterator[JsonValue]:
    """The JSON objects and arrays that stand in ``text``, outermost only, in order."""
    position, failures = 0, 0
    while failures < MAX_FAILED_PARSES and (opening := _OPENING.search(text, position)):
        try:
            value, position = _DECODER.raw_decode(text, opening.start())
        except (ValueError, RecursionError):
            position, failures = opening.end(), failures + 1
        else:
            yield value


def objects(value: JsonValue, depth: int = 0) -> Iterator[JsonObject]:
    """Every object in ``value``, itself included, outer ones first, to a bounded depth."""
    if depth > MAX_DEPTH:
        return
    if isinstance(value, dict):
        yield value
        for member in value.values():
            if isinstance(member, dict | list):
                yield from objects(member, depth + 1)
    elif isinstance(value, list):
        for item in value:
            yield from objects(item, depth + 1)
