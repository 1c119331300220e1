"""Reading event streams while their bytes pass through.

Nothing is re-serialised: the reader looks at each event and says which bytes may go on. What it
knows at the end decides whether the stream was whole. ``[DONE]`` alone proves nothing: servers
also send it after an error.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod

import orjson

from agentcore.kit.jsonvalue import JsonObject, JsonValue, loads_leniently
from agentcore.llm_gateway.chat_wire import error_in, usage_of
from agentcore.llm_gateway.errors import UpstreamError, UpstreamMalformed, UpstreamTruncated
from agentcore.llm_gateway.models import TokenUsage

DONE = b"data: [DONE]\n\n"
# An event larger than this is an attack or a bug.
LARGEST_EVENT = 16 * 1024 * 1024
NULL_USAGE = (b',"usage":null', b', "usage": null')
CONTENT = ("content", "tool_calls", "reasoning", "reasoning_content", "refusal", "function_call")
_BOUNDARY = re.compile(rb"\r?\n\r?\n")


class EventReader(ABC):
    """Feed it what arrives; it returns what may be forwarded, whole events only.

    What an event means is the dialect's business: ``_read`` looks at each document, ``_finish``
    at ``[DONE]``, and ``whole`` says whether the answer is complete. ``committed`` turns true with
    the first event that carries content. After a failure nothing more is returned and ``failure``
    says what it was.
    """

    __slots__ = ("_began", "_pending", "_provider", "committed", "done", "failure", "usage")

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._pending = b""
        self._began = False
        self.committed = False
        self.done = False
        self.failure: UpstreamError | None = None
        self.usage: TokenUsage | None = None

    @property
    @abstractmethod
    def whole(self) -> bool:
        """Every part of the answer has come to its end."""

    @abstractmethod
    def _read(self, event: bytes, document: JsonObject) -> bytes:
        """What to forward of ``event``, without the blank line: itself, others, or nothing."""

    def _error(self, document: JsonValue) -> UpstreamError | None:
        """The failure that an event or a bare document reports, if it reports one."""
        if not isinstance(document, dict) or document.get("error") is None:
            return None
        return error_in(document, self._provider)

    def _finish(self, event: bytes) -> bytes:
        """What to forward of ``[DONE]``."""
        return b""

    def _closing(self) -> bytes:
        """What is owed to the caller when the connection has ended behind a whole answer."""
        return b""

    def feed(self, data: bytes) -> bytes:
        if self.failure is not None:
            return b""
        if self._pending:
            data = self._pending + data
        end = _end_of_events(data)
        self._pending = data[end:]
        if len(self._pending) > LARGEST_EVENT:
            self.failure = UpstreamMalformed(
                f"an event of {self._provider} exceeds {LARGEST_EVENT} bytes",
                provider=self._provider,
            )
            return b""
        return self._scan(data[:end]) if end else b""

    def end(self) -> bytes:
        """The stream's end: what is still to be forwarded, and the verdict in ``failure``."""
        rest, self._pending = self._pending.strip(), b""
        out = b""
        if rest and self.failure is None:
            out = self._rest(rest)
        if self.failure is None and not self.whole:
            self.failure = UpstreamTruncated(
                f"the stream of {self._provider} ended before the answer did",
                provider=self._provider,
            )
        return b"" if self.failure is not None else out + self._closing()

    def _rest(self, rest: bytes) -> bytes:
        """Bytes behind the last complete event: a server may omit the last blank line."""
        if self.whole and not _is_complete(rest):
            return b""
        if self._began or _payload(rest) is not None:
            return self._scan(rest + b"\n\n")
        return self._bare(rest)

    def _scan(self, block: bytes) -> bytes:
        """The forwardable part of complete events; ``block`` itself in the common case."""
        events = _BOUNDARY.split(block) if b"\r" in block else block.split(b"\n\n")
        kept: list[bytes] = []
        same = True
        for event in events:
            if not event.strip():
                continue
            passed = self._event(event)
            if self.failure is not None:
                same = False
                break
            same = same and passed is event
            if passed:
                kept.append(passed)
        return block if same else b"".join(event + b"\n\n" for event in kept)

    def _event(self, event: bytes) -> bytes:
        plain = event.startswith(b"data:") and b"\n" not in event
        payload = event[5:].strip() if plain else _payload(event)
        if payload is None:
            if not self._began and event.lstrip().startswith(b"{"):
                return self._bare(event)
            return event
        self._began = True
        if payload == b"[DONE]":
            return self._finish(event)
        try:
            document: JsonValue = orjson.loads(payload)
        except orjson.JSONDecodeError:
            try:
                document = loads_leniently(payload)
            except ValueError:
                return self._malformed("sent an event that is not JSON")
        if not isinstance(document, dict):
            return self._malformed("sent an event that is no object")
        failure = self._error(document)
        if failure is not None:
            self.failure = failure
            return b""
        return self._read(event, document)

    def _bare(self, body: bytes) -> bytes:
        """A body without ``data:`` behind a 200: a JSON error, or no event stream at all."""
        try:
            document: JsonValue = orjson.loads(body)
        except orjson.JSONDecodeError:
            return self._malformed("answered a stream with something that is none")
        self.failure = failure = self._error(document)
        return b"" if failure else self._malformed("answered a stream with a plain document")

    def _malformed(self, what: str) -> bytes:
        self.failure = UpstreamMalformed(f"{self._provider} {what}", provider=self._provider)
        return b""


class EventScanner(EventReader):
    """Chat completions: every choice that began has a finish reason."""

    __slots__ = ("_open", "_strip_usage", "finished")

    def __init__(self, provider: str, *, strip_usage: bool) -> None:
        super().__init__(provider)
        self._strip_usage = strip_usage
        self._open: set[int] = set()
        self.finished = False

    @property
    def whole(self) -> bool:
        return self.finished and not self._open

    def _finish(self, event: bytes) -> bytes:
        again, self.done = self.done, True
        # Forwarded only behind a whole answer; end() tells the caller otherwise.
        return event if self.whole and not again else b""

    def _closing(self) -> bytes:
        return b"" if self.done else DONE

    def _read(self, event: bytes, document: JsonObject) -> bytes:
        if self.done:
            # The caller was told that nothing follows.
            return b""
        choices = document.get("choices")
        if isinstance(choices, list):
            for choice in choices:
                if isinstance(choice, dict):
                    self._choice(choice)
        usage = document.get("usage", 0)
        if usage == 0:
            return event
        if usage is not None:
            self.usage = usage_of(usage) or self.usage
            return b"" if self._strip_usage and not choices else event
        return _without_null_usage(event) if self._strip_usage else event

    def _choice(self, choice: JsonObject) -> None:
        index = choice.get("index", 0)
        key = index if isinstance(index, int) else 0
        if choice.get("finish_reason") is not None:
            self.finished = self.committed = True
            self._open.discard(key)
            return
        self._open.add(key)
        if not self.committed:
            delta = choice.get("delta")
            self.committed = isinstance(delta, dict) and any(delta.get(name) for name in CONTENT)


def _end_of_events(data: bytes) -> int:
    """The length of the leading part of ``data`` that holds only complete events."""
    plain = data.rfind(b"\n\n")
    windows = data.rfind(b"\r\n\r\n")
    return max(plain + 2 if plain >= 0 else 0, windows + 4 if windows >= 0 else 0)


def _payload(event: bytes) -> bytes | None:
    """The data of one event (its lines joined), or None for comments and bare bytes."""
    if event.startswith(b"data:") and b"\n" not in event:
        return event[5:].strip()
    lines = [line[5:].strip() for line in event.splitlines() if line.startswith(b"data:")]
    return b"\n".join(lines) if lines else None


def _is_complete(event: bytes) -> bool:
    payload = _payload(event)
    if payload is None or payload == b"[DONE]":
        return payload is not None
    try:
        orjson.loads(payload)
    except orjson.JSONDecodeError:
        return False
    return True


def _without_null_usage(event: bytes) -> bytes:
    # Quotes inside JSON strings are escaped, so these bytes can only be a member.
    for member in NULL_USAGE:
        if event.count(member) == 1:
            return event.replace(member, b"")
    return event
