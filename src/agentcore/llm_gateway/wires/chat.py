"""Chat completions over OpenAI's API and everything that speaks it: bytes pass through."""

from __future__ import annotations

from agentcore.llm_gateway.chat_wire import failure_of, parse_answer, upstream_body, usage_of
from agentcore.llm_gateway.errors import UpstreamError
from agentcore.llm_gateway.models import ChatCall
from agentcore.llm_gateway.sse import EventScanner
from agentcore.llm_gateway.wire import PlainReply, Scanner


class ChatWire:
    """``prefix`` is what stands between the provider's base URL and ``/chat/completions``."""

    def __init__(self, provider: str, *, prefix: str = "") -> None:
        self._provider = provider
        self._path = f"{prefix}/chat/completions"

    def path(self, call: ChatCall, model: str) -> str:
        return self._path

    def request(self, call: ChatCall, model: str) -> bytes:
        return upstream_body(call, model)

    def answer(self, raw: bytes, call: ChatCall) -> PlainReply:
        document = parse_answer(raw, self._provider)
        return PlainReply(raw, document, usage_of(document.get("usage")))

    def scanner(self, call: ChatCall) -> Scanner:
        return EventScanner(self._provider, strip_usage=not call.wants_usage)

    def failure(self, status: int, raw: bytes, *, retry_after: float | None) -> UpstreamError:
        return failure_of(status, raw, self._provider, retry_after=retry_after)
