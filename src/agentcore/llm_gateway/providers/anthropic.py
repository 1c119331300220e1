"""Anthropic's API."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from agentcore.llm_gateway.catalogue import Catalogue, models_page
from agentcore.llm_gateway.dialects.responses import ResponsesTranslation
from agentcore.llm_gateway.models import ChatCall, Dialect
from agentcore.llm_gateway.providers.api import APIProvider
from agentcore.llm_gateway.translation import TranslatedWire
from agentcore.llm_gateway.wire import Wire
from agentcore.llm_gateway.wires.anthropic import AnthropicWire
from agentcore.llm_gateway.wires.messages import MessagesWire

VERSION = "2023-06-01"


def beta_header(call: ChatCall) -> bytes:
    """The features that the caller has asked for in a header of the same name."""
    return b"anthropic-beta: %b\r\n" % call.beta.encode("ascii") if call.beta else b""


class AnthropicProvider(APIProvider):
    catalogue = Catalogue("/models?limit=1000", models_page)

    def wires(self, provider: str) -> Mapping[Dialect, Wire]:
        chat = AnthropicWire(provider, self._clock)
        return {
            "chat": chat,
            "responses": TranslatedWire(chat, ResponsesTranslation(provider)),
            "messages": MessagesWire(provider),
        }

    @staticmethod
    def headers(api_key: str | None) -> Mapping[str, str]:
        headers = {"Content-Type": "application/json", "anthropic-version": VERSION}
        return headers if api_key is None else {**headers, "x-api-key": api_key}

    @staticmethod
    def headers_of_call() -> Callable[[ChatCall], bytes]:
        return beta_header
