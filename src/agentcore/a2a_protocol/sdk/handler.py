"""The specification's methods, answered by the SDK's own request handler and dispatcher."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from a2a.server.agent_execution import AgentExecutor, RequestContext, RequestContextBuilder
from a2a.server.context import ServerCallContext
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.routes.jsonrpc_dispatcher import JsonRpcDispatcher
from a2a.types import a2a_pb2 as pb

from agentcore.a2a_protocol.dispatcher import Answer, Caller
from agentcore.a2a_protocol.envelope import Call, Family, error_object
from agentcore.a2a_protocol.errors import InvalidParams
from agentcore.a2a_protocol.hosting import HostedAgents
from agentcore.a2a_protocol.sdk.context import (
    CallerContextBuilder,
    ParsedRequest,
    TimeOrderedIds,
    call_context,
    user_of,
)
from agentcore.a2a_protocol.sdk.faults import protocol_errors
from agentcore.a2a_protocol.sdk.task_store import AGENT_ID, PostgresTaskStore, RowFollower
from agentcore.a2a_protocol.sdk.values import struct_to_json
from agentcore.kit import jsonvalue
from agentcore.kit.errors import InternalError
from agentcore.kit.ids import Ids
from agentcore.kit.jsonvalue import JsonObject, JsonValue

if TYPE_CHECKING:
    from starlette.responses import Response

# Their log lines repeat, some with a stack trace, what the caller is told anyway.
NOISY = (
    "a2a.compat.v0_3.jsonrpc_adapter",
    "a2a.server.request_handlers.request_handler",
    "a2a.server.routes.jsonrpc_dispatcher",
)
# A task that waits for its client is let go from memory after this many seconds.
PARKED_SECONDS = 300.0


class TurnBuilder(RequestContextBuilder):
    """Completes what a message leaves out: its context, its agent, new ids."""

    def __init__(self, store: PostgresTaskStore, hosted: HostedAgents, ids: Ids) -> None:
        self._store = store
        self._hosted = hosted
        self._ids = TimeOrderedIds(ids)

    async def build(
        self,
        context: ServerCallContext,
        params: pb.SendMessageRequest | None = None,
        task_id: str | None = None,
        context_id: str | None = None,
        task: pb.Task | None = None,
    ) -> RequestContext:
        named = ""
        if params is not None:
            # The names that a client may use to say which agent it means, most specific first.
            said = (struct_to_json(params.message), struct_to_json(params))
            names = (meta.get(key) for meta in said for key in ("agent_id", AGENT_ID))
            named = next((str(name) for name in names if name), context.tenant)
        if task_id is not None and (stored := await self._store.get(task_id, context)):
            # The SDK would make up a new context for a turn that names only its task.
            context_id = context_id or stored.task.context_id
            named = str(struct_to_json(stored.task).get(AGENT_ID) or named)
        with protocol_errors():
            user_of(context).hosting = self._hosted.choose(named)
        turn = RequestContext(
            context,
            params,
            task_id=task_id,
            context_id=context_id,
            task=task,
            task_id_generator=self._ids,
            context_id_generator=self._ids,
        )
        if task_id is None:
            user_of(context).unsaved = turn.task_id
        return turn


class BoundedRequestHandler(DefaultRequestHandler):
    """A blocking send returns the task as it stands when its agent takes too long."""

    def __init__(
        self,
        executor: AgentExecutor,
        store: PostgresTaskStore,
        *,
        card: pb.AgentCard,
        turns: TurnBuilder,
        follower: RowFollower,
        blocking_seconds: float,
    ) -> None:
        super().__init__(
            executor,
            store,
            card,
            request_context_builder=turns,
            event_stream=follower,
            interrupted_task_timeout=PARKED_SECONDS,
        )
        self._blocking_seconds = blocking_seconds

    async def on_message_send(
        self, params: pb.SendMessageRequest, context: ServerCallContext
    ) -> pb.Message | pb.Task:
        try:
            async with asyncio.timeout(self._blocking_seconds):
                answer: pb.Message | pb.Task = await super().on_message_send(params, context)
                return answer
        except TimeoutError:
            asked = pb.GetTaskRequest(id=params.message.task_id)
            found: pb.Task | None = await self.on_get_task(asked, context)
            if found is None:
                raise InternalError("the agent has not begun to answer") from None
            return found


class SdkMethods:
    """Hands parsed calls to the SDK's dispatcher and mends what it answers to faults."""

    def __init__(self, handler: DefaultRequestHandler) -> None:
        self._dispatcher = JsonRpcDispatcher(
            handler, context_builder=CallerContextBuilder(), enable_v0_3_compat=True
        )
        for name in NOISY:
            logging.getLogger(name).setLevel(logging.CRITICAL)  # noqa: TID251 -- not ours to bind

    async def answer(self, call: Call, caller: Caller) -> Answer:
        context = call_context(caller, call.family)
        request = ParsedRequest(call.body, context, caller)
        response = await self._dispatcher.handle_requests(request)
        if not _is_whole(response):
            return Answer(stream=response)
        body = bytes(response.body)
        error = _error_in(body)
        if error is None:
            return Answer(body=body)
        mended = mend(error, call, context)
        answer: JsonObject = {"jsonrpc": "2.0", "id": call.id, "error": mended}
        return Answer(body=jsonvalue.dumps(answer), code=str(mended.get("code")))


def mend(error: JsonObject, call: Call, context: ServerCallContext) -> JsonObject:
    """The error as the caller should read it: our own fault named, nothing of ours quoted."""
    failure = user_of(context).failure
    if error.get("code") == -32603:
        return error_object(failure or InternalError("the service failed to answer"))
    if call.family is Family.V0_3 and error.get("code") == -32600:
        # The envelope has accepted the request, so it is the parameters that do not fit.
        return error_object(InvalidParams(_first_fault(error.get("data"), call.method)))
    return error


def _first_fault(report: JsonValue, method: str) -> str:
    """Place and reason of the first fault that pydantic's ``report`` names."""
    lines = str(report).splitlines()
    if len(lines) < 3:
        return f"the parameters of {method} are not valid"
    return f"{lines[1].strip()}: {lines[2].strip().partition(' [type=')[0]}"


def _is_whole(response: Response) -> bool:
    return not hasattr(response, "body_iterator")


def _error_in(body: bytes) -> JsonObject | None:
    if b'"error"' not in body:
        return None
    document = jsonvalue.loads(body)
    error = document.get("error") if isinstance(document, dict) else None
    return error if isinstance(error, dict) else None
