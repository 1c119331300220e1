"""OpenAI's API, and everything that speaks it: vLLM, SGLang, Ollama, OpenRouter, Portkey."""

from __future__ import annotations

from collections.abc import Mapping

from agentcore.kit.clock import Clock
from agentcore.llm_gateway.admission import Gate
from agentcore.llm_gateway.clearance import Destination
from agentcore.llm_gateway.dialects.messages import MessagesTranslation
from agentcore.llm_gateway.dialects.responses import ResponsesTranslation
from agentcore.llm_gateway.endpoint import Endpoint, json_headers
from agentcore.llm_gateway.models import ASK, DEFAULT_TIMEOUTS, Dialect, Timeouts
from agentcore.llm_gateway.providers.api import APIProvider
from agentcore.llm_gateway.translation import TranslatedWire
from agentcore.llm_gateway.transport import ConnectionPool, Transport
from agentcore.llm_gateway.wire import Wire
from agentcore.llm_gateway.wires.chat import ChatWire
from agentcore.llm_gateway.wires.embeddings import EmbeddingsWire
from agentcore.llm_gateway.wires.responses import ResponsesWire

OPENAI = Destination("openai")


class OpenAIProvider(APIProvider):
    """``base_url`` goes up to and with ``/v1``."""

    def __init__(
        self,
        base_url: str,
        *,
        pool: ConnectionPool,
        clock: Clock,
        gate: Gate,
        destination: Destination = OPENAI,
        api_key: str | None = None,
        models: Mapping[str, str] = ASK,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
    ) -> None:
        transport = Transport(
            pool,
            base_url,
            provider=destination.name,
            connect_seconds=timeouts.connect,
            headers=json_headers(api_key),
        )
        endpoint = Endpoint(
            transport,
            self.wires(destination.name),
            provider=destination.name,
            timeouts=timeouts,
            clock=clock,
            gate=gate,
        )
        super().__init__(destination, clock, endpoint=endpoint, models=models)

    @staticmethod
    def wires(provider: str) -> Mapping[Dialect, Wire]:
        chat = ChatWire(provider)
        # Newer models know the limit by its newer name alone, and take no thoughts back.
        messages = MessagesTranslation(provider, limit="max_completion_tokens", thoughts="")
        return {
            "chat": chat,
            "responses": ResponsesWire(provider),
            "embeddings": EmbeddingsWire(provider),
            "messages": TranslatedWire(chat, messages),
        }


class CompatibleProvider(OpenAIProvider):
    """Servers that have taken over OpenAI's older APIs."""

    @staticmethod
    def wires(provider: str) -> Mapping[Dialect, Wire]:
        chat = ChatWire(provider)
        return {
            "chat": chat,
            "responses": TranslatedWire(chat, ResponsesTranslation(provider)),
            "embeddings": EmbeddingsWire(provider),
            "messages": TranslatedWire(chat, MessagesTranslation(provider)),
        }
