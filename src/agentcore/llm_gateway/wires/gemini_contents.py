"""The messages of a chat completion as Gemini's contents.

https://ai.google.dev/api/caching#Content: turns of the user and of the model, each a list of parts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import orjson

from agentcore.kit.jsonvalue import JsonObject, JsonValue, list_of, object_of
from agentcore.llm_gateway.chat_wire import invalid
from agentcore.llm_gateway.errors import InvalidChatRequest

# What the vendor documents for calls that another model made: Gemini 3 refuses a turn whose first
# call carries no signature.
FOREIGN_SIGNATURE = "skip_thought_signature_validator"
GENERATION = re.compile(r"gemini-(\d+)")
IMAGE_TYPES = {
    "gif": "image/gif",
    "heic": "image/heic",
    "heif": "image/heif",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
}


class Conversation(NamedTuple):
    """``system`` are the parts of the system instruction."""

    system: list[JsonValue]
    contents: list[JsonValue]


def generation_of(model: str) -> int | None:
    """The 3 of ``gemini-3.1-pro``; None for names that do not tell."""
    found = GENERATION.search(model)
    return None if found is None else int(found[1])


def conversation_of(messages: JsonValue, model: str, provider: str) -> Conversation:
    """
    Raises:
        InvalidChatRequest: a message cannot be told to Gemini.
    """
    return _Writer(model, provider).write(messages)


class _Writer:
    def __init__(self, model: str, provider: str) -> None:
        self._provider = provider
        generation = generation_of(model)
        self._signs = generation is None or generation >= 3
        self._system: list[JsonValue] = []
        self._contents: list[JsonValue] = []
        self._parts: list[JsonValue] = []
        self._kind = ""
        self._called: dict[str, JsonValue] = {}

    def write(self, messages: JsonValue) -> Conversation:
        for message in map(object_of, list_of(messages)):
            self._message(message)
        if not self._contents:
            # Gemini wants to be spoken to: instructions alone are taken as the user's words.
            self._add("user", self._system)
            self._system = []
        return Conversation(self._system, self._contents)

    def _message(self, message: Mapping[str, JsonValue]) -> None:
        role = message.get("role")
        if role == "user":
            self._add("user", list(self._heard(message.get("content"))))
        elif role == "assistant":
            self._add("model", self._said(message))
        elif role == "tool":
            self._add("tool", [self._returned(message)])
        elif role in ("system", "developer"):
            self._system += [{"text": text} for text in self._texts(message.get("content"))]
        else:
            raise self._refused(f"have a message of the role {role!r}")

    def _add(self, kind: str, parts: list[JsonValue]) -> None:
        """Turns alternate; what several calls returned must stand together in one of its own."""
        if not parts:
            return
        if kind != self._kind:
            self._kind, self._parts = kind, []
            role = "model" if kind == "model" else "user"
            self._contents.append({"role": role, "parts": self._parts})
        self._parts += parts

    def _heard(self, content: JsonValue) -> Iterator[JsonObject]:
        if isinstance(content, str):
            yield {"text": content}
            return
        for part in map(object_of, list_of(content)):
            match part.get("type"):
                case "text":
                    yield {"text": part.get("text")}
                case "image_url":
                    yield self._image(part.get("image_url"))
                case "input_audio":
                    audio = object_of(part.get("input_audio"))
                    yield inline(f"audio/{audio.get('format')}", audio.get("data"))
                case "file":
                    yield self._file(object_of(part.get("file")))
                case kind:
                    raise self._refused(f"have a part of the type {kind!r}")

    def _image(self, image: JsonValue) -> JsonObject:
        url = image if isinstance(image, str) else object_of(image).get("url")
        if not isinstance(url, str):
            raise self._refused("have an image without a url")
        if url.startswith("data:"):
            return self._data(url)
        if not url.startswith("https://"):
            raise self._refused(
                f"have an image at {url[:60]!r}",
                hint="Gemini fetches images over https only; else send a data: URL",
            )
        ending = url.partition("?")[0].rpartition(".")[2].lower()
        known = IMAGE_TYPES.get(ending)
        there: JsonObject = {"fileUri": url}
        return {"fileData": there if known is None else {"mimeType": known, **there}}

    def _file(self, file: Mapping[str, JsonValue]) -> JsonObject:
        data = file.get("file_data")
        if not isinstance(data, str) or not data.startswith("data:"):
            raise self._refused("have a file that is no data: URL in 'file_data'")
        return self._data(data)

    def _data(self, url: str) -> JsonObject:
        head, _, data = url.partition(",")
        if not head.endswith(";base64"):
            raise self._refused("have a data: URL that is not in base64")
        return inline(head[5:].partition(";")[0], data)

    def _said(self, message: Mapping[str, JsonValue]) -> list[JsonValue]:
        """The model's own words of before: its text, then its calls."""
        signature = signature_of(message)
        texts = [text for text in self._texts(message.get("content"), "refusal") if text]
        parts: list[JsonValue] = [{"text": text} for text in texts]
        if signature is not None:
            last: JsonObject = {"text": texts[-1] if texts else "", "thoughtSignature": signature}
            parts[-1:] = [last]
        for at, call in enumerate(map(object_of, list_of(message.get("tool_calls")))):
            parts.append(self._call(call, first=at == 0))
        return parts

    def _call(self, call: Mapping[str, JsonValue], *, first: bool) -> JsonObject:
        function = object_of(call.get("function"))
        name, written = function.get("name"), function.get("arguments")
        if not isinstance(name, str):
            raise self._refused("have a tool call that names no function")
        told: JsonObject = {"name": name, "args": self._arguments(name, written)}
        known = call.get("id")
        if isinstance(known, str):
            self._called[known] = name
            told = {"id": known, **told}
        signature = signature_of(call)
        if signature is None and first and self._signs:
            signature = FOREIGN_SIGNATURE
        part: JsonObject = {"functionCall": told}
        return part if signature is None else {**part, "thoughtSignature": signature}

    def _arguments(self, name: str, written: JsonValue) -> JsonObject:
        try:
            arguments: JsonValue = orjson.loads(written or "{}") if isinstance(written, str) else {}
        except orjson.JSONDecodeError as exc:
            raise self._refused(f"have a call of {name!r} whose arguments are not JSON") from exc
        if not isinstance(arguments, dict):
            raise self._refused(f"have a call of {name!r} whose arguments are no JSON object")
        return arguments

    def _returned(self, message: Mapping[str, JsonValue]) -> JsonObject:
        """What a tool answered, as it is: a number too long for a float stays what it was."""
        known = message.get("tool_call_id")
        name = self._called.get(known) if isinstance(known, str) else None
        if name is None:
            raise self._refused(f"have a tool's answer to {known!r}, which no call before it names")
        text = "".join(self._texts(message.get("content")))
        return {"functionResponse": {"id": known, "name": name, "response": {"output": text}}}

    def _texts(self, content: JsonValue, other: str = "text") -> Iterator[str]:
        """``other`` is a further kind of part that holds text under its own name."""
        if isinstance(content, str):
            yield content
            return
        for part in map(object_of, list_of(content)):
            kind = part.get("type")
            text = part.get(kind) if isinstance(kind, str) and kind in {"text", other} else None
            if not isinstance(text, str):
                raise self._refused(f"have a part of the type {kind!r} where only text can be")
            yield text

    def _refused(self, what: str, hint: str = "") -> InvalidChatRequest:
        return invalid("messages", f"{what}, which cannot be sent to {self._provider}", hint)


def inline(mime_type: str, data: JsonValue) -> JsonObject:
    return {"inlineData": {"mimeType": mime_type, "data": data}}


def signature_of(holder: Mapping[str, JsonValue]) -> str | None:
    """A thought's signature, where Google's own OpenAI-compatible API has it."""
    extra = object_of(object_of(holder.get("extra_content")).get("google"))
    signature = extra.get("thought_signature")
    return signature if isinstance(signature, str) and signature else None


def signed(signature: str) -> JsonObject:
    """The member that ``signature_of`` reads."""
    return {"google": {"thought_signature": signature}}
