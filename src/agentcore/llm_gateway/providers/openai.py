"""OpenAI's API, and everything that speaks it: vLLM, SGLang, Ollama, OpenRouter, Portkey."""

from __future__ import annotations

from collections.abc import Mapping

from agentcore.llm_gateway.dialects.messages import MessagesTranslation
from agentcore.llm_gateway.dialects.responses import ResponsesTranslation
from agentcore.llm_gateway.endpoint import json_headers
from agentcore.llm_gateway.models import Dialect
from agentcore.llm_gateway.providers.api import APIProvider
from agentcore.llm_gateway.translation import TranslatedWire
from agentcore.llm_gateway.wire import Wire
from agentcore.llm_gateway.wires.chat import ChatWire
from agentcore.llm_gateway.wires.embeddings import EmbeddingsWire
from agentcore.llm_gateway.wires.responses import ResponsesWire


class OpenAIProvider(APIProvider):
    def wires(self, provider: str) -> Mapping[Dialect, Wire]:
        chat = ChatWire(provider)
        # Newer models know the limit by its newer name alone, and take no thoughts back.
        messages = MessagesTranslation(provider, limit="max_completion_tokens", thoughts="")
        return {
            "chat": chat,
            "responses": ResponsesWire(provider),
            "embeddings": EmbeddingsWire(provider),
            "messages": TranslatedWire(chat, messages),
        }


class CompatibleProvider(APIProvider):
    """Servers that have taken over OpenAI's older APIs."""

    def wires(self, provider: str) -> Mapping[Dialect, Wire]:
        chat = ChatWire(provider)
        return {
            "chat": chat,
            "responses": TranslatedWire(chat, ResponsesTranslation(provider)),
            "embeddings": EmbeddingsWire(provider),
            "messages": TranslatedWire(chat, MessagesTranslation(provider)),
        }


class PortkeyProvider(CompatibleProvider):
    """Portkey's service, which keeps the authorization for the provider behind it."""

    @staticmethod
    def headers(api_key: str | None) -> Mapping[str, str]:
        plain = json_headers(None)
        return plain if api_key is None else {**plain, "x-portkey-api-key": api_key}
