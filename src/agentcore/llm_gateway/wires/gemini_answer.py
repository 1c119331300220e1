"""Gemini's candidates as the choices of a chat completion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from agentcore.kit.jsonvalue import JsonObject, JsonValue, list_of, object_of, objects_of
from agentcore.llm_gateway.chat_wire import called_with, token_count
from agentcore.llm_gateway.errors import UpstreamMalformed
from agentcore.llm_gateway.models import TokenUsage
from agentcore.llm_gateway.wires.gemini_contents import signed

FINISHED = {"STOP": "stop", "MAX_TOKENS": "length"}
# Said where nothing is said.
UNSPECIFIED = "FINISH_REASON_UNSPECIFIED"
# The model broke its own format: no answer, and asked again it may well give one.
BROKEN = frozenset(
    {
        "MALFORMED_FUNCTION_CALL",
        "MALFORMED_RESPONSE",
        "MISSING_THOUGHT_SIGNATURE",
        "TOO_MANY_TOOL_CALLS",
        "UNEXPECTED_TOOL_CALL",
    }
)


class Finish(NamedTuple):
    """``native`` is Gemini's word where OpenAI's says less."""

    reason: str
    native: str | None = None

    def choice(self, *, called: bool) -> JsonObject:
        """The members of a choice that tell it."""
        reason = "tool_calls" if called and self.reason == "stop" else self.reason
        told: JsonObject = {"finish_reason": reason}
        return told if self.native is None else {**told, "native_finish_reason": self.native}


def finish_of(candidate: Mapping[str, JsonValue], provider: str) -> Finish | None:
    """Why the candidate ended; None if it has not yet.

    Raises:
        UpstreamMalformed: the model failed to write its answer.
    """
    reason = candidate.get("finishReason")
    if not isinstance(reason, str) or reason == UNSPECIFIED:
        return None
    if reason in BROKEN:
        message = candidate.get("finishMessage")
        detail = f": {message[:200]}" if isinstance(message, str) else ""
        raise UpstreamMalformed(
            f"the model of {provider} failed with {reason}{detail}", provider=provider
        )
    if reason in FINISHED:
        return Finish(FINISHED[reason])
    # The many reasons for which Google withholds an answer, future ones included.
    return Finish("content_filter", reason)


def blocked(document: Mapping[str, JsonValue]) -> Finish | None:
    """Set where not the answer but the question was found wanting."""
    reason = object_of(document.get("promptFeedback")).get("blockReason")
    return Finish("content_filter", reason) if isinstance(reason, str) else None


def index_of(candidate: Mapping[str, JsonValue]) -> int:
    index = candidate.get("index")
    return index if isinstance(index, int) else 0


class Speaker:
    """Writes what one candidate says as members of a message; keeps count of its calls.

    ``answer_id`` and ``index`` name the calls that Gemini gave no id.
    """

    __slots__ = ("_prefix", "calls")

    def __init__(self, answer_id: str, index: int) -> None:
        self._prefix = f"call_{answer_id}_{index}_"
        self.calls = 0

    def says(self, candidate: Mapping[str, JsonValue]) -> JsonObject:
        """The members that hold something, so in a stream none for a sign of life."""
        told: JsonObject = {}
        for part in objects_of(object_of(candidate.get("content")).get("parts")):
            self._part(part, told)
        return told

    def _part(self, part: Mapping[str, JsonValue], told: JsonObject) -> None:
        signature, text = part.get("thoughtSignature"), part.get("text")
        call, blob = part.get("functionCall"), part.get("inlineData")
        if isinstance(call, dict):
            told["tool_calls"] = [*list_of(told.get("tool_calls")), self._call(call, signature)]
            return
        if isinstance(signature, str):
            told["extra_content"] = signed(signature)
        if isinstance(text, str) and text:
            name = "reasoning_content" if part.get("thought") is True else "content"
            earlier = told.get(name)
            told[name] = earlier + text if isinstance(earlier, str) else text
        elif isinstance(blob, dict):
            told["images"] = [*list_of(told.get("images")), _image(blob)]

    def _call(self, call: Mapping[str, JsonValue], signature: JsonValue) -> JsonObject:
        known = call.get("id")
        arguments = called_with(object_of(call.get("args")))
        told: JsonObject = {
            "index": self.calls,
            "id": known if isinstance(known, str) and known else f"{self._prefix}{self.calls}",
            "type": "function",
            "function": {"name": call.get("name"), "arguments": arguments},
        }
        self.calls += 1
        return {**told, "extra_content": signed(signature)} if isinstance(signature, str) else told


def message_of(candidate: Mapping[str, JsonValue], speaker: Speaker) -> JsonObject:
    """The whole message of a candidate that was not streamed."""
    told = speaker.says(candidate)
    for call in objects_of(told.get("tool_calls")):
        del call["index"]
    spoken = told.pop("content", None if speaker.calls else "")
    return {"role": "assistant", "content": spoken, **told}


def logprobs_of(candidate: Mapping[str, JsonValue]) -> JsonObject | None:
    result = object_of(candidate.get("logprobsResult"))
    chosen = objects_of(result.get("chosenCandidates"))
    if not chosen:
        return None
    tops = objects_of(result.get("topCandidates"))
    content: list[JsonValue] = []
    for at, token in enumerate(chosen):
        others = objects_of(tops[at].get("candidates")) if at < len(tops) else []
        content.append({**_token(token), "top_logprobs": [_token(other) for other in others]})
    return {"content": content, "refusal": None}


def tokens_of(metadata: JsonValue) -> TokenUsage | None:
    """Gemini counts thoughts, and what its tools read, apart from the rest."""
    if not isinstance(metadata, dict):
        return None
    told = token_count(metadata.get("promptTokenCount"))
    if told is None:
        return None
    thoughts = _count(metadata, "thoughtsTokenCount")
    prompt = told + _count(metadata, "toolUsePromptTokenCount")
    completion = _count(metadata, "candidatesTokenCount") + thoughts
    if token_count(prompt + completion) is None:
        return None
    cached = min(prompt, _count(metadata, "cachedContentTokenCount"))
    audio = min(prompt, _count_of("AUDIO", metadata, "promptTokensDetails"))
    return TokenUsage(
        prompt,
        completion,
        prompt + completion,
        cached,
        thoughts,
        audio_prompt_tokens=audio,
        audio_cached_tokens=min(cached, audio, _count_of("AUDIO", metadata, "cacheTokensDetails")),
        audio_completion_tokens=min(
            completion, _count_of("AUDIO", metadata, "candidatesTokensDetails")
        ),
        image_completion_tokens=min(
            completion, _count_of("IMAGE", metadata, "candidatesTokensDetails")
        ),
    )


def usage_document(usage: TokenUsage | None) -> JsonObject | None:
    """OpenAI's ``usage``."""
    if usage is None:
        return None
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "audio_tokens": usage.audio_prompt_tokens,
        },
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning_tokens,
            "audio_tokens": usage.audio_completion_tokens,
        },
    }


def _count(metadata: Mapping[str, JsonValue], name: str) -> int:
    # What is zero is not written.
    return token_count(metadata.get(name)) or 0


def _count_of(modality: str, metadata: Mapping[str, JsonValue], name: str) -> int:
    details = objects_of(metadata.get(name))
    return sum(_count(each, "tokenCount") for each in details if each.get("modality") == modality)


def _token(token: Mapping[str, JsonValue]) -> JsonObject:
    text = token.get("token")
    written = text if isinstance(text, str) else ""
    return {
        "token": written,
        "logprob": token.get("logProbability"),
        "bytes": list(written.encode()),
    }


def _image(blob: Mapping[str, JsonValue]) -> JsonObject:
    url = f"data:{blob.get('mimeType')};base64,{blob.get('data')}"
    return {"type": "image_url", "image_url": {"url": url}}
