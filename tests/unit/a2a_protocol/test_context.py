from __future__ import annotations

import pytest
from a2a.server.context import ServerCallContext
from starlette.requests import Request

from agentcore.a2a_protocol.dispatcher import Caller
from agentcore.a2a_protocol.envelope import Family
from agentcore.a2a_protocol.models.task import Owner
from agentcore.a2a_protocol.sdk.context import (
    CallerContextBuilder,
    ParsedRequest,
    TimeOrderedIds,
    call_context,
    user_of,
)
from agentcore.kit.ids import Ids
from tests.fakes.a2a import principal

CALLER = Caller(principal=principal("bob", "acme"), headers=((b"a2a-extensions", b"urn:x, urn:y"),))


def test_the_sdk_sees_the_principal_as_its_user() -> None:
    context = call_context(CALLER, Family.V0_3)
    user = user_of(context)
    assert (user.is_authenticated, user.user_name) == (True, "bob")
    assert user.owner == Owner(tenant="acme", subject="bob")
    assert context.requested_extensions == {"urn:x", "urn:y"}
    assert context.state["headers"] == {"a2a-version": "0.3"}


def test_a_context_of_nobody_is_a_defect() -> None:
    with pytest.raises(TypeError):
        user_of(ServerCallContext())


async def test_a_parsed_request_is_not_parsed_again() -> None:
    context = call_context(CALLER)
    request = ParsedRequest({"method": "x"}, context, CALLER)
    assert await request.json() == {"method": "x"}
    assert CallerContextBuilder().build(request) is context
    with pytest.raises(TypeError):
        CallerContextBuilder().build(Request({"type": "http", "headers": []}))


def test_ids_are_ordered_by_time() -> None:
    from a2a.server.id_generator import IDGeneratorContext

    made = TimeOrderedIds(Ids()).generate(IDGeneratorContext())
    assert made[14] == "7"
