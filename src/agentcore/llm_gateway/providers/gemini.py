"""Google's Gemini API."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from agentcore.kit.jsonvalue import JsonObject, list_of
from agentcore.llm_gateway.catalogue import LISTS, Catalogue, Page, listed
from agentcore.llm_gateway.chat_wire import json_object
from agentcore.llm_gateway.dialects.messages import MessagesTranslation
from agentcore.llm_gateway.dialects.responses import ResponsesTranslation
from agentcore.llm_gateway.endpoint import json_headers
from agentcore.llm_gateway.models import Dialect
from agentcore.llm_gateway.providers.api import APIProvider
from agentcore.llm_gateway.translation import TranslatedWire
from agentcore.llm_gateway.wire import Wire
from agentcore.llm_gateway.wires.gemini import GeminiWire
from agentcore.llm_gateway.wires.gemini_embeddings import GeminiEmbeddingsWire

# What the wires ask for; models for live audio, pictures or videos alone are listed, too.
METHODS = ("generateContent", "embedContent")


def models_page(raw: bytes, provider: str) -> Page:
    """One page of ``models.list``: the names of those that can be asked, without ``models/``.

    Raises:
        UpstreamMalformed: it is no list of models.
    """
    document = json_object(raw, provider, LISTS)
    models = listed(document.get("models", []), provider)
    names = [each.get("name") for each in models if _asked(each)]
    token = document.get("nextPageToken")
    return Page(
        [name.removeprefix("models/") for name in names if isinstance(name, str)],
        f"pageToken={quote(token, safe='')}" if isinstance(token, str) and token else "",
    )


def _asked(model: JsonObject) -> bool:
    methods = model.get("supportedGenerationMethods")
    return methods is None or any(method in METHODS for method in list_of(methods))


class GeminiProvider(APIProvider):
    catalogue = Catalogue("/models?pageSize=1000", models_page)

    def wires(self, provider: str) -> Mapping[Dialect, Wire]:
        chat = GeminiWire(provider, clock=self._clock)
        return {
            "chat": chat,
            "responses": TranslatedWire(chat, ResponsesTranslation(provider)),
            "embeddings": GeminiEmbeddingsWire(provider),
            "messages": TranslatedWire(chat, MessagesTranslation(provider)),
        }

    @staticmethod
    def headers(api_key: str | None) -> Mapping[str, str]:
        plain = json_headers(None)
        return plain if api_key is None else {**plain, "x-goog-api-key": api_key}
