"""Dialects in terms of chat completions, for providers that do not speak them themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import orjson

from agentcore.kit.jsonvalue import JsonObject, JsonValue
from agentcore.llm_gateway.errors import InvalidChatRequest, UpstreamError, UpstreamRejected
from agentcore.llm_gateway.models import ChatCall, TokenUsage
from agentcore.llm_gateway.replies import chunks_of
from agentcore.llm_gateway.wire import PlainReply, Scanner, Wire


class Events(Protocol):
    """Turns the chunks of one chat completion into events of another dialect, as bytes."""

    def feed(self, chunk: Mapping[str, JsonValue]) -> bytes: ...

    def end(self, usage: TokenUsage | None) -> bytes:
        """The answer is whole: the events that close it."""
        ...


class Translation(Protocol):
    def to_chat(self, body: Mapping[str, JsonValue]) -> JsonObject:
        """The same request as a chat completion.

        Raises:
            InvalidChatRequest: chat completions cannot express it.
        """
        ...

    def answer(self, document: JsonObject, call: ChatCall) -> JsonObject: ...

    def events(self, call: ChatCall) -> Events: ...

    def rejection(self, body: bytes) -> bytes:
        """A provider's complaint about the request, as this dialect writes it."""
        ...


def unsaid(error: InvalidChatRequest, provider: str) -> InvalidChatRequest:
    """The same complaint, with who is asked in a way that cannot express the request."""
    return InvalidChatRequest(
        f"{error.detail}; {provider} is asked by chat completions",
        hint=error.hint,
        **{**error.context, "provider": provider},
    )


class TranslatedWire:
    """Carries a dialect over a wire for chat completions."""

    def __init__(self, chat: Wire, translation: Translation) -> None:
        self._chat = chat
        self._translation = translation

    def path(self, call: ChatCall, model: str) -> str:
        return self._chat.path(call, model)

    def request(self, call: ChatCall, model: str) -> bytes:
        body = self._translation.to_chat(call.body)
        # A stream's closing events tell the usage, whoever asked for it.
        asked = call._replace(body=body, dialect="chat", wants_usage=False)
        return self._chat.request(asked, model)

    def answer(self, raw: bytes, call: ChatCall) -> PlainReply:
        told = self._chat.answer(raw, call)
        document = self._translation.answer(told.document, call)
        return PlainReply(orjson.dumps(document), document, told.usage)

    def scanner(self, call: ChatCall) -> Scanner:
        chat = self._chat.scanner(call._replace(dialect="chat", wants_usage=False))
        return TranslatingScanner(chat, self._translation.events(call))

    def failure(self, status: int, raw: bytes, *, retry_after: float | None) -> UpstreamError:
        failure = self._chat.failure(status, raw, retry_after=retry_after)
        if isinstance(failure, UpstreamRejected):
            failure.body = self._translation.rejection(failure.body)
        return failure


class TranslatingScanner:
    """The events of another dialect, made from the chunks that a chat scanner lets through."""

    def __init__(self, chat: Scanner, events: Events) -> None:
        self._chat = chat
        self._events = events

    @property
    def committed(self) -> bool:
        return self._chat.committed

    @property
    def done(self) -> bool:
        return self._chat.done

    @property
    def failure(self) -> UpstreamError | None:
        return self._chat.failure

    @property
    def usage(self) -> TokenUsage | None:
        return self._chat.usage

    def feed(self, data: bytes) -> bytes:
        return self._translated(self._chat.feed(data))

    def end(self) -> bytes:
        out = self._translated(self._chat.end())
        return b"" if self._chat.failure is not None else out + self._events.end(self._chat.usage)

    def _translated(self, block: bytes) -> bytes:
        return b"".join(map(self._events.feed, chunks_of(block)))
