from __future__ import annotations

import pytest

from agentcore.a2a_protocol.dispatcher import Caller
from agentcore.a2a_protocol.envelope import Call, family_of
from agentcore.a2a_protocol.sdk.context import call_context, user_of
from agentcore.a2a_protocol.sdk.handler import mend
from agentcore.kit.errors import AgentCoreError, Unavailable
from agentcore.kit.jsonvalue import JsonObject
from tests.fakes.a2a import at, principal


def mended(method: str, error: JsonObject, failure: AgentCoreError | None = None) -> JsonObject:
    context = call_context(Caller(principal=principal()))
    user_of(context).failure = failure
    call = Call(
        method=method, family=family_of(method), params={}, id=1, notification=False, body={}
    )
    return mend(error, call, context)


def test_an_internal_error_says_nothing_of_the_inside() -> None:
    error = mended("SendMessage", {"code": -32603, "message": "SELECT secret", "data": "Traceback"})
    assert error["code"] == -32603
    assert "secret" not in str(error)
    assert "Traceback" not in str(error)


@pytest.mark.parametrize("method", ["SendMessage", "message/send"])
def test_a_failure_of_ours_is_told_as_it_is(method: str) -> None:
    away = Unavailable("the database is away", retry_after=2)
    error = mended(method, {"code": -32603, "message": "x"}, away)
    assert (error["code"], error["message"]) == (-32055, "the database is away")
    assert at(error, "data", "retryable") is True


REPORT = """1 validation error for SendMessageRequest
params.message
  Field required [type=missing, input_value={}, input_type=dict]
    For further information visit https://errors.example/v/missing"""


@pytest.mark.parametrize(
    ("report", "said"),
    [
        (REPORT, "params.message: Field required"),
        ("odd", "the parameters of message/send are not valid"),
        (None, "the parameters of message/send are not valid"),
    ],
)
def test_bad_params_of_0_3_have_their_number(report: str | None, said: str) -> None:
    error = mended("message/send", {"code": -32600, "message": "Invalid", "data": report})
    assert (error["code"], error["message"]) == (-32602, said)


@pytest.mark.parametrize(
    ("method", "code"), [("SendMessage", -32600), ("GetTask", -32001), ("tasks/get", -32001)]
)
def test_other_errors_stay(method: str, code: int) -> None:
    error: JsonObject = {"code": code, "message": "m", "data": []}
    assert mended(method, error) is error
