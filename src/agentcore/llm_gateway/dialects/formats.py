"""The dialects by the routes where they are spoken."""

from __future__ import annotations

from collections.abc import Mapping

from agentcore.llm_gateway.dialects.chat import CHAT
from agentcore.llm_gateway.dialects.embeddings import EMBEDDINGS
from agentcore.llm_gateway.dialects.port import Format

FORMATS: Mapping[str, Format] = {
    "/v1/chat/completions": CHAT,
    "/v1/embeddings": EMBEDDINGS,
}


def form_of(path: str) -> Format:
    """The dialect of whoever asks for ``path``: unknown ones hear OpenAI's."""
    return FORMATS.get(path, CHAT)
