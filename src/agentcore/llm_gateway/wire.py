"""How calls and answers look on the way to one kind of provider: the port of the wires.

A caller speaks a *dialect* (OpenAI's chat completions, responses and embeddings, Anthropic's
messages); a provider's API speaks a wire. A ``Wire`` carries calls of one dialect over one API and
gives the answers back in the caller's dialect. Wires are pure: no I/O, one object for all calls.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from agentcore.kit.jsonvalue import JsonObject
from agentcore.llm_gateway.errors import UpstreamError
from agentcore.llm_gateway.models import ChatCall, TokenUsage


class PlainReply(NamedTuple):
    """A complete answer, verified to be one; ``body`` is ``document`` in bytes."""

    body: bytes
    document: JsonObject
    usage: TokenUsage | None


class Scanner(Protocol):
    """Reads one stream while its bytes pass through.

    ``committed`` turns true with the first event that carries content: before it nothing has been
    promised to the caller. ``done``: the answer is whole, only the connection's fate is open.
    After a failure nothing more is returned and ``failure`` says what it was.
    """

    @property
    def committed(self) -> bool: ...

    @property
    def done(self) -> bool: ...

    @property
    def failure(self) -> UpstreamError | None: ...

    @property
    def usage(self) -> TokenUsage | None: ...

    def feed(self, data: bytes) -> bytes:
        """What may be forwarded now that ``data`` has arrived: whole events only."""
        ...

    def end(self) -> bytes:
        """The connection's end: what is still to be forwarded, and the verdict in ``failure``."""
        ...


class Wire(Protocol):
    def path(self, call: ChatCall, model: str) -> str:
        """Where to post, behind the provider's base URL; one of few for each model."""
        ...

    def request(self, call: ChatCall, model: str) -> bytes:
        """The provider's document for ``call``.

        Raises:
            InvalidChatRequest: the call asks for what this API cannot express.
        """
        ...

    def answer(self, raw: bytes, call: ChatCall) -> PlainReply:
        """A complete answer in the caller's dialect.

        Raises:
            UpstreamError: it is an error behind a 200, or no answer at all.
        """
        ...

    def scanner(self, call: ChatCall) -> Scanner: ...

    def failure(self, status: int, raw: bytes, *, retry_after: float | None) -> UpstreamError:
        """What a status other than 200 means; the body of a rejection in the caller's dialect."""
        ...
