"""Responses over OpenAI's API: bytes pass through, in streams the events do."""

from __future__ import annotations

from agentcore.kit.jsonvalue import JsonObject, object_of
from agentcore.llm_gateway.chat_wire import Counts, error_in, failure_of, json_object, written
from agentcore.llm_gateway.errors import UpstreamError, UpstreamMalformed
from agentcore.llm_gateway.models import ChatCall
from agentcore.llm_gateway.sse import EventReader
from agentcore.llm_gateway.wire import PlainReply, Scanner

COUNTS = Counts("input_tokens", "output_tokens")
WHOLE = frozenset({"response.completed", "response.incomplete"})
# An answer without a status comes from a server that has no others.
WHOLE_STATUS = ("completed", "incomplete", None)


class ResponsesWire:
    def __init__(self, provider: str) -> None:
        self._provider = provider

    def path(self, call: ChatCall, model: str) -> str:
        return "/responses"

    def request(self, call: ChatCall, model: str) -> bytes:
        return written({**call.body, "model": model}, "input")

    def answer(self, raw: bytes, call: ChatCall) -> PlainReply:
        document = json_object(raw, self._provider)
        failure = failure_in(document, self._provider)
        if failure is not None:
            raise failure
        if not isinstance(document.get("output"), list):
            raise self._malformed("answered without output")
        status = document.get("status")
        if status not in WHOLE_STATUS:
            raise self._malformed(f"answered with a response that is {status!r}")
        return PlainReply(raw, document, COUNTS.read(document.get("usage")))

    def scanner(self, call: ChatCall) -> Scanner:
        return ResponseScanner(self._provider)

    def failure(self, status: int, raw: bytes, *, retry_after: float | None) -> UpstreamError:
        return failure_of(status, raw, self._provider, retry_after=retry_after)

    def _malformed(self, what: str) -> UpstreamMalformed:
        return UpstreamMalformed(f"{self._provider} {what}", provider=self._provider)


class ResponseScanner(EventReader):
    """Whole with the event that says how the response ended; ``[DONE]`` is not a part of it."""

    __slots__ = ("_ended",)

    def __init__(self, provider: str) -> None:
        super().__init__(provider)
        self._ended = False

    @property
    def whole(self) -> bool:
        return self._ended

    def _finish(self, event: bytes) -> bytes:
        return event if self._ended else b""

    def _read(self, event: bytes, document: JsonObject) -> bytes:
        kind = document.get("type")
        if not isinstance(kind, str):
            return self._malformed("sent an event without a type")
        if kind.endswith(".delta"):
            self.committed = True
        elif kind in WHOLE:
            self._ended = self.done = self.committed = True
            self.usage = COUNTS.read(object_of(document.get("response")).get("usage"))
        elif kind == "response.failed":
            failed: JsonObject = {**object_of(document.get("response")), "status": "failed"}
            self.failure = failure_in(failed, self._provider)
            return b""
        elif kind == "error":
            # As the API's reference has it; in fact it is mostly nested, as everywhere else.
            self.failure = error_in({"error": document}, self._provider)
            return b""
        elif kind == "response.output_item.done":
            # A search or a thought without words is content, too: it is paid for.
            self.committed = True
        return event


def failure_in(response: JsonObject, provider: str) -> UpstreamError | None:
    """What a response failed of; None where it did not."""
    if response.get("status") == "failed" and response.get("error") is None:
        return error_in({"error": "it gives no reason"}, provider)
    return error_in(response, provider)
