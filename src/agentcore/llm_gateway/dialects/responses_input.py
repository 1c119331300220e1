"""The input of a response as the messages of a chat completion.

A turn of the model is one message there and several items here: its thoughts, its words and its
calls of tools are put together again. Left out is what only tells how an item came about: ``id``,
``status``, ``phase``, annotations and log probabilities of earlier answers.
"""

from __future__ import annotations

import base64
import binascii

import orjson

from agentcore.kit.jsonvalue import JsonObject, JsonValue, list_of, objects_of
from agentcore.llm_gateway.chat_wire import invalid

# A tuple: the value to look for may be anything that JSON knows.
TEXTS = ("input_text", "output_text", "text")
ROLES = {"user": "user", "system": "system", "developer": "system", "assistant": "assistant"}
# Thoughts that their provider signed travel as the opaque part of a reasoning item.
SEAL = "thinking_blocks."
STATELESS = "nothing is kept here: send the items themselves"


def messages_of(instructions: JsonValue, given: JsonValue) -> list[JsonValue]:
    """The conversation, ``instructions`` first.

    Developers' messages become the system's: chat templates of open models know no others.

    Raises:
        InvalidChatRequest: an item or a part of it has no counterpart.
    """
    turns = _Turns()
    if instructions is not None:
        if not isinstance(instructions, str):
            raise invalid("instructions", "must be a text")
        turns.add({"role": "system", "content": instructions})
    if isinstance(given, str):
        turns.add({"role": "user", "content": given})
        return turns.closed()
    for index, item in enumerate(list_of(given)):
        where = f"input[{index}]"
        if not isinstance(item, dict):
            raise invalid(where, "must be an object")
        turns.take(item, where)
    return turns.closed()


def seal(blocks: list[JsonValue]) -> str:
    return SEAL + base64.b64encode(orjson.dumps(blocks)).decode()


class _Turns:
    """``_turn`` is the model's message that is being put together, if one is."""

    def __init__(self) -> None:
        self._messages: list[JsonValue] = []
        self._turn: JsonObject | None = None

    def take(self, item: JsonObject, where: str) -> None:
        kind = item.get("type", "message")
        if kind == "message":
            self._message(item, where)
        elif kind == "reasoning":
            self._thoughts(item)
        elif kind == "function_call":
            self._call(item, where)
        elif kind == "function_call_output":
            self._result(item, where)
        elif kind == "item_reference":
            raise invalid(where, f"refers to the item {item.get('id')!r}", STATELESS)
        else:
            raise invalid(
                f"{where}.type",
                f"is {kind!r}, which chat completions do not have",
                "it is one of: message, reasoning, function_call, function_call_output",
            )

    def add(self, message: JsonObject) -> None:
        self._close()
        self._messages.append(message)

    def closed(self) -> list[JsonValue]:
        self._close()
        return self._messages

    def _message(self, item: JsonObject, where: str) -> None:
        role = ROLES.get(str(item.get("role")))
        if role is None:
            raise invalid(
                f"{where}.role", f"is {item.get('role')!r}", f"it is one of: {', '.join(ROLES)}"
            )
        if role != "assistant":
            self.add({"role": role, "content": _content(item.get("content"), f"{where}.content")})
            return
        turn = self._turn
        if turn is None or turn["content"] is not None or "tool_calls" in turn:
            turn = self._begin()
        parts = item.get("content")
        refusals = [part for part in objects_of(parts) if part.get("type") == "refusal"]
        if refusals:
            turn["refusal"] = "".join(str(part.get("refusal", "")) for part in refusals)
            parts = [part for part in list_of(parts) if part not in refusals]
        if parts or not refusals:
            turn["content"] = _content(parts, f"{where}.content")

    def _thoughts(self, item: JsonObject) -> None:
        """What the model thought, as far as it can be read; other providers' seals cannot."""
        said = objects_of(item.get("content")) or objects_of(item.get("summary"))
        text = "".join(str(part.get("text", "")) for part in said)
        blocks = _unsealed(item.get("encrypted_content"))
        if not text and not blocks:
            return
        turn = self._begin() if self._turn is None else self._turn
        if text:
            turn["reasoning_content"] = f"{turn.get('reasoning_content', '')}{text}"
        if blocks:
            turn["thinking_blocks"] = [*list_of(turn.get("thinking_blocks")), *blocks]

    def _call(self, item: JsonObject, where: str) -> None:
        for name in ("call_id", "name", "arguments"):
            if not isinstance(item.get(name), str):
                raise invalid(f"{where}.{name}", "must be a text")
        turn = self._begin() if self._turn is None else self._turn
        call: JsonObject = {
            "id": item["call_id"],
            "type": "function",
            "function": {"name": item["name"], "arguments": item["arguments"]},
        }
        if item.get("extra_content") is not None:
            call["extra_content"] = item["extra_content"]
        turn["tool_calls"] = [*list_of(turn.get("tool_calls")), call]

    def _result(self, item: JsonObject, where: str) -> None:
        call = item.get("call_id")
        if not isinstance(call, str):
            raise invalid(f"{where}.call_id", "must name the call that was answered")
        content = _content(item.get("output"), f"{where}.output")
        self.add({"role": "tool", "tool_call_id": call, "content": content})

    def _begin(self) -> JsonObject:
        self._close()
        self._turn = {"role": "assistant", "content": None}
        return self._turn

    def _close(self) -> None:
        turn, self._turn = self._turn, None
        if turn is None:
            return
        if turn["content"] is None and "tool_calls" not in turn and "refusal" not in turn:
            turn["content"] = ""
        self._messages.append(turn)


def _content(content: JsonValue, where: str) -> JsonValue:
    """A text, or parts; one text alone is written as such, which every server reads."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise invalid(where, "must be a text or a list of parts")
    parts: list[JsonValue] = []
    for index, part in enumerate(content):
        if not isinstance(part, dict):
            raise invalid(f"{where}[{index}]", "must be an object")
        parts.append(_part(part, f"{where}[{index}]"))
    first = content[0] if len(content) == 1 else None
    if isinstance(first, dict) and set(first) <= {"type", "text", "annotations", "logprobs"}:
        return first.get("text")
    return parts or ""


def _part(part: JsonObject, where: str) -> JsonObject:
    kind = part.get("type")
    if kind in TEXTS:
        if not isinstance(part.get("text"), str):
            raise invalid(f"{where}.text", "must be a text")
        made: JsonObject = {"type": "text", "text": part["text"]}
    elif kind == "input_image":
        made = {"type": "image_url", "image_url": _image(part, where)}
    elif kind == "input_file":
        made = {"type": "file", "file": _file(part, where)}
    elif kind == "input_audio":
        made = {"type": "input_audio", "input_audio": part.get("input_audio")}
    else:
        raise invalid(
            f"{where}.type",
            f"is {kind!r}, which chat completions do not have",
            "it is one of: input_text, input_image, input_file, input_audio, output_text",
        )
    if part.get("prompt_cache_breakpoint") is not None:
        made["prompt_cache_breakpoint"] = part["prompt_cache_breakpoint"]
    return made


def _image(part: JsonObject, where: str) -> JsonObject:
    url = part.get("image_url")
    if not isinstance(url, str) or not url:
        raise invalid(
            f"{where}.image_url", "must be an address or a data URL", "files are not kept here"
        )
    detail = part.get("detail")
    if detail is None:
        return {"url": url}
    return {"url": url, "detail": "high" if detail == "original" else detail}


def _file(part: JsonObject, where: str) -> JsonObject:
    data = part.get("file_data")
    if not isinstance(data, str) or not data:
        raise invalid(
            f"{where}.file_data",
            "must hold the file",
            "files are neither kept nor fetched here: file_id and file_url cannot be carried",
        )
    name = part.get("filename")
    return {"file_data": data} if name is None else {"file_data": data, "filename": name}


def _unsealed(sealed: JsonValue) -> list[JsonValue]:
    if not isinstance(sealed, str) or not sealed.startswith(SEAL):
        return []
    try:
        blocks: JsonValue = orjson.loads(base64.b64decode(sealed[len(SEAL) :], validate=True))
    except (binascii.Error, ValueError):
        return []
    return [block for block in list_of(blocks) if isinstance(block, dict)]
