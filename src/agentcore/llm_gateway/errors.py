"""What can go wrong between a caller and a model, and whose failure it was.

``UpstreamError`` and its subclasses are failures of one provider. Two class attributes steer what
happens next: ``fails_over`` (another provider may be tried while the caller has seen nothing) and
``faulty`` (it counts against the provider's circuit breaker).
"""

from __future__ import annotations

from typing import ClassVar

from agentcore.kit.errors import (
    RPC_FORBIDDEN,
    RPC_INTERNAL,
    RPC_INVALID_PARAMS,
    RPC_NOT_FOUND,
    RPC_PRIVACY,
    RPC_TOO_MANY,
    RPC_UNAVAILABLE,
    RPC_UPSTREAM,
    AgentCoreError,
)


class InvalidChatRequest(AgentCoreError):
    """The request is no chat completion; ``context["param"]`` names the member at fault."""

    code, http_status, rpc_code, retryable = "invalid_chat_request", 400, RPC_INVALID_PARAMS, False


class UnknownModel(AgentCoreError):
    code, http_status, rpc_code, retryable = "model_not_found", 404, RPC_NOT_FOUND, False


class DialectNotServed(AgentCoreError):
    """The model is known, and nobody who serves it speaks the API that was called."""

    code, http_status, rpc_code, retryable = "dialect_not_served", 400, RPC_INVALID_PARAMS, False


class ModelNotAllowed(AgentCoreError):
    """The caller's key is not for this model."""

    code, http_status, rpc_code, retryable = "model_not_allowed", 403, RPC_FORBIDDEN, False


class RateLimitExceeded(AgentCoreError):
    """The caller asks more often, or for more, than its key or tenant may.

    ``context["ratelimit"]`` has the headers that tell how much there is and when there is more.
    """

    code, http_status, rpc_code, retryable = "rate_limit_exceeded", 429, RPC_TOO_MANY, True


class NoEligibleProvider(AgentCoreError):
    """The model is known, and nobody who serves it can take the request now."""

    code, http_status, rpc_code, retryable = "no_eligible_provider", 503, RPC_UNAVAILABLE, True


class NoAllowedProvider(AgentCoreError):
    """Everybody who serves the model is excluded by what the request asks for."""

    code, http_status, rpc_code, retryable = "no_allowed_provider", 400, RPC_INVALID_PARAMS, False


class PrivacyViolationError(AgentCoreError):
    """A private request has no provider that is allowed to see it."""

    code, http_status, rpc_code, retryable = "privacy_violation", 403, RPC_PRIVACY, False


class PrivateProviderUnavailable(PrivacyViolationError):
    """A provider marked private exists for the request, and none can take it now."""

    code, http_status, rpc_code, retryable = "private_provider_unavailable", 503, RPC_PRIVACY, True


class PrivacyDetectorFailed(AgentCoreError):
    """Nobody knows whether the request is private: it is not sent."""

    code, http_status, rpc_code, retryable = "privacy_detector_failed", 500, RPC_INTERNAL, False


class UnwritableCalls(AgentCoreError):
    """The database refuses what the lines hold: repeating the batch would not help."""

    code, http_status, rpc_code, retryable = "unwritable_calls", 500, RPC_INTERNAL, False


class UpstreamError(AgentCoreError):
    """The provider answered with an error, or with something that is no answer."""

    code, http_status, rpc_code, retryable = "upstream_error", 502, RPC_UPSTREAM, True
    fails_over: ClassVar[bool] = True
    faulty: ClassVar[bool] = True


class UpstreamUnavailable(UpstreamError):
    """Not reached, or a status of 500 and above."""

    code, http_status, rpc_code, retryable = "upstream_unavailable", 502, RPC_UPSTREAM, True


class UpstreamTimeout(UpstreamError):
    code, http_status, rpc_code, retryable = "upstream_timeout", 504, RPC_UPSTREAM, True


class UpstreamMalformed(UpstreamError):
    """The answer is not what the protocol says: HTML, broken JSON, a wrong shape."""

    code, http_status, rpc_code, retryable = "upstream_malformed", 502, RPC_UPSTREAM, True


class UpstreamTruncated(UpstreamError):
    """The answer ended before its end."""

    code, http_status, rpc_code, retryable = "upstream_truncated", 502, RPC_UPSTREAM, True


# The provider may have worked, and bills what it did.
ANSWER_LOST = (UpstreamTimeout, UpstreamTruncated, UpstreamMalformed)


class UpstreamCredentialRefused(UpstreamError):
    """The provider refuses the gateway's own key; nothing the caller sent is at fault."""

    code, http_status, rpc_code, retryable = "upstream_credential_refused", 502, RPC_UPSTREAM, False


class UpstreamRateLimited(UpstreamError):
    """Saturation, not a fault; ``retry_after`` in seconds where the provider said so."""

    code, http_status, rpc_code, retryable = "upstream_rate_limited", 429, RPC_TOO_MANY, True
    faulty: ClassVar[bool] = False


class UpstreamRejected(UpstreamError):
    """The provider found the caller's request wrong: another provider would find the same.

    ``status`` and ``body`` are the provider's own, to be passed on.
    """

    code, http_status, rpc_code, retryable = "upstream_rejected", 400, RPC_INVALID_PARAMS, False
    fails_over: ClassVar[bool] = False
    faulty: ClassVar[bool] = False

    def __init__(self, detail: str, *, status: int, body: bytes, provider: str) -> None:
        super().__init__(detail, provider=provider)
        self.status = status
        self.body = body


class ParallaxClusterUnavailableError(UpstreamUnavailable):
    code, http_status, rpc_code, retryable = "parallax_unavailable", 503, RPC_UNAVAILABLE, True


class ParallaxCapacityError(UpstreamRateLimited):
    code, http_status, rpc_code, retryable = "parallax_at_capacity", 429, RPC_TOO_MANY, True


class ParallaxTimeoutError(UpstreamTimeout):
    code, http_status, rpc_code, retryable = "parallax_timeout", 504, RPC_UPSTREAM, True
