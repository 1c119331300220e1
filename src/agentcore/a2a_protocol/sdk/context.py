"""Who calls, and for which agent: what our code hangs on the SDK's context objects."""

from __future__ import annotations

from a2a.auth.user import User
from a2a.extensions.common import HTTP_EXTENSION_HEADER, get_requested_extensions
from a2a.server.context import ServerCallContext
from a2a.server.id_generator import IDGenerator, IDGeneratorContext
from a2a.server.routes.common import ServerCallContextBuilder
from starlette.requests import Request

from agentcore.a2a_protocol.dispatcher import Caller
from agentcore.a2a_protocol.envelope import Family
from agentcore.a2a_protocol.hosting import Hosting
from agentcore.a2a_protocol.models.task import Owner
from agentcore.kit.errors import AgentCoreError
from agentcore.kit.ids import Ids
from agentcore.kit.jsonvalue import JsonObject
from agentcore.kit.security import Principal


class CallerUser(User):
    """The SDK's view of a principal.

    ``hosting`` is the agent that the message is for; ``unsaved`` the id made for a task that has
    no row yet; ``failure`` the fault of ours behind an internal error of the SDK, so that the
    caller hears the real one.
    """

    def __init__(self, principal: Principal) -> None:
        self.principal = principal
        self.hosting: Hosting | None = None
        self.unsaved: str | None = None
        self.failure: AgentCoreError | None = None

    @property
    def is_authenticated(self) -> bool:
        return True

    @property
    def user_name(self) -> str:
        return self.principal.subject

    @property
    def owner(self) -> Owner:
        return Owner(tenant=self.principal.tenant, subject=self.principal.subject)


def user_of(context: ServerCallContext) -> CallerUser:
    if not isinstance(context.user, CallerUser):
        raise TypeError(f"a call context of {type(context.user).__name__}, not of a caller")
    return context.user


def call_context(caller: Caller, family: Family = Family.V1_0) -> ServerCallContext:
    extensions = [
        value.decode("latin-1")
        for name, value in caller.headers
        if name == HTTP_EXTENSION_HEADER.lower().encode()
    ]
    return ServerCallContext(
        user=CallerUser(caller.principal),
        # The dispatcher has compared the version already; the SDK compares again.
        state={"headers": {"a2a-version": family.value}},
        requested_extensions=get_requested_extensions(extensions),
    )


class ParsedRequest(Request):
    """A request whose body was parsed before; the SDK reads it from here."""

    def __init__(self, body: JsonObject, context: ServerCallContext, caller: Caller) -> None:
        super().__init__({"type": "http", "method": "POST", "headers": list(caller.headers)})
        self.context = context
        self._parsed = body

    async def json(self) -> JsonObject:
        return self._parsed


class CallerContextBuilder(ServerCallContextBuilder):
    def build(self, request: Request) -> ServerCallContext:
        if not isinstance(request, ParsedRequest):
            raise TypeError("requests reach the SDK through SdkMethods only")
        return request.context


class TimeOrderedIds(IDGenerator):
    def __init__(self, ids: Ids) -> None:
        self._ids = ids

    def generate(self, context: IDGeneratorContext) -> str:
        return str(self._ids.new())
