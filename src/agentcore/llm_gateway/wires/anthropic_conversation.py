"""The messages of a chat completion as Anthropic's: a system prompt, and turns that alternate.

Anthropic's blocks keep their order within a turn; messages of one side that follow each other
become one turn. What tools gave back is said by the user's side.
"""

from __future__ import annotations

import re
import zlib

import orjson

from agentcore.kit.jsonvalue import JsonObject, JsonValue, list_of, object_of, objects_of
from agentcore.llm_gateway.errors import InvalidChatRequest

# Tuples: the values to look for may be anything that JSON knows.
SYSTEM = ("system", "developer")
# Blocks in Anthropic's own form, which clients of its models put among OpenAI's.
OWN_BLOCKS = ("image", "document", "search_result")
TOOL_ID = re.compile(r"[a-zA-Z0-9_-]+")
NOT_IN_TOOL_ID = re.compile(r"[^a-zA-Z0-9_-]")


def conversation(messages: JsonValue) -> tuple[list[JsonValue], list[JsonValue]]:
    """The blocks of the system prompt, and the turns.

    System messages stand in front of everything wherever they were: Anthropic has one such prompt.

    Raises:
        InvalidChatRequest: it cannot be expressed; the message at fault is named.
    """
    system: list[JsonValue] = []
    turns: list[JsonValue] = []
    last = ""
    blocks: list[JsonValue] = []
    for at, message in enumerate(objects_of(messages)):
        role, said = _said(message, f"messages[{at}]")
        if role == "system":
            system += said
        elif role == last:
            blocks += said
        elif said:
            last, blocks = role, said
            turns.append({"role": role, "content": blocks})
    if not turns:
        raise _invalid("messages", "hold nothing but system messages", "add one of the user's")
    return system, turns


def tool_id(given: JsonValue) -> JsonValue:
    """Other vendors' ids of tool calls hold what Anthropic refuses in them."""
    if not isinstance(given, str) or TOOL_ID.fullmatch(given):
        return given
    return f"{NOT_IN_TOOL_ID.sub('_', given)}_{zlib.crc32(given.encode()):08x}"


def _said(message: JsonObject, where: str) -> tuple[str, list[JsonValue]]:
    """Who says what in one message."""
    role = message.get("role")
    if role == "assistant":
        return "assistant", _assistant(message, where)
    if role == "tool":
        return "user", [_result(message, where)]
    if role in SYSTEM:
        return "system", _content(message, where)
    if role == "user":
        # Nothing but emptiness is left for Anthropic to complain about.
        return "user", _content(message, where) or [{"type": "text", "text": ""}]
    raise _invalid(
        where, f"has the role {role!r}", "it is one of: system, developer, user, assistant, tool"
    )


def _assistant(message: JsonObject, where: str) -> list[JsonValue]:
    if message.get("function_call") is not None:
        raise _invalid(where, "has a 'function_call'", "use tool_calls")
    # With what Anthropic signed it can read its own thoughts again; reasoning_content cannot.
    blocks: list[JsonValue] = [
        {name: value for name, value in block.items() if name != "index"}
        for block in objects_of(message.get("thinking_blocks"))
    ]
    if message.get("content") is not None:
        blocks += _content(message, where)
    if message.get("refusal"):
        blocks.append({"type": "text", "text": message["refusal"]})
    return blocks + [_use(object_of(call), where) for call in list_of(message.get("tool_calls"))]


def _use(call: JsonObject, where: str) -> JsonObject:
    function = call.get("function")
    if not isinstance(function, dict):
        raise _invalid(where, f"calls a tool of type {call.get('type')!r}", "functions only")
    given = function.get("arguments")
    try:
        arguments: JsonValue = orjson.loads(given) if isinstance(given, str) and given else {}
    except orjson.JSONDecodeError:
        arguments = None
    if not isinstance(arguments, dict):
        raise _invalid(
            where,
            f"calls {function.get('name')!r} with arguments that are no JSON object",
            "Anthropic takes them parsed",
        )
    used: JsonObject = {
        "type": "tool_use",
        "id": tool_id(call.get("id")),
        "name": function.get("name"),
        "input": arguments,
    }
    return _cached(used, call)


def _result(message: JsonObject, where: str) -> JsonObject:
    result: JsonObject = {
        "type": "tool_result",
        "tool_use_id": tool_id(message.get("tool_call_id")),
        "content": _content({**message, "cache_control": None}, where),
    }
    return _cached(result, message)


def _content(message: JsonObject, where: str) -> list[JsonValue]:
    """Blocks of a message's text or parts; empty texts are none, Anthropic refuses them."""
    content = message.get("content")
    if isinstance(content, str):
        text: JsonObject = {"type": "text", "text": content}
        return [_cached(text, message)] if content else []
    if not isinstance(content, list):
        raise _invalid(where, "needs a 'content'", "a text, or a list of parts")
    blocks = [_part(object_of(part), where) for part in list_of(content)]
    kept: list[JsonValue] = [block for block in blocks if block.get("text") != ""]
    if kept:
        _cached(object_of(kept[-1]), message)
    return kept


def _part(part: JsonObject, where: str) -> JsonObject:
    kind = part.get("type")
    if kind in OWN_BLOCKS:
        return dict(part)
    if kind == "text":
        return _cached({"type": "text", "text": part.get("text")}, part)
    if kind == "refusal":
        return {"type": "text", "text": part.get("refusal")}
    if kind == "image_url":
        image = part.get("image_url")
        source = _image(image if isinstance(image, str) else object_of(image).get("url"), where)
        return _cached({"type": "image", "source": source}, part)
    if kind == "file":
        return _cached(_document(object_of(part.get("file")), where), part)
    raise _invalid(
        where,
        f"has a part of type {kind!r}, which Anthropic's models do not take",
        "they take: text, image_url, file",
    )


def _image(url: JsonValue, where: str) -> JsonObject:
    """Given by address, or in the address itself; ``detail`` is left to Anthropic."""
    address = url if isinstance(url, str) else ""
    if address.startswith(("https://", "http://")):
        return {"type": "url", "url": address}
    media, data = _inside(address)
    if not media.startswith("image/"):
        raise _invalid(
            where, "has an image at no usable address", "use https:// or data:image/...;base64,"
        )
    return {"type": "base64", "media_type": media, "data": data}


def _document(file: JsonObject, where: str) -> JsonObject:
    given = file.get("file_data")
    media, data = _inside(given if isinstance(given, str) else "")
    if media != "application/pdf":
        raise _invalid(
            where,
            "has a file that is not given as data:application/pdf;base64,",
            "Anthropic knows no files that were uploaded to others",
        )
    document: JsonObject = {
        "type": "document",
        "source": {"type": "base64", "media_type": media, "data": data},
    }
    if file.get("filename"):
        document["title"] = file["filename"]
    return document


def _inside(address: str) -> tuple[str, str]:
    """Media type and base64 text of a data address; empty for any other."""
    head, _, data = address.partition(",")
    scheme, _, kind = head.partition(":")
    media, _, coding = kind.partition(";")
    return (media, data) if scheme == "data" and coding.endswith("base64") else ("", "")


def _cached(block: JsonObject, given: JsonObject) -> JsonObject:
    """``block`` with the mark that its prompt shall be cached up to here, where it is set."""
    if given.get("cache_control") is not None:
        block["cache_control"] = given["cache_control"]
    return block


def _invalid(where: str, what: str, hint: str) -> InvalidChatRequest:
    return InvalidChatRequest(f"{where} {what}", hint=hint, param="messages")
