"""The methods of the specification, those of 1.0 and of 0.3, on one task manager."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace

from agentcore.a2a_protocol.agent_lifecycle_manager import AgentLifecycleManager
from agentcore.a2a_protocol.cards import Cards
from agentcore.a2a_protocol.dispatcher import Answer, Caller
from agentcore.a2a_protocol.envelope import Call, Family, error_response, result_response
from agentcore.a2a_protocol.errors import (
    InvalidParams,
    UnknownMethod,
    UnsupportedOperation,
)
from agentcore.a2a_protocol.late import LateWires, Wire
from agentcore.a2a_protocol.models.config import A2AConfig
from agentcore.a2a_protocol.models.task import TERMINAL, TaskRecord
from agentcore.a2a_protocol.models.turn import Sent
from agentcore.a2a_protocol.push.configs import Hearing, PushConfigs
from agentcore.a2a_protocol.task_manager import Begun, TaskManager
from agentcore.a2a_protocol.tasks.following import Followers
from agentcore.a2a_protocol.tasks.snapshot import TASK
from agentcore.a2a_protocol.views import history_of, listing, owner_of, paged
from agentcore.kit import jsonvalue
from agentcore.kit.errors import AgentCoreError
from agentcore.kit.jsonvalue import JsonObject, JsonValue, object_of
from agentcore.kit.server_events import HEARTBEAT, EventResponse, ServerEvent

LAST_EVENT_ID = b"last-event-id"
# A card that lists more is none that anybody reads: agent.discover has pages.
MOST_AGENTS = 200
PUSH_OPTION = "taskPushNotificationConfig"

Run = Callable[[JsonObject, Caller], Awaitable[JsonValue]]


@dataclass(frozen=True, slots=True)
class Opening:
    """What a stream begins with, as the event of that number; then the task's, behind it."""

    first: bytes = b""
    record: TaskRecord | None = None
    after: int = 0


Begin = Callable[[JsonObject, Caller], Awaitable[Opening]]


class ExtendedCards:
    """What a caller who has shown a credential may see beyond the public card."""

    def __init__(self, agents: AgentLifecycleManager, cards: Cards) -> None:
        self._agents = agents
        self._cards = cards

    async def of(self, caller: Caller) -> JsonObject:
        if caller.agent or not self._cards.auth:
            raise UnsupportedOperation(
                "there is no extended card at this address",
                hint="the card's capabilities say whether there is one",
            )
        known = await self._agents.active(caller.principal, limit=MOST_AGENTS)
        return self._cards.extended(caller.base, known)


class SpecMethods:
    def __init__(
        self,
        manager: TaskManager,
        wires: LateWires,
        config: A2AConfig,
        *,
        followers: Followers,
        cards: ExtendedCards,
        pushes: PushConfigs,
    ) -> None:
        self._followers = followers
        self._cards = cards
        self._pushes = pushes
        self._manager = manager
        self._wires = wires
        self._config = config
        self._methods: dict[str, Run] = {
            "SendMessage": self._send,
            "GetTask": self._get,
            "ListTasks": self._list,
            "CancelTask": self._cancel,
            "CreateTaskPushNotificationConfig": self._create_push,
            "GetTaskPushNotificationConfig": self._get_push,
            "ListTaskPushNotificationConfigs": self._list_pushes,
            "DeleteTaskPushNotificationConfig": self._delete_push,
            "GetExtendedAgentCard": self._card,
        }
        self._streams: dict[str, Begin] = {
            "SendStreamingMessage": self._send_streaming,
            "SubscribeToTask": self._subscribe,
        }

    async def answer(self, call: Call, caller: Caller) -> Answer:
        old = call.family is Family.V0_3
        wire = await (self._wires.previous() if old else self._wires.current())
        name = wire.method(call.method)
        if name is None:
            raise UnknownMethod(f"there is no method {call.method[:80]!r} in A2A {call.family}")
        request = wire.read(call.method, call.body)
        caller = replace(caller, family=call.family.value)
        if name in self._streams:
            return await self._streamed(self._streams[name], request, caller, call, wire)
        result = wire.write(name, await self._methods[name](request, caller))
        return Answer(body=result_response(call.id, result))

    async def _streamed(
        self, begin: Begin, request: JsonObject, caller: Caller, call: Call, wire: Wire
    ) -> Answer:
        try:
            opening = await begin(request, caller)
        except AgentCoreError as error:
            if call.family is not Family.V0_3:
                raise
            # Clients of 0.3 read nothing but a stream there.
            refusal = EventResponse(_once(error_response(call.id, error)))
            return Answer(stream=refusal, code=str(error.rpc_code))
        return Answer(stream=EventResponse(self._told(opening, call, wire)))

    async def _told(self, opening: Opening, call: Call, wire: Wire) -> AsyncGenerator[ServerEvent]:
        """Each event as an answer to ``call``; a fault on the way is the last answer."""
        record, after, call_id = opening.record, opening.after, jsonvalue.dumps(call.id)
        try:
            if opening.first:
                yield ServerEvent(wire.event(call_id, opening.first), str(after) if record else "")
            if record is None:
                return
            async with aclosing(self._followers.follow(record, after)) as events:
                async for event in events:
                    if event is None:
                        yield HEARTBEAT
                    else:
                        yield ServerEvent(wire.event(call_id, event.body), str(event.seq))
        except AgentCoreError as error:
            yield ServerEvent(error_response(call.id, error))

    async def _send(self, request: JsonObject, caller: Caller) -> JsonValue:
        options = object_of(request.get("configuration"))
        history = history_of(options)
        sent = _sent(request, caller)
        if (message := await self._manager.reply(sent)) is not None:
            return {"message": message}
        begun = await self._begun(sent, options, caller)
        if options.get("returnImmediately") is True:
            return {"task": begun.snapshot.rendered(history=history)}
        snapshot = await self._manager.settled(begun, self._config.blocking_seconds)
        return {"task": snapshot.rendered(history=history)}

    async def _get(self, request: JsonObject, caller: Caller) -> JsonValue:
        return await self._manager.get(
            owner_of(caller.principal),
            str(request["id"]),
            history=history_of(request),
            agent=caller.agent,
        )

    async def _list(self, request: JsonObject, caller: Caller) -> JsonValue:
        wanted = listing(request, caller.agent)
        tasks, total, token = await paged(self._manager, owner_of(caller.principal), wanted)
        return {
            "tasks": tasks,
            "nextPageToken": token,
            "pageSize": wanted.limit,
            "totalSize": total,
        }

    async def _cancel(self, request: JsonObject, caller: Caller) -> JsonValue:
        owner = owner_of(caller.principal)
        return await self._manager.cancel(owner, str(request["id"]), caller.agent)

    async def _begun(self, sent: Sent, options: JsonObject, caller: Caller) -> Begun:
        """The message sent, and the webhook set that it brings along, if it brings one."""
        config = object_of(options.get(PUSH_OPTION))
        if config:
            self._pushes.check(config)
        begun = await self._manager.send(sent)
        if config:
            hearing = Hearing(begun.record.task_id, begun.record.version)
            await self._pushes.create(hearing, config, caller.family)
        return begun

    async def _create_push(self, request: JsonObject, caller: Caller) -> JsonValue:
        record = await self._pushed(request, caller)
        hearing = Hearing(record.task_id, record.version)
        return await self._pushes.create(hearing, request, caller.family)

    async def _get_push(self, request: JsonObject, caller: Caller) -> JsonValue:
        record = await self._pushed(request, caller)
        return await self._pushes.get(record.task_id, str(request["id"]))

    async def _list_pushes(self, request: JsonObject, caller: Caller) -> JsonValue:
        return await self._pushes.list((await self._pushed(request, caller)).task_id)

    async def _delete_push(self, request: JsonObject, caller: Caller) -> JsonValue:
        record = await self._pushed(request, caller)
        await self._pushes.delete(record.task_id, str(request["id"]))
        return None

    async def _pushed(self, request: JsonObject, caller: Caller) -> TaskRecord:
        """The caller's own task that the request is about."""
        self._pushes.check_offered()
        owner = owner_of(caller.principal)
        return (await self._manager.find(owner, str(request["taskId"]), caller.agent)).record

    async def _card(self, _request: JsonObject, caller: Caller) -> JsonValue:
        return await self._cards.of(caller)

    async def _send_streaming(self, request: JsonObject, caller: Caller) -> Opening:
        """The task, then its events; a repeated message takes the stream up where it is."""
        options = object_of(request.get("configuration"))
        history = history_of(options)
        sent = _sent(request, caller)
        if (message := await self._manager.reply(sent)) is not None:
            return Opening(jsonvalue.dumps({"message": message}))
        begun = await self._begun(sent, options, caller)
        last = None if begun.turn is not None else _last_event(caller)
        if last is not None and await self._followers.resumable(begun.record, last):
            return Opening(record=begun.record, after=last)
        return _whole(begun.record, begun.snapshot.rendered(history=history))

    async def _subscribe(self, request: JsonObject, caller: Caller) -> Opening:
        """The task as it is, then its events; or, behind ``Last-Event-ID``, all that was missed."""
        owner = owner_of(caller.principal)
        stored = await self._manager.find(owner, str(request["id"]), caller.agent)
        record, last = stored.record, _last_event(caller)
        if record.state in TERMINAL and (last is None or last >= record.version):
            raise UnsupportedOperation(
                f"the task {record.task_id} has ended: {record.state}",
                hint="GetTask has all of it",
            )
        if last is not None and await self._followers.resumable(record, last):
            return Opening(record=record, after=last)
        return _whole(record, stored.snapshot.rendered())


def _whole(record: TaskRecord, task: JsonObject) -> Opening:
    """``task``, as it is now, comes first."""
    return Opening(jsonvalue.dumps({TASK: task}), record, record.version)


async def _once(body: bytes) -> AsyncGenerator[ServerEvent]:
    yield ServerEvent(body)


def _sent(request: JsonObject, caller: Caller) -> Sent:
    return Sent(
        principal=caller.principal,
        message=object_of(request["message"]),
        metadata=object_of(request.get("metadata")),
        tenant=str(request.get("tenant", "")),
        agent=caller.agent,
        traceparent=caller.traceparent,
        trace_id=caller.trace_id,
    )


def _last_event(caller: Caller) -> int | None:
    """The event that a returning reader has seen last."""
    said = next((value for name, value in caller.headers if name == LAST_EVENT_ID), b"").strip()
    if not said:
        return None
    if not said.isdigit() or len(said) > 18:
        raise InvalidParams(
            f"Last-Event-ID is {said[:40].decode('latin-1')!r}, and has to be the id of an event",
            hint="repeat the id of the last event that came, or leave the header out",
        )
    return int(said)
