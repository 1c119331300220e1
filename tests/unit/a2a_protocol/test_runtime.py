from __future__ import annotations

import json

from agentcore.a2a_protocol.dispatcher import CallContext, Caller
from agentcore.a2a_protocol.hosting import Hosting
from agentcore.a2a_protocol.methods import Params
from agentcore.a2a_protocol.runtime import MOST_CARDS
from agentcore.a2a_protocol.tasks.store import VersionedTaskStore
from agentcore.kit.db import Database, build_engine
from agentcore.kit.jsonvalue import JsonValue
from agentcore.kit.models import DatabaseConfig
from tests.fakes.a2a import RecordingObserver, ScriptedAgent, a2a, at, principal

CALLER = Caller(principal=principal(), version="1.0")
WAIT = json.dumps({
    "jsonrpc": "2.0",
    "id": 1,
    "method": "SendMessage",
    "params": {
        "message": {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "wait"}]},
        "configuration": {"returnImmediately": True},
    },
}).encode()  # fmt: skip


async def test_a_card_follows_what_is_added(database: Database) -> None:
    async def hello(params: Params, context: CallContext) -> JsonValue:
        return None

    async with a2a(database) as runtime:
        before = runtime.cards.at("http://x/a2a")
        assert runtime.cards.at("http://x/a2a") is before
        runtime.hosted.add(Hosting(agent_id="third", agent=ScriptedAgent()))
        runtime.registry.add("hello.world", Params, hello, scope="a2a")
        after = runtime.cards.at("http://x/a2a")
        assert after.etag != before.etag
        card = json.loads(after.body)
        assert at(card, "skills", 3, "id") == "third"
        methods = at(card, "capabilities", "extensions", 0, "params", "methods")
        assert "hello.world" in str(methods)


async def test_cards_do_not_pile_up(database: Database) -> None:
    async with a2a(database) as runtime:
        for number in range(MOST_CARDS + 5):
            runtime.cards.at(f"http://host{number}/a2a")
        assert len(runtime.cards.made) <= MOST_CARDS


async def test_leaving_fails_what_still_runs(database: Database) -> None:
    observer = RecordingObserver()
    async with a2a(database, observers=(observer,)) as runtime:
        answer = await runtime.dispatcher.answer(WAIT, CALLER)
        task_id = str(at(json.loads(answer.body or b""), "result", "task", "id"))
    record = await VersionedTaskStore(database).peek(task_id)
    assert record is not None
    assert record.state == "TASK_STATE_FAILED"
    (outcome,) = observer.outcomes
    assert outcome.error_message == "the service was stopped while this task was running"


async def test_leaving_without_a_database_is_no_crash() -> None:
    config = DatabaseConfig.model_validate({"connect_timeout": 1})
    nowhere = build_engine(config, "postgresql://nobody@127.0.0.1:1/nothing")
    async with a2a(Database(nowhere)) as runtime:
        assert runtime.cards.at("http://x/a2a").body
    await nowhere.dispose()
