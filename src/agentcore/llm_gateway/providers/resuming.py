"""Streams that broke off and are carried on by somebody else, where caller and operator want it.

The next provider gets what was said as the beginning of its own answer. Only those whom the
operator names are asked: others would begin anew, and the caller would read the beginning twice.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection

import orjson

from agentcore.kit.errors import AgentCoreError
from agentcore.kit.jsonvalue import JsonObject, JsonValue, list_of, object_of, objects_of
from agentcore.llm_gateway.accounts import Outcome
from agentcore.llm_gateway.allowance import Grant
from agentcore.llm_gateway.errors import UpstreamError
from agentcore.llm_gateway.models import ChatCall
from agentcore.llm_gateway.providers.routed import Answer, Streamed
from agentcore.llm_gateway.replies import chunks_of, payloads_of
from agentcore.llm_gateway.sse import DONE
from agentcore.llm_gateway.wire import PlainReply

Answered = Callable[[ChatCall, Grant], Awaitable[Answer]]
# What every chunk of one answer says alike.
FRAME = ("id", "created", "model", "system_fingerprint")
SPOKEN = frozenset({"role", "content"})
LIMITS = ("max_tokens", "max_completion_tokens")


def resumable(
    answer: Answer, call: ChatCall, grant: Grant, able: Collection[str], answered: Answered
) -> Answer:
    """``answer``, and if it is a stream that breaks off, what one of ``able`` makes of it."""
    policy = call.policy
    several = call.body.get("n") not in (None, 1)
    fixed = several or call.cache_seconds is not None or not policy.allow_fallbacks
    if fixed or not able or call.dialect != "chat" or isinstance(answer.reply, PlainReply):
        return answer
    names = frozenset(able) if policy.only is None else policy.only & frozenset(able)
    stream = ResumableStream(
        answer.reply, answer.provider, call, grant, able=names, answered=answered
    )
    return answer._replace(reply=stream)


class ResumableStream:
    def __init__(
        self,
        stream: Streamed,
        provider: str,
        call: ChatCall,
        grant: Grant,
        *,
        able: frozenset[str],
        answered: Answered,
    ) -> None:
        self._stream = stream
        self._call = call
        self._grant = grant
        self._able = able - {provider}
        self._answered = answered
        self._spoken = Spoken()
        self._resumed = False

    @property
    def outcome(self) -> Outcome:
        return self._stream.outcome

    async def next(self) -> bytes:
        """As ``RoutedStream.next``; a failure is raised when nobody can go on."""
        while True:
            try:
                block = await self._stream.next()
            except UpstreamError as error:
                await self._go_on(error)
                continue
            out = self._spoken.aligned(block) if self._resumed else self._spoken.heard(block)
            if out or not block:
                return out

    def close(self) -> None:
        self._stream.close()

    async def _go_on(self, error: UpstreamError) -> None:
        if not (error.fails_over and self._able and self._spoken.resumable):
            raise error
        self._stream.close()
        try:
            rest = self._rest()
            answer = await self._answered(rest, self._grant.rest(rest))
        except AgentCoreError as refusal:
            raise error from refusal
        if isinstance(answer.reply, PlainReply):
            raise error
        self._stream = answer.reply
        self._able -= {answer.provider}
        self._resumed = True

    def _rest(self) -> ChatCall:
        """The same call with what was said so far as the beginning of the answer."""
        call, spoken = self._call, self._spoken
        said = "".join(spoken.texts)
        body: JsonObject = {**call.body}
        begun: JsonValue = {"role": "assistant", "content": said}
        body["messages"] = [*list_of(body.get("messages")), begun]
        # What vLLM and SGLang want to be told; others do so unasked, and ignore it.
        body["continue_final_message"], body["add_generation_prompt"] = True, False
        for name in LIMITS:
            limit = body.get(name)
            if isinstance(limit, int):
                body[name] = max(1, limit - len(spoken.texts))
        return call._replace(
            body=body,
            resume=False,
            prompt_bytes=call.prompt_bytes + len(said),
            policy=call.policy._replace(only=self._able),
        )


class Spoken:
    """What the caller has read: a part of one answer, whoever it came from."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._frame: JsonObject = {}
        self._simple = True

    @property
    def resumable(self) -> bool:
        """There is text, it has not come to its end, and there is nothing but text."""
        return self._simple and bool(self.texts)

    def heard(self, block: bytes) -> bytes:
        for chunk in chunks_of(block):
            self._learn(chunk)
        return block

    def aligned(self, block: bytes) -> bytes:
        """Chunks of another answer as the next ones of the first."""
        events = []
        for chunk in chunks_of(block):
            self._learn(chunk)
            if _says_something(chunk):
                events.append(b"data: %b\n\n" % orjson.dumps({**chunk, **self._frame}))
        if b"[DONE]" in payloads_of(block):
            events.append(DONE)
        return b"".join(events)

    def _learn(self, chunk: JsonObject) -> None:
        if not self._frame:
            self._frame = {name: chunk[name] for name in FRAME if name in chunk}
        for choice in objects_of(chunk.get("choices")):
            delta = object_of(choice.get("delta"))
            text = delta.get("content")
            if isinstance(text, str) and text:
                self.texts.append(text)
            other = any(value for name, value in delta.items() if name not in SPOKEN)
            ended = choice.get("finish_reason") is not None
            if other or ended or choice.get("index", 0) != 0 or choice.get("logprobs"):
                self._simple = False


def _says_something(chunk: JsonObject) -> bool:
    """Takes the role away, which the caller knows; what is then empty is of no use."""
    choices = objects_of(chunk.get("choices"))
    for choice in choices:
        object_of(choice.get("delta")).pop("role", None)
    return not choices or any(
        any(object_of(choice.get("delta")).values()) or choice.get("finish_reason") is not None
        for choice in choices
    )
