"""Reading what models really answer when they were asked for JSON.

Fences, thinking blocks, prose around, a draft before the final answer, trailing commas, comments,
raw line breaks and wrong escapes in strings, items without the list around them and cut-off output
are all common. What is complete is kept; nothing is guessed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

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
_ESCAPE = re.compile(r"\\(?:([\"\\/bfnrt]|u[0-9a-fA-F]{4})|('))?")
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_LITERAL = re.compile(r"\b(?:True|False|None|NaN)\b")
_LITERALS = {"True": "true", "False": "false", "None": "null", "NaN": "null"}
_OPENING = re.compile(r"[\[{]")
_NEXT = re.compile(r"[{\]]")
# By what a proposal is known that stands alone.
PROPOSAL = frozenset({"changes", "ops"})


def deltas_in(answer: str) -> list[JsonObject] | None:
    """The proposals in ``answer``, as :func:`items_in` finds them."""
    return items_in(answer, "deltas", alone=PROPOSAL)


def items_in(
    answer: str, name: str, *, alone: Collection[str] = frozenset()
) -> list[JsonObject] | None:
    """The items of the last complete ``"name": [...]``; None where the answer holds none.

    Of an answer that breaks off inside its only list, the items that were complete. Where nothing
    is called ``name``, those objects that have a member of ``alone``.
    """
    text = _THOUGHT_ENDS.sub("", _THINKING.sub("", answer))[-LONGEST_ANSWER:]
    found: list[JsonObject] | None = None
    # In whatever quotes, or in none.
    opening = re.compile(rf"\b{name}\W?\s*:\s*(?=[\[{{])", re.IGNORECASE)
    for opened in list(opening.finditer(text))[-MOST_LISTS:][::-1]:
        items, end = _items(text, opened.end())
        if end is not None and items:
            return items
        if found is None or (end is not None and not found):
            found = items
    return _standing_alone(text, alone) if found is None and alone else found


def _standing_alone(text: str, members: Collection[str]) -> list[JsonObject] | None:
    """The items of the last list that has some, else the objects that stand side by side."""
    listed: list[JsonObject] = []
    side_by_side: list[JsonObject] = []
    unclosed, position = 0, 0
    while unclosed < MOST_LISTS and (opened := _OPENING.search(text, position)):
        items, end = _items(text, opened.start())
        items = [item for item in items if not item.keys().isdisjoint(members)]
        if opened.group() == "{":
            side_by_side += items
        else:
            listed = items or listed
        unclosed += end is None
        position = opened.end() if end is None else end
    return listed or side_by_side or None


def _items(text: str, start: int) -> tuple[list[JsonObject], int | None]:
    """The objects of the list at ``start``, or the one object there: who has one item only leaves
    the list away. With where it ends; None when the text ends first.
    """
    items: list[JsonObject] = []
    position = start
    while opened := _NEXT.search(text, position):
        if opened.group() == "]":
            return items, opened.end()
        end = _end_of_object(text, opened.start())
        if end is None:
            break
        item = _parsed(text[opened.start() : end])
        if isinstance(item, dict):
            items.append(item)
        if opened.start() == start:
            return items, end
        position = end
    return items, None


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
    """Comments and trailing commas dropped and Python's literals read outside strings; control
    characters and wrong escapes mended inside them.
    """
    parts = _STRING.split(raw)
    for index, part in enumerate(parts):
        if index % 2:
            mended = _ESCAPE.sub(_escape, part)
            parts[index] = _CONTROL.sub(lambda found: f"\\u{ord(found.group()):04x}", mended)
        else:
            bare = _LITERAL.sub(lambda found: _LITERALS[found.group()], _COMMENT.sub("", part))
            parts[index] = _TRAILING_COMMA.sub(r"\1", bare)
    return "".join(parts)


def _escape(found: re.Match[str]) -> str:
    if found[1]:
        return found.group()
    return found[2] or "\\\\"
