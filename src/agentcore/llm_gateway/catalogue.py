"""Lists of models, as the providers' APIs give them: page by page."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import quote

from agentcore.kit.jsonvalue import JsonObject, JsonValue, objects_of
from agentcore.llm_gateway.chat_wire import json_object
from agentcore.llm_gateway.errors import UpstreamMalformed

LISTS = "lists its models"


class Page(NamedTuple):
    """Some of a provider's own names; ``rest`` is the query that asks for the next ones."""

    names: list[str]
    rest: str = ""


class Catalogue(NamedTuple):
    """Where a provider lists its models, and how to read a page: its bytes, and who sent them."""

    path: str
    page: Callable[[bytes, str], Page]


def models_page(raw: bytes, provider: str) -> Page:
    """One page of OpenAI's list or of Anthropic's, which alone has several.

    Raises:
        UpstreamMalformed: it is no list of models.
    """
    document = json_object(raw, provider, LISTS)
    names = [entry.get("id") for entry in listed(document.get("data"), provider)]
    last = document.get("last_id")
    more = document.get("has_more") is True and isinstance(last, str)
    return Page(
        [name for name in names if isinstance(name, str)],
        f"after_id={quote(str(last), safe='')}" if more else "",
    )


def listed(models: JsonValue, provider: str) -> list[JsonObject]:
    """What a page's document says of each model.

    Raises:
        UpstreamMalformed: it does not name them in a list.
    """
    if not isinstance(models, list):
        raise UpstreamMalformed(f"{provider} lists no models", provider=provider)
    return objects_of(models)


MODELS = Catalogue("/models", models_page)
