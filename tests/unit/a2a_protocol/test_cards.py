from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace

import httpx2
import pytest
from a2a.client.card_resolver import parse_agent_card
from a2a.server.request_handlers.response_helpers import agent_card_to_dict
from a2a.types import a2a_pb2 as pb
from google.protobuf.json_format import (  # type: ignore[import-untyped]  # ships no types
    ParseDict,
)

from agentcore.a2a_protocol.agent_methods import Params
from agentcore.a2a_protocol.card import CardFacts, platform_card
from agentcore.a2a_protocol.cards import AGENTS, MOST_CARDS
from agentcore.a2a_protocol.dispatcher import CallContext
from agentcore.a2a_protocol.errors import AgentNotFound
from agentcore.a2a_protocol.hosting import Hosting
from agentcore.a2a_protocol.models.config import A2AConfig
from agentcore.kit.db import Database
from agentcore.kit.jsonvalue import JsonObject, JsonValue
from tests.fakes.a2a import ScriptedAgent, a2a, app_of, at, served

CARD = ".well-known/agent-card.json"


def card(*, both: bool) -> JsonObject:
    facts = CardFacts(version="1.0.0", auth=True, hosted=(), methods=("agent.register",))
    return platform_card(A2AConfig.model_validate({"protocol_0_3": both}), facts, "http://x/a2a")


@pytest.mark.parametrize("both", [True, False])
def test_the_sdk_reads_our_card(both: bool) -> None:
    """Members that are not of 1.0 are those that the SDK itself would add for clients of 0.3."""
    ours = card(both=both)
    read = ParseDict(ours, pb.AgentCard(), ignore_unknown_fields=True)
    theirs = agent_card_to_dict(read)
    assert theirs.keys() - ours.keys() == set()
    assert ours.keys() - theirs.keys() <= {"supportsAuthenticatedExtendedCard"}
    assert (theirs.get("url"), theirs.get("security")) == (ours.get("url"), ours.get("security"))
    if not both:
        ParseDict(ours, pb.AgentCard())


async def test_a_card_follows_what_is_added(database: Database) -> None:
    async def hello(params: Params, context: CallContext) -> JsonValue:
        return None

    async with a2a(database) as runtime:
        before = runtime.cards.at("http://x")
        assert runtime.cards.at("http://x") is before
        runtime.hosted.add(Hosting(agent_id="third", agent=ScriptedAgent()))
        runtime.registry.add("hello.world", Params, hello, scope="a2a")
        after = runtime.cards.at("http://x")
        assert after.etag != before.etag
        shown = json.loads(after.body)
        assert at(shown, "skills", 3, "id") == "third"
        assert "hello.world" in str(at(shown, "capabilities", "extensions", 0, "params"))


async def test_cards_do_not_pile_up(database: Database) -> None:
    async with a2a(database) as runtime:
        for number in range(MOST_CARDS + 5):
            runtime.cards.at(f"http://host{number}")
        assert len(runtime.cards.made) <= MOST_CARDS
        with pytest.raises(AgentNotFound):
            runtime.cards.at("http://x", "nobody")


@asynccontextmanager
async def serving(database: Database, **config: object) -> AsyncIterator[SimpleNamespace]:
    made = A2AConfig.model_validate(config)
    async with (
        a2a(database, config=made) as runtime,
        served(app_of(runtime)) as url,
        httpx2.AsyncClient(base_url=url, headers={"a2a-version": "1.0"}, timeout=60) as http,
    ):

        async def call(path: str, method: str, **params: JsonValue) -> JsonObject:
            document = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
            answer: JsonObject = (await http.post(path, json=document)).json()
            return answer

        yield SimpleNamespace(http=http, url=url, call=call)


MESSAGE: JsonObject = {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "hello"}]}


async def test_each_hosted_agent_has_an_address_and_a_card_of_its_own(database: Database) -> None:
    async with serving(database) as service:
        shown = (await service.http.get(f"{AGENTS}/second/{CARD}")).json()
        assert at(shown, "supportedInterfaces", 0, "url") == f"{service.url}{AGENTS}/second"
        assert (shown["name"], at(shown, "capabilities", "extendedAgentCard")) == ("second", False)
        assert (await service.http.get(f"{AGENTS}/nobody/{CARD}")).status_code == 404
        sent = await service.call(f"{AGENTS}/second", "SendMessage", message=MESSAGE)
        task_id = at(sent, "result", "task", "id")
        assert at(sent, "result", "task", "metadata", "agentId") == "second"
        # Its tasks are not seen at another agent's address; the platform's shows all.
        for path, code in ((f"{AGENTS}/scripted/", -32001), (f"{AGENTS}/second/", 0), ("/a2a", 0)):
            found = await service.call(path, "GetTask", id=task_id)
            assert found.get("error", {"code": 0})["code"] == code
            listed = await service.call(path, "ListTasks")
            assert at(listed, "result", "totalSize") == (0 if code else 1)
        for method in ("CancelTask", "SubscribeToTask"):
            refused = await service.call(f"{AGENTS}/scripted", method, id=task_id)
            assert at(refused, "error", "code") == -32001
        unknown = await service.http.post(f"{AGENTS}/nobody", json={})
        assert (unknown.status_code, at(unknown.json(), "error", "code")) == (404, -32053)


async def test_the_extended_card_shows_the_agents_of_the_callers_tenant(
    database: Database,
) -> None:
    async with serving(database) as service:
        poet: JsonObject = {"name": "Poet", "capabilities": ["rhyme"]}
        await service.call("/a2a", "agent.register", agent_card=poet, agent_id="poet")
        shown = (await service.call("/a2a", "GetExtendedAgentCard"))["result"]
        assert at(shown, "skills", 3) == {
            "id": "poet", "name": "Poet", "description": "Registered as poet: agent.discover.",
            "tags": ["rhyme"],
        }  # fmt: skip
        assert "poet" not in (await service.http.get(f"/{CARD}")).text
        refused = await service.call(f"{AGENTS}/second", "GetExtendedAgentCard")
        assert at(refused, "error", "code") == -32004
        old = {"jsonrpc": "2.0", "id": 1, "method": "agent/getAuthenticatedExtendedCard"}
        headers = {"a2a-version": "", "x-caller": "evil/alice"}
        stranger = (await service.http.post("/a2a", json=old, headers=headers)).json()
        assert at(stranger, "result", "supportsAuthenticatedExtendedCard") is True
        assert "poet" not in str(stranger)
        assert parse_agent_card(shown).capabilities.extended_agent_card
