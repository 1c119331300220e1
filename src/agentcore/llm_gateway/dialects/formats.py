"""The dialects by the routes where they are spoken."""

from __future__ import annotations

from collections.abc import Mapping

from agentcore.llm_gateway.dialects.chat import CHAT
from agentcore.llm_gateway.dialects.embeddings import EMBEDDINGS
from agentcore.llm_gateway.dialects.messages import MESSAGES
from agentcore.llm_gateway.dialects.port import Format
from agentcore.llm_gateway.dialects.responses import RESPONSES

FORMATS: Mapping[str, Format] = {
    "/v1/chat/completions": CHAT,
    "/v1/embeddings": EMBEDDINGS,
    "/v1/responses": RESPONSES,
    "/v1/messages": MESSAGES,
}


def form_of(path: str) -> Format:
    """The dialect of whoever asks for ``path``: unknown ones hear OpenAI's."""
    return FORMATS.get(path, CHAT)
