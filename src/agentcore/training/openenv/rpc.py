"""The JSON-RPC methods of environment sessions, and A2A methods as actions inside one."""

from __future__ import annotations

import base64
from typing import cast

from pydantic import BaseModel, ConfigDict, Field

from agentcore.a2a_protocol.dispatcher import CallContext, EventStream, MethodRegistry
from agentcore.a2a_protocol.models.jsonrpc import JsonRpcRequest
from agentcore.kit.jsonvalue import JsonObject
from agentcore.training.openenv.models import Action, JsonMap, Observation
from agentcore.training.openenv.session import EnvironmentSession
from agentcore.training.openenv.sessions import EnvironmentSessions

MOST_AGENTS = 100
SESSION_ID = r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$"


class Params(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ListParams(Params):
    limit: int = Field(50, ge=1, le=200)
    cursor: str = Field("", max_length=256)


class OpenParams(Params):
    """``seed`` starts the first episode at once; ``agents`` may act in the session too.

    With a ``session_id`` of one's own the call can be repeated: it opens one session.
    """

    session_id: str | None = Field(None, pattern=SESSION_ID)
    environment: str = Field(max_length=256)
    url: str | None = Field(None, max_length=2048)
    seed: int | None = Field(None, ge=0, strict=True)
    agents: tuple[str, ...] = Field((), max_length=MOST_AGENTS)


class SessionParams(Params):
    session_id: str = Field(max_length=256)


class ResetParams(SessionParams):
    seed: int | None = Field(None, ge=0, strict=True)
    options: JsonMap = Field(default_factory=dict)


class StepParams(SessionParams):
    action: Action


class SubscribeParams(SessionParams):
    """``after`` is the id of the last event that was seen; ``0`` asks for all that are kept."""

    after: str | None = Field(None, max_length=256)


def register_methods(registry: MethodRegistry, sessions: EnvironmentSessions) -> None:
    methods = EnvironmentMethods(sessions)
    registry.add("environment.list", ListParams, methods.list, scope="env:act")
    registry.add("environment.open", OpenParams, methods.open, scope="env:control")
    registry.add("environment.reset", ResetParams, methods.reset, scope="env:control")
    registry.add("environment.close", SessionParams, methods.close, scope="env:control")
    registry.add("environment.step", StepParams, methods.step, scope="env:act")
    registry.add("environment.state", SessionParams, methods.state, scope="env:act")
    registry.add("environment.render", SessionParams, methods.render, scope="env:act")
    registry.add_stream("environment.subscribe", SubscribeParams, methods.follow, scope="env:act")
    registry.set_session_handler(methods.act)


class EnvironmentMethods:
    def __init__(self, sessions: EnvironmentSessions) -> None:
        self._sessions = sessions

    async def list(self, params: ListParams, context: CallContext) -> JsonObject:
        page = await self._sessions.inventory.listed(limit=params.limit, cursor=params.cursor)
        return page.model_dump(mode="json")

    async def open(self, params: OpenParams, context: CallContext) -> JsonObject:
        session = await self._sessions.open(
            context.principal,
            params.environment,
            url=params.url,
            agents=params.agents,
            session_id=params.session_id,
            seed=params.seed,
        )
        opened: JsonObject = {
            "session_id": session.name,
            "environment": session.info.model_dump(mode="json"),
        }
        if params.agents:
            opened["shared_id"] = session.id
        return opened if session.first is None else {**opened, **_shown(session.first)}

    async def reset(self, params: ResetParams, context: CallContext) -> JsonObject:
        async with self._sessions.using(context.principal, params.session_id) as session:
            return _shown(
                await session.reset(params.seed, params.options, parent=context.traceparent)
            )

    async def step(self, params: StepParams, context: CallContext) -> JsonObject:
        async with self._sessions.using(context.principal, params.session_id) as session:
            return await _stepped(session, params.action, context)

    async def follow(self, params: SubscribeParams, context: CallContext) -> EventStream:
        return self._sessions.follow(context.principal, params.session_id, params.after)

    async def state(self, params: SessionParams, context: CallContext) -> JsonObject:
        async with self._sessions.using(context.principal, params.session_id) as session:
            return await session.state()

    async def render(self, params: SessionParams, context: CallContext) -> JsonObject:
        async with self._sessions.using(context.principal, params.session_id) as session:
            image = await session.render()
        encoded = None if image is None else base64.b64encode(image).decode()
        return {"media_type": "image/png", "image": encoded}

    async def close(self, params: SessionParams, context: CallContext) -> JsonObject:
        await self._sessions.close(context.principal, params.session_id)
        return {"closed": True}

    async def act(self, method: str, params: JsonObject, context: CallContext) -> JsonObject:
        """Carry out an A2A method as an action of the session that the call names."""
        context.principal.require("env:act")
        described: JsonObject = {
            "trace_id": context.trace_id or None,
            "source_agent": context.source_agent,
            "target_agent": context.target_agent,
            "session_id": context.session_id,
            "timestamp": context.timestamp,
        }
        request = JsonRpcRequest(
            method=method, params={**params, "a2a_context": described}, id=context.request_id
        )
        session_id = context.session_id or ""
        async with self._sessions.using(context.principal, session_id) as session:
            action = await session.adapter.jsonrpc_to_action(request)
            return await _stepped(session, action, context)


async def _stepped(session: EnvironmentSession, action: Action, context: CallContext) -> JsonObject:
    result = await session.step(action, parent=context.traceparent)
    answer = await session.adapter.result_to_jsonrpc(result, context.request_id)
    return cast("JsonObject", answer.result)


def _shown(observation: Observation) -> JsonObject:
    return {"observation": observation.state, "metadata": observation.metadata}
