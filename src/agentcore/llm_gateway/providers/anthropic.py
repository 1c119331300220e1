"""Anthropic's API."""

from __future__ import annotations

from collections.abc import Mapping

from agentcore.kit.clock import Clock
from agentcore.llm_gateway.admission import Gate
from agentcore.llm_gateway.catalogue import Catalogue, models_page
from agentcore.llm_gateway.clearance import Destination
from agentcore.llm_gateway.dialects.responses import ResponsesTranslation
from agentcore.llm_gateway.endpoint import Endpoint
from agentcore.llm_gateway.models import ASK, DEFAULT_TIMEOUTS, ChatCall, Timeouts
from agentcore.llm_gateway.providers.api import APIProvider
from agentcore.llm_gateway.translation import TranslatedWire
from agentcore.llm_gateway.transport import ConnectionPool, Transport
from agentcore.llm_gateway.wires.anthropic import AnthropicWire
from agentcore.llm_gateway.wires.messages import MessagesWire

ANTHROPIC = Destination("anthropic")
VERSION = "2023-06-01"
CATALOGUE = Catalogue("/models?limit=1000", models_page)


class AnthropicProvider(APIProvider):
    """``base_url`` goes up to and with ``/v1``."""

    def __init__(
        self,
        base_url: str,
        *,
        pool: ConnectionPool,
        clock: Clock,
        gate: Gate,
        destination: Destination = ANTHROPIC,
        api_key: str | None = None,
        models: Mapping[str, str] = ASK,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
    ) -> None:
        name = destination.name
        transport = Transport(
            pool,
            base_url,
            provider=name,
            connect_seconds=timeouts.connect,
            headers=_headers(api_key),
        )
        chat = AnthropicWire(name, clock)
        endpoint = Endpoint(
            transport,
            {
                "chat": chat,
                "responses": TranslatedWire(chat, ResponsesTranslation(name)),
                "messages": MessagesWire(name),
            },
            provider=name,
            timeouts=timeouts,
            clock=clock,
            gate=gate,
            catalogue=CATALOGUE,
            headers=beta_header,
        )
        super().__init__(destination, clock, endpoint=endpoint, models=models)


def beta_header(call: ChatCall) -> bytes:
    """The features that the caller has asked for in a header of the same name."""
    return b"anthropic-beta: %b\r\n" % call.beta.encode("ascii") if call.beta else b""


def _headers(api_key: str | None) -> dict[str, str]:
    headers = {"Content-Type": "application/json", "anthropic-version": VERSION}
    return headers if api_key is None else {**headers, "x-api-key": api_key}
