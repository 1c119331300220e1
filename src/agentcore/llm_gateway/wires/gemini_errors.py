"""What Gemini's errors mean: https://ai.google.dev/gemini-api/docs/troubleshooting."""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from agentcore.kit.jsonvalue import JsonObject, JsonValue, loads, object_of, objects_of
from agentcore.llm_gateway.chat_wire import LONGEST_QUOTE, failure_of
from agentcore.llm_gateway.errors import UpstreamError

# The reason in a google.rpc.ErrorInfo that comes with a 400 and blames the key, not the request.
BAD_KEY = "API_KEY_INVALID"
# Statuses of google.rpc.Code by their HTTP status, for errors that do not tell it.
STATUSES = {
    "INVALID_ARGUMENT": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "RESOURCE_EXHAUSTED": 429,
    "DEADLINE_EXCEEDED": 504,
}
# By Google, not by us: we close the connection instead.
CANCELLED = 499
LONGEST_DELAY = 86_400


def gemini_failure(
    status: int, raw: bytes, provider: str, *, retry_after: float | None = None
) -> UpstreamError:
    """As ``failure_of``; a rejection's body is an OpenAI error."""
    try:
        error = error_object(loads(raw))
    except ValueError:
        error = None
    if error is None:
        return failure_of(status, raw, provider, retry_after=retry_after)
    return _failure(status, error, provider, retry_after)


def failure_in(document: JsonValue, provider: str) -> UpstreamError | None:
    """The failure that a document behind a 200 reports, if it reports one."""
    error = error_object(document)
    if error is None:
        return None
    code, status = error.get("code"), error.get("status")
    if not isinstance(code, int) or not 400 <= code < 600:
        code = STATUSES.get(status, 500) if isinstance(status, str) else 500
    return _failure(code, error, provider, None)


def error_object(document: JsonValue) -> JsonObject | None:
    """The error of a document; Google wraps some into a list."""
    if isinstance(document, list) and len(document) == 1:
        document = document[0]
    error = object_of(document).get("error")
    if error is None:
        return None
    return error if isinstance(error, dict) else {"message": str(error)}


def _failure(
    status: int, error: Mapping[str, JsonValue], provider: str, retry_after: float | None
) -> UpstreamError:
    details = objects_of(error.get("details"))
    delays = [_seconds(detail.get("retryDelay")) for detail in details]
    told = max((delay for delay in delays if delay is not None), default=retry_after)
    if any(detail.get("reason") == BAD_KEY for detail in details):
        status = 401
    if status == 400 and error.get("status") == "FAILED_PRECONDITION":
        return UpstreamError(
            f"{provider} does not serve the gateway: {str(error.get('message'))[:LONGEST_QUOTE]}",
            hint="the key's project may lack billing or be in a country that is not served",
            provider=provider,
        )
    if status == CANCELLED:
        status = 503
    return failure_of(status, _openai_error(error), provider, retry_after=told)


def _openai_error(error: Mapping[str, JsonValue]) -> bytes:
    return orjson.dumps(
        {
            "error": {
                "message": str(error.get("message")),
                "type": "invalid_request_error",
                "param": None,
                "code": error.get("status"),
            }
        }
    )


def _seconds(delay: JsonValue) -> float | None:
    """A duration as protobuf writes it: ``37.5s``."""
    if not isinstance(delay, str) or not delay.endswith("s"):
        return None
    try:
        seconds = float(delay[:-1])
    except ValueError:
        return None
    return seconds if 0 <= seconds < LONGEST_DELAY else None
