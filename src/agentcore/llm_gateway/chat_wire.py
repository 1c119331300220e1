"""The OpenAI chat-completions wire as pure functions: requests in, errors and usage out.

https://platform.openai.com/docs/api-reference/chat: fields this module does not name pass through.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import orjson

from agentcore.kit.errors import AgentCoreError
from agentcore.kit.jsonvalue import (
    JsonObject,
    JsonValue,
    list_of,
    loads_leniently,
    object_in,
    object_of,
    objects_of,
)
from agentcore.llm_gateway.errors import (
    InvalidChatRequest,
    UpstreamCredentialRefused,
    UpstreamError,
    UpstreamMalformed,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from agentcore.llm_gateway.models import ChatCall, TokenUsage

ERROR_TYPES = {
    401: "authentication_error",
    402: "insufficient_quota",
    403: "permission_error",
    429: "rate_limit_error",
}
# Codes of errors that arrive behind a 200, where no status tells what they are.
BUSY_CODES = frozenset({"rate_limit_exceeded", "rate_limit_error", "overloaded_error"})
CALLERS_CODES = frozenset(
    {
        "bio_policy",
        "context_length_exceeded",
        "data_residency_mismatch",
        "empty_image_file",
        "failed_to_download_image",
        "image_content_policy_violation",
        "image_file_not_found",
        "image_file_too_large",
        "image_parse_error",
        "image_too_large",
        "image_too_small",
        "invalid_base64_image",
        "invalid_image",
        "invalid_image_format",
        "invalid_image_mode",
        "invalid_image_url",
        "invalid_prompt",
        "invalid_request_error",
        "misalignment_policy_violation",
        "unsupported_image_media_type",
    }
)
LONGEST_QUOTE = 300
# Levels of a tool's arguments; what is written around them has some, too.
DEEPEST_ARGUMENTS = 200
# Of one call; a column of the ledger holds no more.
MOST_TOKENS = 2**31 - 1
# A tuple: the value to look for may be anything that JSON knows.
PLAIN_NO = (False, "false", "0", None)


def parse_request(raw: bytes) -> JsonObject:
    """The caller's document in any of OpenAI's APIs, checked for what all of them have.

    Raises:
        InvalidChatRequest: not JSON, or without a usable ``model``.
    """
    try:
        body: JsonValue = orjson.loads(raw)
    except orjson.JSONDecodeError as exc:
        raise InvalidChatRequest(f"the body is not JSON: {exc}") from exc
    if not isinstance(body, dict):
        raise InvalidChatRequest("the body is not a JSON object")
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise invalid("model", "must be the name of a model", "GET /v1/models lists them")
    if not isinstance(body.get("stream") or False, bool):
        raise invalid("stream", "must be true or false")
    for name in ("stream_options", "metadata"):
        if body.get(name) is not None and not isinstance(body[name], dict):
            raise invalid(name, "must be an object")
    return body


def parse_body(raw: bytes) -> JsonObject:
    """The caller's chat completion, checked as far as routing needs it.

    Raises:
        InvalidChatRequest: not JSON, or without usable ``model`` and ``messages``.
    """
    body = parse_request(raw)
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise invalid("messages", "must be a list with at least one message")
    for message in messages:
        if not isinstance(message, dict):
            raise invalid("messages", "must hold objects with 'role' and 'content'")
    return body


def max_tokens_of(body: Mapping[str, JsonValue]) -> int | None:
    """The most that a provider may write, whichever of the two names it goes by."""
    newer, older = body.get("max_completion_tokens"), body.get("max_tokens")
    if newer is None or older is None:
        return whole_number(older if newer is None else newer) or None
    return max(whole_number(newer) or 0, whole_number(older) or 0) or None


def whole_number(value: JsonValue) -> int | None:
    """A count in a request as lenient servers read it: ``5``, ``5.0`` and ``"5"`` are five."""
    if isinstance(value, float | str):
        try:
            number = float(value)
        except ValueError:
            return None
        return token_count(int(number)) if number.is_integer() else None
    return token_count(value)


def wants_usage(body: Mapping[str, JsonValue]) -> bool:
    options = body.get("stream_options")
    return isinstance(options, dict) and options.get("include_usage") is True


def is_marked_private(body: Mapping[str, JsonValue]) -> bool:
    """``metadata.agentcore_private``: anything but a plain no counts as yes."""
    metadata = body.get("metadata")
    if not isinstance(metadata, dict) or "agentcore_private" not in metadata:
        return False
    return metadata["agentcore_private"] not in PLAIN_NO


def upstream_body(call: ChatCall, model: str) -> bytes:
    """The caller's document for a provider: another ``model``, and usage asked for in streams.

    Written anew: that is faster than finding the one place in the caller's bytes, and no second
    ``model`` can be smuggled past the routing.

    Raises:
        InvalidChatRequest: it is nested deeper than can be written.
    """
    body = {**call.body, "model": model}
    if call.stream and not call.wants_usage:
        options = call.body.get("stream_options")
        known = options if isinstance(options, dict) else {}
        body["stream_options"] = {**known, "include_usage": True}
    return written(body, "messages")


def written(body: JsonObject, deepest: str) -> bytes:
    """A document for a provider; ``deepest`` is the member that may be nested too deep.

    Raises:
        InvalidChatRequest: it is.
    """
    try:
        return orjson.dumps(body)
    except TypeError as exc:
        # It could be read: orjson writes fewer levels than it reads.
        raise invalid(deepest, "is nested too deep") from exc


def called_with(arguments: JsonValue) -> str:
    """What a model calls a tool with, as chat completions write it.

    Raises:
        UpstreamMalformed: it is nested deeper than can be written.
    """
    try:
        return orjson.dumps(arguments).decode()
    except TypeError as exc:
        raise UpstreamMalformed("a tool is called with arguments that are nested too deep") from exc


class Counts(NamedTuple):
    """How an API names its counts of tokens."""

    prompt: str
    completion: str

    def read(self, usage: JsonValue) -> TokenUsage | None:
        """None where the counts are missing or none."""
        if not isinstance(usage, dict):
            return None
        prompt = token_count(usage.get(self.prompt))
        completion = token_count(usage.get(self.completion))
        if prompt is None or completion is None:
            return None
        total = token_count(usage.get("total_tokens"))
        read, written = f"{self.prompt}_details", f"{self.completion}_details"
        if usage.get(read) is None and usage.get(written) is None:
            return TokenUsage(prompt, completion, prompt + completion if total is None else total)
        # A part of nothing more than the whole: prices are computed from what is left of it.
        cached = min(prompt, _detail(usage, read, "cached_tokens"))
        fresh = prompt - cached
        return TokenUsage(
            prompt,
            completion,
            prompt + completion if total is None else total,
            cached,
            min(completion, _detail(usage, written, "reasoning_tokens")),
            min(fresh, _detail(usage, read, "cache_write_tokens")),
            audio_prompt_tokens=min(fresh, _detail(usage, read, "audio_tokens")),
            audio_completion_tokens=min(completion, _detail(usage, written, "audio_tokens")),
        )


CHAT_COUNTS = Counts("prompt_tokens", "completion_tokens")


def usage_of(usage: JsonValue) -> TokenUsage | None:
    """Tokens of a chat completion's ``usage``; None where the counts are missing or none."""
    return CHAT_COUNTS.read(usage)


def json_object(raw: bytes, provider: str, does: str = "answered") -> JsonObject:
    """The document of an answer in any of OpenAI's APIs, which may be an error.

    ``does`` is what the provider wanted to do with it.

    Raises:
        UpstreamMalformed: it is no JSON object.
    """
    try:
        document = loads_leniently(raw)
    except ValueError as exc:
        raise UpstreamMalformed(
            f"{provider} {does} with something that is not JSON", provider=provider
        ) from exc
    if not isinstance(document, dict):
        raise UpstreamMalformed(f"{provider} {does} with no JSON object", provider=provider)
    return document


def document_of(raw: bytes, provider: str) -> JsonObject:
    """The document of an answer in any of OpenAI's APIs.

    Raises:
        UpstreamError: it is an error, or no JSON object at all.
    """
    document = json_object(raw, provider)
    failure = error_in(document, provider)
    if failure is not None:
        raise failure
    return document


def parse_answer(raw: bytes, provider: str) -> JsonObject:
    """A complete answer's document.

    Raises:
        UpstreamError: it is an error, or no chat completion at all.
    """
    document = document_of(raw, provider)
    if not isinstance(document.get("choices"), list):
        raise UpstreamMalformed(f"{provider} answered without choices", provider=provider)
    return document


def first_choice(document: Mapping[str, JsonValue]) -> JsonObject:
    """Of an answer or of a chunk; empty where there is none."""
    choices = list_of(document.get("choices"))
    return object_of(choices[0]) if choices else {}


def thought_in(message: JsonObject) -> str:
    """Servers disagree about the name, and some use both for the same."""
    thought = message.get("reasoning_content") or message.get("reasoning")
    return thought if isinstance(thought, str) else ""


def text_in(content: JsonValue) -> str:
    """A text, or the texts among parts."""
    if isinstance(content, str):
        return content
    return "".join(str(part["text"]) for part in objects_of(content) if "text" in part)


def error_in(document: Mapping[str, JsonValue], provider: str) -> UpstreamError | None:
    """The failure that a document behind a 200 reports, if it reports one."""
    error = document.get("error")
    if error is None:
        return None
    message = _message(error)
    detail = f"{provider} failed while answering: {message}"
    codes = _codes(error)
    if codes & BUSY_CODES or 429 in codes:
        return UpstreamRateLimited(detail, provider=provider)
    if codes & CALLERS_CODES or 400 in codes:
        return UpstreamRejected(detail, status=400, body=_written_error(error), provider=provider)
    return UpstreamUnavailable(detail, provider=provider)


def _written_error(error: JsonValue) -> bytes:
    """Nothing where it is nested deeper than can be written: its message tells enough."""
    try:
        return orjson.dumps({"error": error})
    except TypeError:
        return b""


def failure_of(
    status: int, raw: bytes, provider: str, *, retry_after: float | None
) -> UpstreamError:
    """What a status other than 200 means for the caller and for the provider's standing."""
    message = _quoted(raw)
    detail = f"{provider} answered {status}: {message}" if message else f"{provider} said {status}"
    if status in {429, 529}:
        if retry_after is None:
            return UpstreamRateLimited(detail, provider=provider)
        return UpstreamRateLimited(detail, provider=provider, retry_after=retry_after)
    if status in {401, 402, 403}:
        # The provider's text may quote a part of its key.
        return UpstreamCredentialRefused(
            f"{provider} refuses the gateway's credential ({status})",
            hint="check api_key of this provider in the settings",
            provider=provider,
        )
    if status in {408, 504}:
        return UpstreamTimeout(detail, provider=provider)
    if status in {404, 405}:
        return UpstreamError(
            detail, hint="does it serve this model at this base_url?", provider=provider
        )
    if 400 <= status < 500:
        return UpstreamRejected(detail, status=status, body=raw, provider=provider)
    return UpstreamUnavailable(detail, provider=provider)


def error_status(error: AgentCoreError) -> int:
    return error.status if isinstance(error, UpstreamRejected) else error.http_status


def error_document(error: AgentCoreError) -> JsonObject:
    """``error`` as OpenAI's SDKs parse it."""
    status = error_status(error)
    kind = "server_error" if status >= 500 else "invalid_request_error"
    param = error.context.get("param")
    return {
        "error": {
            "message": f"{error.detail}; {error.hint}" if error.hint else error.detail,
            "type": ERROR_TYPES.get(status, kind),
            "param": param if isinstance(param, str) else None,
            "code": error.code,
        }
    }


def error_body(error: AgentCoreError) -> bytes:
    """The body of a refusal; a provider's own complaint is passed on as it is."""
    if isinstance(error, UpstreamRejected) and _is_error_object(error.body):
        return error.body
    return orjson.dumps(error_document(error))


def error_event(error: AgentCoreError) -> bytes:
    """The last event of a stream that failed after its begin; no ``[DONE]`` follows it."""
    return b"data: " + error_body(error) + b"\n\n"


def invalid(param: str, what: str, hint: str = "") -> InvalidChatRequest:
    return InvalidChatRequest(f"{param!r} {what}", hint=hint, param=param)


def _detail(usage: Mapping[str, JsonValue], group: str, name: str) -> int:
    details = usage.get(group)
    return (token_count(details.get(name)) or 0) if isinstance(details, dict) else 0


def token_count(value: JsonValue) -> int | None:
    """A number of tokens; None for what nobody can have used, and the ledger cannot hold."""
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 <= value <= MOST_TOKENS else None


def _codes(error: JsonValue) -> set[str | int]:
    members = (error.get("code"), error.get("type")) if isinstance(error, dict) else ()
    return {member for member in members if isinstance(member, str | int)}


def _message(error: JsonValue) -> str:
    text = error.get("message") if isinstance(error, dict) else error
    return str(text)[:LONGEST_QUOTE]


def _quoted(raw: bytes) -> str:
    """The message of an error body, whatever its shape; nothing of an HTML page."""
    document = object_in(raw)
    error = document.get("error", document.get("message", document.get("detail")))
    return _message(error) if error is not None else ""


def _is_error_object(raw: bytes) -> bool:
    return isinstance(object_in(raw).get("error"), dict)
