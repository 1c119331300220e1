"""POST /v1/chat/completions: admission, faults, the model, and the pace of the answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aiohttp import web

from agentcore.kit.clock import Clock
from agentcore.kit.ids import Ids
from agentcore.kit.jsonvalue import JsonObject, dumps, loads
from agentcore.simulators.admission import Admission
from agentcore.simulators.dice import Dice
from agentcore.simulators.faults import REFUSALS, FaultBoard
from agentcore.simulators.head_metrics import HeadMetrics
from agentcore.simulators.journal import RequestJournal, RequestRecord
from agentcore.simulators.model import ScriptedModel
from agentcore.simulators.models import ClusterConfig, Fault, FaultKind
from agentcore.simulators.sampling import sampled
from agentcore.simulators.tokens import prompt_tokens
from agentcore.simulators.wire import (
    DONE,
    INTERNAL_ERROR,
    ROUTING_NOT_READY,
    SERVER_NOT_READY,
    ChatRequest,
    Completion,
    Refusal,
    Refused,
    chat_request,
    event,
    invalid,
    model_not_found,
)

Strikes = dict[FaultKind, Fault]

STREAM_HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "x-content-type-options": "nosniff",
    "cache-control": "no-cache",
}
DISCONNECT_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Pace:
    """When each event of a reply is due, in seconds from the start."""

    first: float
    each: float

    def due(self, number: int) -> float:
        return self.first + self.each * max(0, number - 1)


class ChatEndpoint:
    def __init__(
        self,
        config: ClusterConfig,
        *,
        clock: Clock,
        ids: Ids,
        model: ScriptedModel,
        faults: FaultBoard,
        admission: Admission,
        journal: RequestJournal,
        metrics: HeadMetrics,
    ) -> None:
        self._config = config
        self._clock = clock
        self._ids = ids
        self._model = model
        self._faults = faults
        self._admission = admission
        self._journal = journal
        self._metrics = metrics

    async def complete(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        record = self._journal.arrive(raw)
        outcome = "cancelled"
        try:
            response = await self._answer(request, raw, record)
            outcome = "dropped" if _gone(request) else str(response.status)
        except Refused as refused:
            outcome = str(refused.refusal.status)
            response = _json(refused.refusal.body(), status=refused.refusal.status)
        except ConnectionError:
            outcome = "disconnected"
            response = web.Response()
        finally:
            self._journal.leave(record, outcome)
        return response

    async def _answer(
        self, request: web.Request, raw: bytes, record: RequestRecord
    ) -> web.StreamResponse:
        chat = chat_request(_parsed(raw))
        record.stream = chat.stream
        strikes = self._faults.strike()
        record.faults = tuple(strikes)
        if "drop_connection" in strikes:
            return _drop(request)
        self._route(strikes)
        if budget := self._faults.standing("start_budget"):
            await self._admission.start(budget.seconds)
        async with self._admission.slot():
            return await self._serve(request, chat, record, strikes)

    def _route(self, strikes: Strikes) -> None:
        for kind, refusal in REFUSALS.items():
            if kind in strikes:
                raise Refused(refusal)
        if self._config.nodes == 0:
            raise Refused(SERVER_NOT_READY)

    async def _serve(
        self, request: web.Request, chat: ChatRequest, record: RequestRecord, strikes: Strikes
    ) -> web.StreamResponse:
        refusal = chat.refusal
        if self._config.role == "head" and chat.model not in {"", self._config.model}:
            refusal = model_not_found(chat.model)
        if refusal is None:
            refusal = self._too_long(chat)
        if refusal is not None:
            return await self._refuse(request, chat, refusal)
        begun = self._clock.monotonic()
        completion = self._complete(chat, record)
        pace = self._pace(chat, strikes.get("stall"))
        if chat.stream:
            response = await self._stream(request, completion, chat, pace, strikes)
        else:
            response = await self._plain(request, completion, pace, strikes)
        self._metrics.served(
            first_token=pace.first,
            whole=self._clock.monotonic() - begun,
            prompt_tokens=completion.prompt_tokens,
            completion_tokens=len(completion.tokens),
        )
        return response

    def _too_long(self, chat: ChatRequest) -> Refusal | None:
        length = prompt_tokens(message.content for message in chat.messages)
        if length < self._config.context_tokens:
            return None
        room = self._config.context_tokens
        return invalid(f"The prompt has {length} tokens, the context {room}.", by_node=True)

    async def _refuse(
        self, request: web.Request, chat: ChatRequest, refusal: Refusal
    ) -> web.StreamResponse:
        """A node's refusal, which a scheduler has by then promised to be a stream."""
        if not chat.stream:
            raise Refused(refusal)
        if refusal is INTERNAL_ERROR:
            response = await _open_stream(request)
            await response.write(event(refusal.body()) + DONE)
            return response
        if self._config.role == "head":
            raise Refused(refusal)
        return web.Response(body=dumps(refusal.body()), headers=STREAM_HEADERS)

    def _complete(self, chat: ChatRequest, record: RequestRecord) -> Completion:
        reply = self._model.reply(chat.messages)
        prompt = prompt_tokens(message.content for message in chat.messages)
        room = self._config.context_tokens - prompt
        tokens, finish, stop = sampled(reply.text, limit=min(chat.limit, room), stops=chat.stops)
        record.behaviour = reply.behaviour
        record.prompt_tokens, record.completion_tokens = prompt, len(tokens)
        return Completion(
            id=f"chatcmpl-{self._ids.new().hex}",
            created=int(self._clock.now().timestamp()),
            model=self._config.model,
            prompt_tokens=prompt,
            tokens=tokens,
            finish_reason=finish,
            stop_reason=stop,
        )

    def _pace(self, chat: ChatRequest, stall: Fault | None) -> Pace:
        question = chat.messages[-1].content.encode()
        chance = Dice(self._config.seed, question).chance("latency")
        factor = 1 + self._config.jitter * (2 * chance - 1)
        stalled = stall.seconds if stall else 0.0
        first = self._config.first_token_seconds * factor + stalled
        return Pace(first, self._config.token_seconds * factor)

    async def _plain(
        self, request: web.Request, completion: Completion, pace: Pace, strikes: Strikes
    ) -> web.StreamResponse:
        if seconds := pace.due(len(completion.tokens)):
            await self._clock.sleep(seconds)
        if silence := strikes.get("silent_stream"):
            await self._silence(request, silence.seconds)
            raise Refused(ROUTING_NOT_READY)
        if strikes.keys() & {"json_instead_of_stream", "error_event"}:
            raise Refused(INTERNAL_ERROR)
        if "cut_stream" in strikes:
            return _drop(request)
        return _json(completion.body())

    async def _stream(
        self,
        request: web.Request,
        completion: Completion,
        chat: ChatRequest,
        pace: Pace,
        strikes: Strikes,
    ) -> web.StreamResponse:
        # As Starlette does it: the status line is out before the first token exists.
        response = await _open_stream(request)
        if "json_instead_of_stream" in strikes:
            await self._clock.sleep(pace.first)
            await response.write(dumps(INTERNAL_ERROR.body()))
            return response
        events = completion.events(chat)
        broken = next(
            (f for k in ("cut_stream", "silent_stream", "error_event") if (f := strikes.get(k))),
            None,
        )
        if broken is None:
            events[-1] += DONE
            await self._write(response, events, pace)
            return response
        await self._write(response, events[: 1 + broken.after_tokens], pace)
        if broken.kind == "error_event":
            await response.write(event(INTERNAL_ERROR.body()) + DONE)
        elif broken.kind == "silent_stream":
            await self._silence(request, broken.seconds)
        return response

    async def _write(
        self, response: web.StreamResponse, events: Sequence[bytes], pace: Pace
    ) -> None:
        """Each event when it is due; those due together in one write."""
        begun = self._clock.monotonic()
        sent = 0
        while sent < len(events):
            now = self._clock.monotonic() - begun
            due = sent
            while due < len(events) and pace.due(due) <= now:
                due += 1
            if due == sent:
                await self._clock.sleep(pace.due(sent) - now)
                continue
            await response.write(b"".join(events[sent:due]))
            sent = due

    async def _silence(self, request: web.Request, seconds: float) -> None:
        """Say nothing until the time is over or the client has gone."""
        end = self._clock.monotonic() + seconds
        while (left := end - self._clock.monotonic()) > 0:
            if _gone(request):
                raise ConnectionResetError
            await self._clock.sleep(min(left, DISCONNECT_POLL_SECONDS))


def _parsed(raw: bytes) -> JsonObject:
    try:
        body = loads(raw)
    except ValueError:
        raise Refused(invalid("Invalid request body", by_node=False)) from None
    if not isinstance(body, dict):
        raise Refused(invalid("Request body must be a JSON object", by_node=False))
    return body


def _json(body: JsonObject, *, status: int = 200) -> web.Response:
    return web.Response(body=dumps(body), status=status, content_type="application/json")


async def _open_stream(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers=STREAM_HEADERS)
    await response.prepare(request)
    return response


def _drop(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _gone(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()
