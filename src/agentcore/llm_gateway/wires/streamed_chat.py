"""Chat completions of a server that is always asked for a stream, whatever the caller asked for.

A server notices that its caller left only while it streams; and only a stream shows in time that
nothing comes any more.
"""

from __future__ import annotations

import orjson

from agentcore.kit.jsonvalue import JsonObject, object_in
from agentcore.llm_gateway.chat_assembly import Assembly
from agentcore.llm_gateway.chat_wire import upstream_body
from agentcore.llm_gateway.models import ChatCall
from agentcore.llm_gateway.sse import EventScanner
from agentcore.llm_gateway.wires.chat import ChatWire


class StreamedChatWire(ChatWire):
    def request(self, call: ChatCall, model: str) -> bytes:
        if call.stream:
            return super().request(call, model)
        streamed = call._replace(body={**call.body, "stream": True}, stream=True, wants_usage=False)
        return upstream_body(streamed, model)


class GatheringScanner(EventScanner):
    """Keeps what the chunks say; nothing of them is forwarded.

    A server that does not stream after all has said the plain answer itself.
    """

    __slots__ = ("_assembly", "_plain")

    def __init__(self, provider: str) -> None:
        super().__init__(provider, strip_usage=False)
        self._assembly = Assembly()
        self._plain: bytes | None = None

    @property
    def whole(self) -> bool:
        return self._plain is not None or super().whole

    @property
    def body(self) -> bytes:
        """The plain answer, once the stream is whole."""
        return orjson.dumps(self._assembly.document()) if self._plain is None else self._plain

    def _read(self, event: bytes, document: JsonObject) -> bytes:
        super()._read(event, document)
        self._assembly.add(document)
        return b""

    def _bare(self, body: bytes) -> bytes:
        if isinstance(object_in(body).get("choices"), list):
            self._plain = body
            return b""
        return super()._bare(body)
