"""Reading what models really answer when they were asked for JSON.

Fences, thinking blocks, prose around, a draft before the final answer, trailing commas, raw line
breaks in strings and cut-off output are all common. What is complete is kept; nothing is guessed.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from agentcore.kit.jsonvalue import JsonObject, JsonValue, loads

LONGEST_ANSWER = 60_000
MOST_LISTS = 20
_THINKING = re.compile(
    r"<(think|thinking|reasoning|scratchpad)>.*?(?:</\1>|\Z)", re.DOTALL | re.IGNORECASE
)
# A chat template may have opened the block in the prompt.
_THOUGHT_ENDS = re.compile(r"\A.*</(?:think|thinking|reasoning)>", re.DOTALL | re.IGNORECASE)
_STRING = re.compile(r'("(?:[^"\\]|\\.)*")', re.DOTALL)
_TRAILING_COMMA = re.compile(r",(\s*[}\]])")
_CONTROL = re.compile(r"[\x00-\x1f]")


def deltas_in(answer: str) -> list[JsonObject] | None:
    """The proposals in ``answer``, as :func:`items_in` finds them."""
    return items_in(answer, "deltas")


def items_in(answer: str, name: str) -> list[JsonObject] | None:
    """The items of the last complete ``"name": [...]``; None where the answer holds none.

    Of an answer that breaks off inside its only list, the items that were complete.
    """
    text = _THOUGHT_ENDS.sub("", _THINKING.sub("", answer))[-LONGEST_ANSWER:]
    found: list[JsonObject] | None = None
    for opened in list(re.finditer(rf'"{name}"\s*:\s*\[', text))[-MOST_LISTS:][::-1]:
        items, closed = _items(text, opened.end())
        if closed and items:
            return items
        if found is None or (closed and not found):
            found = items
    return found


def _items(text: str, position: int) -> tuple[list[JsonObject], bool]:
    """The objects of the list that opened before ``position``, and whether it was closed."""
    items: list[JsonObject] = []
    while position < len(text):
        character = text[position]
        if character == "]":
            return items, True
        if character != "{":
            position += 1
            continue
        end = _end_of_object(text, position)
        if end is None:
            break
        item = _parsed(text[position:end])
        if isinstance(item, dict):
            items.append(item)
        position = end
    return items, False


def _end_of_object(text: str, start: int) -> int | None:
    """Behind the bracket that closes the one at ``start``; None when the text ends first."""
    depth, inside, escaped = 0, False, False
    for position in range(start, len(text)):
        character = text[position]
        if escaped:
            escaped = False
        elif inside:
            escaped = character == "\\"
            inside = character != '"'
        elif character == '"':
            inside = True
        elif character in "{[":
            depth += 1
        elif character in "}]":
            depth -= 1
            if depth == 0:
                return position + 1
    return None


def _parsed(raw: str) -> JsonValue:
    repairs: tuple[Callable[[str], str], ...] = (str, _repaired)
    for repair in repairs:
        try:
            return loads(repair(raw))
        except ValueError:
            continue
    return None


def _repaired(raw: str) -> str:
    """Trailing commas dropped outside strings, control characters escaped inside them."""
    parts = _STRING.split(raw)
    for index, part in enumerate(parts):
        if index % 2:
            parts[index] = _CONTROL.sub(lambda found: f"\\u{ord(found.group()):04x}", part)
        else:
            parts[index] = _TRAILING_COMMA.sub(r"\1", part)
    return "".join(parts)
