"""Gemini's stream of answers as the chunks of a chat completion.

A stream ends without a mark of its own: it is whole when each candidate that began has said why it
ended. Older models said so in every event, so the chunks that tell it are written at the end.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2s

import orjson

from agentcore.kit.clock import Clock
from agentcore.kit.jsonvalue import JsonObject, JsonValue, objects_of
from agentcore.llm_gateway.errors import UpstreamError, UpstreamMalformed
from agentcore.llm_gateway.models import ChatCall, TokenUsage
from agentcore.llm_gateway.sse import CONTENT, DONE, EventReader
from agentcore.llm_gateway.wires.gemini_answer import (
    Finish,
    Speaker,
    blocked,
    finish_of,
    index_of,
    logprobs_of,
    tokens_of,
    usage_document,
)
from agentcore.llm_gateway.wires.gemini_errors import failure_in

SHOWN = (*CONTENT, "images")


def answer_id_of(document: Mapping[str, JsonValue], raw: bytes) -> str:
    """Gemini's name for an answer, else one that the same bytes always get."""
    known = document.get("responseId")
    return known if isinstance(known, str) and known else blake2s(raw, digest_size=8).hexdigest()


class GeminiScanner(EventReader):
    __slots__ = (
        "_call",
        "_clock",
        "_expected",
        "_finishes",
        "_head",
        "_id",
        "_metadata",
        "_speakers",
    )

    def __init__(self, provider: str, call: ChatCall, clock: Clock) -> None:
        super().__init__(provider)
        wanted = call.body.get("n")
        self._call = call
        self._clock = clock
        self._expected = wanted if isinstance(wanted, int) else 1
        self._id = ""
        self._head = b""
        self._speakers: dict[int, Speaker] = {}
        self._finishes: dict[int, Finish] = {}
        self._metadata: JsonObject = {}

    @property
    def usage(self) -> TokenUsage | None:
        """Counted when it is asked for: Gemini tells it with every event."""
        return tokens_of(self._metadata)

    @usage.setter
    def usage(self, usage: TokenUsage | None) -> None:
        """Nothing but what Gemini told counts."""

    @property
    def whole(self) -> bool:
        return bool(self._finishes) and self._finishes.keys() >= self._speakers.keys()

    def _event(self, event: bytes) -> bytes:
        # An error may come as a bare document, in the middle, too.
        if event.lstrip().startswith((b"{", b"[")):
            return self._bare(event)
        return super()._event(event)

    def _error(self, document: JsonValue) -> UpstreamError | None:
        return failure_in(document, self._provider)

    def _read(self, event: bytes, document: JsonObject) -> bytes:
        if not self._head:
            self._open(event, document)
        metadata = document.get("usageMetadata")
        if isinstance(metadata, dict):
            self._metadata = metadata
        choices: list[JsonValue] = []
        try:
            for candidate in objects_of(document.get("candidates")):
                self._candidate(candidate, choices)
        except UpstreamMalformed as failure:
            self.failure = failure
            return b""
        verdict = blocked(document)
        if verdict is not None and not self._speakers:
            self._finished(0, verdict)
        return self._chunk(choices) if choices else b""

    def _open(self, event: bytes, document: JsonObject) -> None:
        """The members that every chunk begins with, written once."""
        self._id = answer_id_of(document, event)
        version = document.get("modelVersion")
        common = {
            "id": f"chatcmpl-{self._id}",
            "object": "chat.completion.chunk",
            "created": int(self._clock.now().timestamp()),
            "model": version if isinstance(version, str) else self._call.model,
        }
        self._head = b"data: " + orjson.dumps(common)[:-1]

    def _candidate(self, candidate: JsonObject, choices: list[JsonValue]) -> None:
        index = index_of(candidate)
        finish = finish_of(candidate, self._provider)
        speaker = self._speakers.get(index)
        begins = speaker is None
        if speaker is None:
            speaker = self._speakers[index] = Speaker(self._id, index)
        delta = speaker.says(candidate)
        self.committed = self.committed or any(name in delta for name in SHOWN)
        logprobs = logprobs_of(candidate)
        if begins:
            delta = {"role": "assistant", **delta}
        if delta or logprobs:
            choices.append(_choice(index, delta, logprobs))
        if finish is not None:
            self._finished(index, finish)

    def _finished(self, index: int, finish: Finish) -> None:
        self._finishes[index] = finish
        self.committed = True
        self.done = self.whole and len(self._finishes) >= self._expected

    def _closing(self) -> bytes:
        ends: list[JsonValue] = []
        for index, finish in sorted(self._finishes.items()):
            speaker = self._speakers.get(index)
            told = finish.choice(called=speaker is not None and speaker.calls > 0)
            ends.append({**_choice(index, {}, None), **told})
        out = self._chunk(ends) + b"\n\n"
        usage = usage_document(self.usage) if self._call.wants_usage else None
        if usage is not None:
            out += b'%b,"choices":[],"usage":%b}\n\n' % (self._head, orjson.dumps(usage))
        return out + DONE

    def _chunk(self, choices: list[JsonValue]) -> bytes:
        return b'%b,"choices":%b}' % (self._head, orjson.dumps(choices))


def _choice(index: int, delta: JsonObject, logprobs: JsonObject | None) -> JsonObject:
    choice: JsonObject = {"index": index, "delta": delta, "finish_reason": None}
    return choice if logprobs is None else {**choice, "logprobs": logprobs}
