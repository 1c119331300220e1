"""From a request's headers and body to the call that is routed."""

from __future__ import annotations

import re
from collections.abc import Iterable, MutableMapping

from agentcore.kit.clock import Clock
from agentcore.kit.security import LONGEST_NAME, Principal, principal_of
from agentcore.llm_gateway.asgi import Header, Scope
from agentcore.llm_gateway.chat_wire import is_marked_private
from agentcore.llm_gateway.dialects.port import Format
from agentcore.llm_gateway.errors import InvalidChatRequest
from agentcore.llm_gateway.models import PRIORITIES, ChatCall, Priority, at_most
from agentcore.llm_gateway.policy import NO_POLICY, policy_of
from agentcore.llm_gateway.terms import Terms, terms_of

PRIORITY_HEADERS: dict[bytes, Priority] = {b"high": "high", b"medium": "medium", b"low": "low"}
LONGEST_SECONDS = 86_400.0
NO = frozenset({b"", b"0", b"false", b"no"})
BETA = re.compile(rb"[\w., :/-]{1,1000}")


def call_of(raw: bytes, scope: Scope, form: Format, clock: Clock) -> ChatCall:
    """What a request asks for and who asks.

    Raises:
        InvalidChatRequest: it cannot be routed as it is.
    """
    body = form.parse(raw)
    presented: list[Header] = scope["headers"]
    state = scope["state"]
    headers = dict(presented)
    principal = principal_of(scope)
    principal.require("llm")
    terms = terms_of(principal)
    regions = headers.get(b"x-agentcore-region")
    policy = NO_POLICY
    if "provider" in body or regions is not None:
        # The document is ours alone; providers do not know the member.
        policy = policy_of(body.pop("provider", None), _listed(regions))
    # By position, in the order of the fields: names would take three times as long.
    return ChatCall(
        str(body["model"]),
        body,
        body.get("stream") is True,
        form.wants_usage(body),
        _private(presented, principal) or is_marked_private(body),
        _priority(headers, terms),
        form.max_tokens(body),
        len(raw),
        principal.tenant,
        principal.subject,
        _name(headers, b"x-agentcore-task") or str(state.get("trace_id", "")),
        _deadline(headers, clock),
        form.dialect,
        policy,
        _cache_seconds(headers),
        str(state.get("traceparent", "")),
        principal.key_id or "",
        _name(headers, b"x-agentcore-agent"),
        _name(headers, b"x-agentcore-conversation"),
        terms,
        _beta(presented) if b"anthropic-beta" in headers else "",
        headers.get(b"x-agentcore-resume", b"").strip().lower() not in NO,
    )


def _beta(presented: Iterable[Header]) -> str:
    """Features that Anthropic's SDK asks for in a header; it goes on to Anthropic alone."""
    given = b",".join(value for name, value in presented if name == b"anthropic-beta")
    if BETA.fullmatch(given) is None:
        raise InvalidChatRequest(
            "the header anthropic-beta must name features, with commas between them"
        )
    return given.decode("ascii")


def _listed(header: bytes | None) -> list[str]:
    names = _text(header or b"").split(",")
    return [name.strip() for name in names if name.strip()]


def _private(headers: Iterable[Header], principal: Principal) -> bool:
    """Anything but a plain no makes a request private: a typing error must not expose it.

    Of several headers one is enough, whatever the others say.
    """
    for name, value in headers:
        if name == b"x-agentcore-private" and value.strip().lower() not in NO:
            return True
    return principal.private


def _cache_seconds(headers: MutableMapping[bytes, bytes]) -> float | None:
    """How old an answer may be that was given before; None: a new one is wanted."""
    given = headers.get(b"x-agentcore-cache")
    if given is None or given.strip().lower() in NO:
        return None
    seconds = _number(given)
    if not 0 < seconds <= LONGEST_SECONDS:
        raise InvalidChatRequest(
            f"the header x-agentcore-cache must be a number of seconds, above 0 and at most "
            f"{LONGEST_SECONDS:g}, not {given!r:.40}"
        )
    return seconds


def _number(given: bytes) -> float:
    try:
        return float(given)
    except ValueError:
        return -1.0


def _priority(headers: MutableMapping[bytes, bytes], terms: Terms) -> Priority:
    """What the caller asks for, as far as its key goes."""
    given = headers.get(b"x-agentcore-priority")
    priority: Priority | None = "medium"
    if given is not None:
        priority = PRIORITY_HEADERS.get(given.strip().lower())
    if priority is None:
        raise InvalidChatRequest(
            "the header x-agentcore-priority has an unknown value",
            hint=f"it is one of: {', '.join(PRIORITIES)}",
        )
    return at_most(priority, terms.ceiling)


def _name(headers: MutableMapping[bytes, bytes], header: bytes) -> str:
    """What the caller calls itself, its task or conversation: a name on the ledger, no right."""
    given = headers.get(header)
    if given is None:
        return ""
    name = _text(given).strip()
    if len(name) > LONGEST_NAME or not name.isprintable():
        raise InvalidChatRequest(
            f"the header {header.decode()} cannot be used: {name[:LONGEST_NAME]!r}",
            hint=f"at most {LONGEST_NAME} printable characters",
        )
    return name


def _text(header: bytes) -> str:
    """As clients write what is not ASCII: most in UTF-8, the others in Latin-1."""
    try:
        return header.decode()
    except UnicodeDecodeError:
        return header.decode("latin-1")


def _deadline(headers: MutableMapping[bytes, bytes], clock: Clock) -> float | None:
    given = headers.get(b"x-agentcore-timeout")
    if given is None:
        return None
    seconds = _number(given)
    if not 0 < seconds <= LONGEST_SECONDS:
        raise InvalidChatRequest(
            f"the header x-agentcore-timeout must be a number of seconds, above 0 and at most "
            f"{LONGEST_SECONDS:g}, not {given!r:.40}"
        )
    return clock.monotonic() + seconds
