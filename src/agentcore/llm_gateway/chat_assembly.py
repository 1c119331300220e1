"""A chat completion put together from the chunks of its stream, as the plain answer would say it.

Texts, arguments and lists arrive in parts and are joined; of everything else the last word counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from agentcore.kit.jsonvalue import JsonObject, JsonValue

TEXTS: Final = frozenset({"content", "reasoning", "reasoning_content", "refusal"})
# What a tool's call holds, and what of that grows.
CALLED: Final = frozenset({"function", "custom"})
GROWING: Final = frozenset({"name", "arguments", "input"})
# Members of a chunk that the whole answer has in another form.
OWN: Final = frozenset({"choices", "object", "usage"})


class Assembly:
    """``add`` every chunk in order, then ask for the ``document``."""

    def __init__(self) -> None:
        self._head: JsonObject = {}
        self._usage: JsonValue = None
        self._choices: dict[int, _Choice] = {}

    def add(self, chunk: Mapping[str, JsonValue]) -> None:
        for name, value in chunk.items():
            if name not in OWN:
                _keep_last(self._head, name, value)
        self._usage = chunk.get("usage") or self._usage
        choices = chunk.get("choices")
        for part in choices if isinstance(choices, list) else ():
            if isinstance(part, dict):
                index = _index(part)
                self._choices.setdefault(index, _Choice()).add(part)

    def document(self) -> JsonObject:
        choices: list[JsonValue] = [
            self._choices[index].document(index) for index in sorted(self._choices)
        ]
        whole: JsonObject = {**self._head, "object": "chat.completion", "choices": choices}
        if self._usage is not None:
            whole["usage"] = self._usage
        return whole


class _Choice:
    def __init__(self) -> None:
        self._others: JsonObject = {}
        self._message: JsonObject = {"role": "assistant", "content": None}
        self._tools: dict[int, JsonObject] = {}

    def add(self, part: Mapping[str, JsonValue]) -> None:
        for name, value in part.items():
            if name == "logprobs":
                self._others[name] = _joined_lists(self._others.get(name), value)
            elif isinstance(value, list):
                # Such as the tokens' numbers: each chunk has its own.
                known = self._others.get(name)
                self._others[name] = [*known, *value] if isinstance(known, list) else value
            elif name not in {"index", "delta"}:
                _keep_last(self._others, name, value)
        delta = part.get("delta")
        for name, value in delta.items() if isinstance(delta, dict) else ():
            self._tell(name, value)

    def document(self, index: int) -> JsonObject:
        message = dict(self._message)
        if self._tools:
            message["tool_calls"] = [self._tools[place] for place in sorted(self._tools)]
        silent = not message["content"]
        if silent and (self._tools or message.get("function_call") or message.get("refusal")):
            # Streams open with an empty text; the plain answer has none beside its calls.
            message["content"] = None
        return {"index": index, "message": message, **self._others}

    def _tell(self, name: str, value: JsonValue) -> None:
        message = self._message
        if name == "tool_calls" and isinstance(value, list):
            for place, call in enumerate(value):
                if isinstance(call, dict):
                    key = _index(call, place)
                    self._tools[key] = _joined_call(self._tools.get(key, {}), call)
        elif name == "function_call" and isinstance(value, dict):
            known = message.get(name)
            message[name] = _joined_function(known if isinstance(known, dict) else {}, value)
        elif name in TEXTS:
            _append(message, name, value)
        elif isinstance(value, list):
            known = message.get(name)
            message[name] = [*known, *value] if isinstance(known, list) else value
        elif name != "tool_calls":
            _keep_last(message, name, value)


def _joined_call(known: JsonObject, part: JsonObject) -> JsonObject:
    joined = dict(known)
    for name, value in part.items():
        if name in CALLED and isinstance(value, dict):
            before = joined.get(name)
            joined[name] = _joined_function(before if isinstance(before, dict) else {}, value)
        elif name != "index":
            # Some servers repeat the call's id, and some send it empty.
            joined[name] = value or joined.get(name)
    return joined


def _joined_function(known: JsonObject, part: JsonObject) -> JsonObject:
    joined = dict(known)
    for name, value in part.items():
        if name in GROWING:
            _append(joined, name, value)
        else:
            _keep_last(joined, name, value)
    return joined


def _joined_lists(known: JsonValue, part: JsonValue) -> JsonValue:
    """Log probabilities: an object of lists that grow."""
    if not isinstance(part, dict) or not isinstance(known, dict):
        return known if part is None else part
    joined = dict(known)
    for name, value in part.items():
        before = joined.get(name)
        if isinstance(before, list) and isinstance(value, list):
            joined[name] = [*before, *value]
        else:
            _keep_last(joined, name, value)
    return joined


def _append(known: JsonObject, name: str, value: JsonValue) -> None:
    before = known.get(name)
    if isinstance(value, str):
        known[name] = before + value if isinstance(before, str) else value
    else:
        known.setdefault(name, value)


def _keep_last(known: JsonObject, name: str, value: JsonValue) -> None:
    if value is not None or name not in known:
        known[name] = value


def _index(part: Mapping[str, JsonValue], otherwise: int = 0) -> int:
    index = part.get("index")
    return index if isinstance(index, int) else otherwise
