from __future__ import annotations

import json

from agentcore.a2a_protocol.dispatcher import Caller
from agentcore.a2a_protocol.tasks.store import VersionedTaskStore
from agentcore.kit.db import Database, build_engine
from agentcore.kit.models import DatabaseConfig
from tests.fakes.a2a import RecordingObserver, a2a, at, principal

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
        assert runtime.cards.at("http://x").body
    await nowhere.dispose()
