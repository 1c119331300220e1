from __future__ import annotations

import json
from uuid import UUID

import pytest

from agentcore.kit.security import Principal
from agentcore.llm_gateway.asking import call_of
from agentcore.llm_gateway.dialects.chat import CHAT
from agentcore.llm_gateway.errors import InvalidChatRequest
from agentcore.llm_gateway.ingress import OpenAIEndpoint
from agentcore.llm_gateway.models import CallRecord, ChatCall
from tests.fakes.asgi_call import Call
from tests.fakes.clock import ManualClock
from tests.fakes.llm_provider import FakeProvider
from tests.fakes.llm_upstream import (
    Upstream,
    stalls,
)
from tests.unit.llm_gateway.conftest import HELLO, Asking, Build


@pytest.mark.parametrize("value", ["true", "1", "TRUE", "yes", "tru"])
async def test_a_private_header_is_a_yes_unless_it_is_a_plain_no(
    asking: Asking, upstream: Upstream, value: str
) -> None:
    call = await asking(x_agentcore_private=value).run()
    assert call.status == 403
    assert call.json["error"]["code"] == "privacy_violation"
    assert upstream.bodies == []


@pytest.mark.parametrize("value", ["false", "0", "no", " False "])
async def test_a_plain_no(asking: Asking, value: str) -> None:
    assert (await asking(x_agentcore_private=value).run()).status == 200


async def test_a_private_credential_and_a_private_mark(asking: Asking, upstream: Upstream) -> None:
    owner = Principal(subject="a", tenant="t", scopes=frozenset({"llm"}), private=True)
    assert (await asking(principal=owner, x_agentcore_private="false").run()).status == 403
    marked = {"metadata": {"agentcore_private": True}}
    assert (await asking(marked).run()).status == 403
    assert upstream.bodies == []


async def test_a_credential_needs_the_scope(asking: Asking) -> None:
    nobody = Principal(subject="a", tenant="t", scopes=frozenset({"a2a"}))
    assert (await asking(principal=nobody).run()).status == 403
    assert (await asking(principal=None).run()).status == 401


async def test_priority(build: Build, clock: ManualClock) -> None:
    cluster = FakeProvider("cluster", clock, self_hosted=True)
    endpoint = OpenAIEndpoint(lambda: build(cluster), clock=clock, max_body_bytes=10_000)
    raw = json.dumps(HELLO).encode()
    low = await Call(endpoint, raw, x_agentcore_priority="low").run()
    assert low.headers["x-agentcore-reason"] == "default"
    high = await Call(endpoint, raw, x_agentcore_priority="High").run()
    assert high.headers["x-agentcore-reason"] == "cost_optimization"
    odd = await Call(endpoint, raw, x_agentcore_priority="urgent").run()
    assert odd.status == 400
    assert "high, medium, low" in odd.json["error"]["message"]


@pytest.mark.parametrize("value", ["0", "-1", "soon", "nan", "inf"])
async def test_a_timeout_is_a_number_of_seconds(asking: Asking, value: str) -> None:
    assert (await asking(x_agentcore_timeout=value).run()).status == 400


async def test_a_timeout_is_kept(asking: Asking, upstream: Upstream) -> None:
    upstream.behaviour = stalls()
    call = await asking(x_agentcore_timeout="0.05").run()
    assert call.status == 504


async def test_what_the_caller_calls_itself_is_on_the_ledger(
    asking: Asking, lines: list[CallRecord]
) -> None:
    keyed = Principal(subject="a", tenant="t", scopes=frozenset({"llm"}), key_id="k1")
    headers = {
        "x_agentcore_agent": "planner",
        "x_agentcore_conversation": "trip to Rome",
        "x_agentcore_task": "task-7",
    }
    assert (await asking(principal=keyed, **headers).run()).status == 200
    assert (await asking().run()).status == 200
    told = [(line.key_id, line.agent, line.conversation) for line in lines]
    assert told == [("k1", "planner", "trip to Rome"), ("", "", "")]
    assert lines[0].trace_id == "task-7" != lines[1].trace_id


async def test_a_call_counts_for_the_task_that_it_names_and_for_none_by_its_trace(
    asking: Asking, lines: list[CallRecord]
) -> None:
    """A trace may go through several tasks; ids of tasks have hyphens, ids of traces have none."""
    trace = "0af7651916cd43dd8448eb211c80319c"
    task = str(UUID(trace))
    for headers in ({}, {"x_agentcore_task": task}):
        call = asking(**headers)
        call.scope["state"] |= {"trace_id": trace, "traceparent": f"00-{trace}-b7ad6b7169203331-01"}
        assert (await call.run()).status == 200
    assert [line.trace_id for line in lines] == [trace, task]


@pytest.mark.parametrize("name", ["x" * 129, "a\tb", "\x7f"])
async def test_a_name_that_no_line_could_hold_is_refused(asking: Asking, name: str) -> None:
    call = await asking(x_agentcore_agent=name).run()
    assert call.status == 400
    assert "x-agentcore-agent" in call.json["error"]["message"]


def called(*headers: tuple[bytes, bytes]) -> ChatCall:
    principal = Principal(subject="a", tenant="t", scopes=frozenset({"llm"}))
    scope = {"headers": list(headers), "state": {"principal": principal}}
    return call_of(json.dumps(HELLO).encode(), scope, CHAT, ManualClock())


@pytest.mark.parametrize("written", ["Zoë".encode(), "Zoë".encode("latin-1")])
def test_a_name_is_read_as_it_was_written(written: bytes) -> None:
    assert called((b"x-agentcore-agent", written)).agent == "Zoë"


def test_features_that_are_asked_of_anthropic() -> None:
    assert called().beta == ""
    assert called((b"anthropic-beta", b"a-2025,b-2026")).beta == "a-2025,b-2026"
    twice = called((b"anthropic-beta", b"a"), (b"x", b"y"), (b"anthropic-beta", b"b"))
    assert twice.beta == "a,b"


@pytest.mark.parametrize("value", [b"", b"a\r\nx-api-key: b", b"\xff", b"a" * 1001])
def test_no_other_header_comes_with_them(value: bytes) -> None:
    with pytest.raises(InvalidChatRequest, match="anthropic-beta"):
        called((b"anthropic-beta", value))


def test_whether_a_broken_stream_is_to_be_carried_on() -> None:
    assert not called().resume
    assert not called((b"x-agentcore-resume", b"No")).resume
    assert called((b"x-agentcore-resume", b"true")).resume
