"""The root of the error tree and its two renderers.

Each class decides its own wire: a stable ``code``, the HTTP status, the JSON-RPC code and
whether the same call may succeed when repeated. A2A owns -32001 to -32009; ours start at -32050,
one number per kind of failure, told apart by ``data.code``.
"""

from __future__ import annotations

import math
from typing import ClassVar

from agentcore.kit.jsonvalue import JsonObject, JsonValue

RPC_CONFLICT = -32050
RPC_UNAUTHENTICATED = -32051
RPC_FORBIDDEN = -32052
RPC_NOT_FOUND = -32053
RPC_TOO_MANY = -32054
RPC_UNAVAILABLE = -32055
RPC_DEADLINE = -32056
RPC_PRIVACY = -32057
RPC_UPSTREAM = -32058
RPC_SESSION = -32059
RPC_INTERNAL = -32603
RPC_INVALID_PARAMS = -32602
LONGEST_WORDS = 500


class AgentCoreError(Exception):
    """A failure that a caller can act on.

    ``detail`` names what was wrong and the value; ``hint`` says what would be right. ``context``
    holds machine-readable members that both renderers pass on; never put a secret in it.
    """

    code: ClassVar[str]
    http_status: ClassVar[int]
    rpc_code: ClassVar[int]
    retryable: ClassVar[bool]

    def __init__(self, detail: str, *, hint: str = "", **context: JsonValue) -> None:
        super().__init__(detail)
        self.detail = detail
        self.hint = hint
        self.context: JsonObject = context

    @property
    def in_words(self) -> str:
        """What was wrong and what would be right, for a person to read."""
        return f"{self.detail}; {self.hint}" if self.hint else self.detail

    @property
    def retry_after(self) -> float | None:
        """Seconds until a repetition makes sense, where known."""
        value = self.context.get("retry_after")
        return float(value) if isinstance(value, int | float) else None

    @property
    def retry_after_header(self) -> str | None:
        """The same as whole seconds (RFC 9110, section 10.2.3), never too early."""
        return None if self.retry_after is None else str(max(1, math.ceil(self.retry_after)))


class InvalidInput(AgentCoreError):
    code, http_status, rpc_code, retryable = "invalid_input", 422, RPC_INVALID_PARAMS, False


class MalformedRequest(AgentCoreError):
    code, http_status, rpc_code, retryable = "malformed_request", 400, -32700, False


class MethodNotAllowed(AgentCoreError):
    code, http_status, rpc_code, retryable = "method_not_allowed", 405, -32601, False


class RequestTooLarge(AgentCoreError):
    code, http_status, rpc_code, retryable = "request_too_large", 413, -32600, False


class Unauthenticated(AgentCoreError):
    code, http_status, rpc_code, retryable = "unauthenticated", 401, RPC_UNAUTHENTICATED, False


class Forbidden(AgentCoreError):
    code, http_status, rpc_code, retryable = "forbidden", 403, RPC_FORBIDDEN, False


class NotFound(AgentCoreError):
    code, http_status, rpc_code, retryable = "not_found", 404, RPC_NOT_FOUND, False


class Conflict(AgentCoreError):
    code, http_status, rpc_code, retryable = "conflict", 409, RPC_CONFLICT, False


class TooManyRequests(AgentCoreError):
    code, http_status, rpc_code, retryable = "too_many_requests", 429, RPC_TOO_MANY, True


class Unavailable(AgentCoreError):
    code, http_status, rpc_code, retryable = "unavailable", 503, RPC_UNAVAILABLE, True


class DeadlineExceeded(AgentCoreError):
    code, http_status, rpc_code, retryable = "deadline_exceeded", 504, RPC_DEADLINE, True


class InternalError(AgentCoreError):
    code, http_status, rpc_code, retryable = "internal_error", 500, RPC_INTERNAL, False


class StartupError(AgentCoreError):
    """The process cannot start as configured: one line for the operator, exit code 2."""

    code, http_status, rpc_code, retryable = "startup_error", 500, RPC_INTERNAL, False


def problem(error: AgentCoreError, *, instance: str | None = None) -> JsonObject:
    """RFC 9457 problem details of ``error`` (media type ``application/problem+json``)."""
    body: JsonObject = {
        "type": f"urn:agentcore:error:{error.code}",
        "title": error.code.replace("_", " ").capitalize(),
        "status": error.http_status,
        "detail": error.detail,
        "code": error.code,
        "hint": error.hint,
        "retryable": error.retryable,
    }
    if instance is not None:
        body["instance"] = instance
    return {**error.context, **body}


def rpc_error(error: AgentCoreError) -> JsonObject:
    """The ``error`` member of a JSON-RPC 2.0 response (section 5.1)."""
    data: JsonObject = {
        **error.context,
        "code": error.code,
        "hint": error.hint,
        "retryable": error.retryable,
    }
    return {"code": error.rpc_code, "message": error.detail, "data": data}


def said_by(error: BaseException) -> str:
    """The class and the words of what foreign code raised, as text that can be sent and stored.

    Names of files, for one, may hold what is no Unicode.
    """
    said = f"{type(error).__name__}: {error}"[:LONGEST_WORDS]
    return said.replace("\x00", "\ufffd").encode(errors="backslashreplace").decode()


def first_line(error: BaseException | None) -> str:
    """What a library's error says, fit for one line; its class where it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
