"""The turns of a messages request as the messages of a chat completion.

A turn of the user's may hold what tools gave back: each result is a message of its own there.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from agentcore.kit.jsonvalue import JsonObject, JsonValue, object_of, objects_of
from agentcore.llm_gateway.chat_wire import invalid, written
from agentcore.llm_gateway.errors import InvalidChatRequest

# What the assistant has not said. A tuple: a type may be anything that JSON knows.
UNSAID = ("thinking", "redacted_thinking", "tool_use")
FAILED = "Error: "


def messages_of(system: JsonValue, turns: JsonValue, thoughts: str) -> list[JsonValue]:
    """``thoughts`` is the member for what the assistant has thought; empty: it is left out.

    Raises:
        InvalidChatRequest: something in them cannot be expressed; the block at fault is named.
    """
    messages: list[JsonValue] = []
    if system:
        blocks = _blocks(system, "system")
        messages.append({"role": "system", "content": _content(blocks, "system")})
    for at, turn in enumerate(objects_of(turns)):
        where = f"messages.{at}.content"
        blocks = _blocks(turn.get("content"), where)
        if turn.get("role") == "assistant":
            messages += _assistant(blocks, where, thoughts)
        elif turn.get("role") == "user":
            messages += _user(blocks, where)
        else:
            messages.append({"role": "system", "content": _content(blocks, where)})
    return messages


def _blocks(content: JsonValue, where: str) -> list[JsonObject]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if not isinstance(content, list):
        raise invalid(where, "must be a text or a list of blocks")
    return [object_of(block) for block in content]


def _user(blocks: list[JsonObject], where: str) -> Iterator[JsonValue]:
    for is_result, run in groupby(blocks, key=lambda block: block.get("type") == "tool_result"):
        if is_result:
            for block in run:
                yield _result(block, where)
        else:
            yield {"role": "user", "content": _content(list(run), where)}


def _result(block: JsonObject, where: str) -> JsonObject:
    content = _content(_blocks(block.get("content") or "", where), where)
    if block.get("is_error") is True:
        content = _failed(content)
    return {"role": "tool", "tool_call_id": block.get("tool_use_id"), "content": content}


def _failed(content: JsonValue) -> JsonValue:
    """Chat completions have no mark for a tool's failure: it is said in words."""
    if isinstance(content, str):
        return content if content.casefold().startswith("error") else FAILED + content
    told: JsonValue = {"type": "text", "text": FAILED.strip()}
    return [told, *objects_of(content)]


def _assistant(blocks: list[JsonObject], where: str, thoughts: str) -> Iterator[JsonValue]:
    said = [block for block in blocks if block.get("type") not in UNSAID]
    calls: list[JsonValue] = [
        _call(block, where) for block in blocks if block.get("type") == "tool_use"
    ]
    thought = "".join(str(block.get("thinking") or "") for block in blocks)
    message: JsonObject = {"role": "assistant", "content": None}
    if said:
        content = _content(said, where)
        # Not every server's template takes parts here; all of it is one speech anyway.
        texts = [str(part["text"]) for part in objects_of(content) if part["type"] == "text"]
        message["content"] = "".join(texts) if isinstance(content, list) else content
    if calls:
        message["tool_calls"] = calls
    if thought and thoughts:
        message[thoughts] = thought
    if said or len(message) > 2:
        yield message


def _call(block: JsonObject, where: str) -> JsonObject:
    arguments = written(object_of(block.get("input")), f"{where}.input").decode()
    call: JsonObject = {
        "id": block.get("id"),
        "type": "function",
        "function": {"name": block.get("name"), "arguments": arguments},
    }
    if block.get("extra_content") is not None:
        # What its provider must see again with the call, as Gemini's signatures of thoughts.
        call["extra_content"] = block["extra_content"]
    return call


def _content(blocks: list[JsonObject], where: str) -> JsonValue:
    """A single text as it is; every server reads that."""
    parts: list[JsonValue] = [part for block in blocks for part in _parts(block, where)]
    if not parts:
        return ""
    if len(parts) == 1 and object_of(parts[0]).get("type") == "text":
        return object_of(parts[0])["text"]
    return parts


def _parts(block: JsonObject, where: str) -> list[JsonValue]:
    kind = block.get("type")
    if kind == "text":
        return [_text(block.get("text"), where)]
    source = object_of(block.get("source"))
    if kind == "image":
        return [_image(source, where)]
    if kind == "document":
        return _document(block, source, where)
    raise _cannot(where, f"a block of type {kind!r}")


def _text(value: JsonValue, where: str) -> JsonObject:
    if not isinstance(value, str):
        raise invalid(where, f"has {value!r:.80} where there must be a text")
    return {"type": "text", "text": value}


def _image(source: JsonObject, where: str) -> JsonObject:
    address = source.get("url")
    if source.get("type") == "base64":
        address = f"data:{source.get('media_type')};base64,{source.get('data')}"
    elif source.get("type") != "url":
        raise _cannot(where, f"an image from a source of type {source.get('type')!r}")
    return {"type": "image_url", "image_url": {"url": address}}


def _document(block: JsonObject, source: JsonObject, where: str) -> list[JsonValue]:
    kind = source.get("type")
    if kind == "base64":
        data = f"data:{source.get('media_type')};base64,{source.get('data')}"
        name = block.get("title") or "document.pdf"
        return [{"type": "file", "file": {"filename": name, "file_data": data}}]
    if kind == "text":
        return [_text(source.get("data"), where)]
    if kind == "content":
        blocks = _blocks(source.get("content"), where)
        return [part for each in blocks for part in _parts(each, where)]
    raise _cannot(where, f"a document from a source of type {kind!r}")


def _cannot(where: str, what: str) -> InvalidChatRequest:
    return invalid(where, f"has {what}, which chat completions do not have")
