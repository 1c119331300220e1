from __future__ import annotations

import json

import pytest
from sqlalchemy import text, update

from agentcore.a2a_protocol.dispatcher import Caller
from agentcore.a2a_protocol.errors import InvalidParams, PushNotSupported, TaskNotFound
from agentcore.a2a_protocol.models.config import A2AConfig
from agentcore.a2a_protocol.push import configs
from agentcore.a2a_protocol.push.configs import Hearing, PushConfigs
from agentcore.a2a_protocol.push.store import PushStore, pushes
from agentcore.a2a_protocol.tasks.store import VersionedTaskStore
from agentcore.kit.clock import SystemClock
from agentcore.kit.db import Database
from agentcore.kit.jsonvalue import JsonObject, JsonValue
from agentcore.kit.sealing import Sealing
from tests.fakes.a2a import SEALING, a2a, at, principal
from tests.fakes.a2a_tasks import begin

URL = "https://hooks.example/a2a"


def opened(database: Database, *, offered: bool = True) -> PushConfigs:
    return PushConfigs(PushStore(database, SEALING), SystemClock(), offered=offered, anywhere=False)


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"url": ""},
        {"url": 5},
        {"url": "http://127.0.0.1/"},
        {"url": URL, "token": "a\r\nset-cookie: x"},
        {"url": URL, "token": "x" * 9000},
        {"url": URL, "authentication": {"scheme": "Bearer", "credentials": "a\nb"}},
    ],
)
async def test_what_is_no_configuration(database: Database, wrong: JsonObject) -> None:
    with pytest.raises(InvalidParams):
        opened(database).check(wrong)


async def test_a_configuration_may_be_replaced_and_read(database: Database) -> None:
    kept = opened(database)
    await begin(VersionedTaskStore(database))
    hearing = Hearing("t1", 1)
    made = await kept.create(hearing, {"url": URL, "token": "s", "extra": 1}, "1.0")
    assert made == {"taskId": "t1", "id": "t1", "url": URL, "token": "s"}
    again = await kept.create(hearing, {"url": URL, "id": "t1"}, "1.0")
    assert await kept.get("t1", "default") == again
    assert await kept.get("t1", "t1") == again == {"taskId": "t1", "id": "t1", "url": URL}
    await kept.delete("t1", "t1")
    with pytest.raises(TaskNotFound):
        await kept.get("t1", "t1")


async def test_the_database_does_not_tell_what_webhooks_are_told_with(database: Database) -> None:
    await begin(VersionedTaskStore(database))
    config: JsonObject = {
        "url": f"{URL}?key=in-the-url",
        "token": "the-token",
        "authentication": {"scheme": "Bearer", "credentials": "the-credentials"},
    }
    made = await opened(database).create(Hearing("t1", 1), config, "1.0")
    assert made == {"taskId": "t1", "id": "t1", **config}
    (row,) = await database.rows(text("SELECT task_pushes::text AS stored FROM task_pushes"))
    stored = str(row["stored"])
    assert "sealed" in stored
    told = ("hooks.example", "in-the-url", "the-token", "Bearer", "the-credentials")
    assert not [each for each in told if each in stored]
    stranger = PushStore(database, Sealing(["another secret of some other installation"]))
    (unread,) = await stranger.of("t1")
    assert unread.body == {}


async def test_webhooks_from_before_they_were_encrypted_are_read(database: Database) -> None:
    await begin(VersionedTaskStore(database))
    kept = opened(database)
    await kept.create(Hearing("t1", 1), {"url": URL}, "1.0")
    old: JsonObject = {"url": f"{URL}/old", "token": "s"}
    await database.write(update(pushes).values(body=old))
    assert await kept.get("t1", "t1") == {"taskId": "t1", "id": "t1", **old}


async def test_a_task_has_only_so_many(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(configs, "MOST_CONFIGS", 2)
    kept = opened(database)
    await begin(VersionedTaskStore(database))
    for name in ("a", "b", "b"):
        await kept.create(Hearing("t1", 1), {"url": URL, "id": name}, "1.0")
    with pytest.raises(InvalidParams, match="at most 2"):
        await kept.create(Hearing("t1", 1), {"url": URL, "id": "c"}, "1.0")


async def test_where_it_is_not_offered(database: Database) -> None:
    with pytest.raises(PushNotSupported):
        opened(database, offered=False).check({"url": URL})
    config = A2AConfig.model_validate({"push": False})
    message: JsonValue = {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "x"}]}
    asked: list[tuple[str, JsonObject]] = [
        ("ListTaskPushNotificationConfigs", {"taskId": "t"}),
        ("SendMessage", {
            "message": message,
            "configuration": {"taskPushNotificationConfig": {"url": URL}},
        }),
    ]  # fmt: skip
    async with a2a(database, config=config) as runtime:
        for method, params in asked:
            document = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
            caller = Caller(principal=principal(), version="1.0")
            answer = await runtime.dispatcher.answer(json.dumps(document).encode(), caller)
            assert at(json.loads(answer.body or b""), "error", "code") == -32003
        shown = json.loads(runtime.cards.at("http://x").body)
        assert at(shown, "capabilities", "pushNotifications") is False
