"""Google's Gemini API."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

import orjson

from agentcore.kit.clock import Clock
from agentcore.kit.jsonvalue import JsonObject, JsonValue, list_of, objects_of
from agentcore.llm_gateway.admission import Gate
from agentcore.llm_gateway.catalogue import Catalogue, Page
from agentcore.llm_gateway.clearance import Destination
from agentcore.llm_gateway.dialects.messages import MessagesTranslation
from agentcore.llm_gateway.dialects.responses import ResponsesTranslation
from agentcore.llm_gateway.endpoint import Endpoint
from agentcore.llm_gateway.errors import UpstreamMalformed
from agentcore.llm_gateway.models import ASK, DEFAULT_TIMEOUTS, Timeouts
from agentcore.llm_gateway.providers.api import APIProvider
from agentcore.llm_gateway.translation import TranslatedWire
from agentcore.llm_gateway.transport import ConnectionPool, Transport
from agentcore.llm_gateway.wires.gemini import GeminiWire
from agentcore.llm_gateway.wires.gemini_embeddings import GeminiEmbeddingsWire

GEMINI = Destination("gemini")
# What the wires ask for; models for live audio, pictures or videos alone are listed, too.
METHODS = ("generateContent", "embedContent")


class GeminiProvider(APIProvider):
    """``base_url`` goes up to and with ``/v1beta``."""

    def __init__(
        self,
        base_url: str,
        *,
        pool: ConnectionPool,
        clock: Clock,
        gate: Gate,
        destination: Destination = GEMINI,
        api_key: str | None = None,
        models: Mapping[str, str] = ASK,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
    ) -> None:
        name = destination.name
        headers = {"Content-Type": "application/json"}
        chat = GeminiWire(name, clock=clock)
        endpoint = Endpoint(
            Transport(
                pool,
                base_url,
                provider=name,
                connect_seconds=timeouts.connect,
                headers=headers if api_key is None else {**headers, "x-goog-api-key": api_key},
            ),
            {
                "chat": chat,
                "responses": TranslatedWire(chat, ResponsesTranslation(name)),
                "embeddings": GeminiEmbeddingsWire(name),
                "messages": TranslatedWire(chat, MessagesTranslation(name)),
            },
            provider=name,
            timeouts=timeouts,
            clock=clock,
            gate=gate,
            catalogue=MODELS,
        )
        super().__init__(destination, clock, endpoint=endpoint, models=models)


def models_page(raw: bytes, provider: str) -> Page:
    """One page of ``models.list``: the names of those that can be asked, without ``models/``.

    Raises:
        UpstreamMalformed: it is no list of models.
    """
    try:
        document: JsonValue = orjson.loads(raw)
    except orjson.JSONDecodeError as exc:
        raise UpstreamMalformed(
            f"{provider} lists its models in something that is not JSON", provider=provider
        ) from exc
    if not isinstance(document, dict) or not isinstance(document.get("models", []), list):
        raise UpstreamMalformed(f"{provider} lists no models", provider=provider)
    names = [each.get("name") for each in objects_of(document.get("models")) if _asked(each)]
    token = document.get("nextPageToken")
    return Page(
        [name.removeprefix("models/") for name in names if isinstance(name, str)],
        f"pageToken={quote(token, safe='')}" if isinstance(token, str) and token else "",
    )


def _asked(model: JsonObject) -> bool:
    methods = model.get("supportedGenerationMethods")
    return methods is None or any(method in METHODS for method in list_of(methods))


MODELS = Catalogue("/models?pageSize=1000", models_page)
