"""Webhooks, told over real HTTP of what happens to the tasks of the official client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest
from a2a.helpers import new_text_message
from a2a.types import a2a_pb2 as pb
from a2a.utils.errors import InvalidParamsError, TaskNotFoundError
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from agentcore.a2a_protocol.late import LateWires
from agentcore.a2a_protocol.models.config import A2AConfig
from agentcore.a2a_protocol.models.task import TaskState
from agentcore.a2a_protocol.push.late_session import LateSession
from agentcore.a2a_protocol.push.sender import MOST_ATTEMPTS, TELL_SECONDS, PushSender
from agentcore.a2a_protocol.push.store import Push, PushStore
from agentcore.a2a_protocol.tasks.snapshot import numbered, status_event
from agentcore.a2a_protocol.tasks.store import VersionedTaskStore
from agentcore.a2a_protocol.tasks.writes.store import Change
from agentcore.kit.db import Database
from agentcore.kit.jsonvalue import JsonObject, list_of, object_of
from agentcore.kit.sealing import Sealing
from tests.fakes.a2a import SEALING, at, scripted, served
from tests.fakes.a2a_tasks import begin, record
from tests.fakes.clock import ManualClock
from tests.fakes.waiting import eventually
from tests.integration.test_a2a_clients import Talk, talking
from tests.unit.a2a_protocol.test_signing import opened, pem

ANYWHERE = A2AConfig.model_validate({"push_anywhere": True})
SIGNED = A2AConfig.model_validate({"push_anywhere": True, "signing_key": pem(SECP256R1())})
VERSIONS = pytest.mark.parametrize("version", ["1.0", "0.3"])


@dataclass
class Webhook:
    """Keeps what it takes; refuses the next few."""

    url: str = ""
    bodies: list[JsonObject] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    refusing: int = 0
    news: asyncio.Event = field(default_factory=asyncio.Event)
    held: asyncio.Event | None = None
    taking: Callable[[], None] = lambda: None
    asked: int = 0

    async def take(self, request: Request) -> Response:
        self.asked += 1
        self.taking()
        if self.held is not None:
            await self.held.wait()
        if self.refusing:
            self.refusing -= 1
            return Response(status_code=503)
        self.raw.append(await request.body())
        self.bodies.append(json.loads(self.raw[-1]))
        self.headers.append(dict(request.headers))
        self.news.set()
        return Response(status_code=204)

    @property
    def states(self) -> list[str]:
        told = [object_of(body.get("statusUpdate")) or body for body in self.bodies]
        return [str(at(each, "status", "state")) for each in told if "status" in each]

    async def until(self, state: str) -> list[str]:
        async with asyncio.timeout(100):
            while state not in self.states:
                self.news.clear()
                await self.news.wait()
        return self.states


@asynccontextmanager
async def listening() -> AsyncIterator[Webhook]:
    webhook = Webhook()
    app = Starlette(routes=[Route("/hook", webhook.take, methods=["POST"])])
    async with served(app) as url:
        webhook.url = f"{url}/hook"
        yield webhook


def config_of(
    webhook: Webhook, task_id: str = "", config_id: str = ""
) -> pb.TaskPushNotificationConfig:
    made = pb.TaskPushNotificationConfig(
        url=webhook.url, token="secret", task_id=task_id, id=config_id
    )
    made.authentication.CopyFrom(pb.AuthenticationInfo(scheme="Bearer", credentials="abc"))
    return made


async def begun(talk: Talk, text: str) -> str:
    """The id of a task that goes on while its stream is left."""
    request = pb.SendMessageRequest(message=new_text_message(text, role=pb.Role.ROLE_USER))
    stream = talk.client.send_message(request)
    task_id = (await anext(stream)).task.id
    await stream.aclose()  # type: ignore[attr-defined]  # the iterator is a generator
    return task_id


async def test_a_webhook_can_tell_who_tells_it_what(database: Database) -> None:
    async with listening() as webhook, talking(database, "1.0", config=SIGNED) as talk:
        task_id = await begun(talk, "wait")
        config = config_of(webhook, task_id=task_id, config_id="mine")
        await talk.client.create_task_push_notification_config(config)
        scripted(talk.runtime).go.set()
        await webhook.until("TASK_STATE_COMPLETED")
        signer = talk.runtime.cards.signer
        assert signer is not None
        key = object_of(list_of(signer.jwks()["keys"])[0])
    for headers, body in zip(webhook.headers, webhook.raw, strict=True):
        said = opened(headers["x-a2a-signature"], body, key)
        assert said["aud"] == webhook.url
        assert str(said["jti"]).startswith(f"{task_id}:mine:")


@VERSIONS
async def test_a_webhook_hears_what_it_was_set_for(database: Database, version: str) -> None:
    async with listening() as webhook, talking(database, version, config=ANYWHERE) as talk:
        task_id = await begun(talk, "wait")
        config = config_of(webhook, task_id=task_id, config_id="mine")
        made = await talk.client.create_task_push_notification_config(config)
        assert (made.id, made.url, made.task_id) == ("mine", webhook.url, task_id)
        scripted(talk.runtime).go.set()
        done = {"1.0": "TASK_STATE_COMPLETED", "0.3": "completed"}[version]
        assert (await webhook.until(done))[-1] == done
    last, headers = webhook.bodies[-1], webhook.headers[-1]
    if version == "1.0":
        assert at(last, "statusUpdate", "taskId") == task_id
        assert headers["content-type"] == "application/a2a+json"
    else:
        assert (last["kind"], last["id"]) == ("task", task_id)
    assert headers["x-a2a-notification-token"] == "secret"
    assert headers["authorization"] == "Bearer abc"


@VERSIONS
async def test_a_webhook_that_comes_with_the_message(database: Database, version: str) -> None:
    async with (
        listening() as webhook,
        talking(database, version, streaming=False, config=ANYWHERE) as talk,
    ):
        request = pb.SendMessageRequest(
            message=new_text_message("progress", role=pb.Role.ROLE_USER)
        )
        request.configuration.task_push_notification_config.CopyFrom(config_of(webhook))
        async for _ in talk.client.send_message(request):
            pass
        states = await webhook.until({"1.0": "TASK_STATE_COMPLETED", "0.3": "completed"}[version])
    if version == "1.0":
        working = ["TASK_STATE_WORKING"] * 4
        assert states == [*working, "TASK_STATE_COMPLETED"], "each event, once, in order"


@VERSIONS
async def test_configurations_are_listed_read_and_taken_back(
    database: Database, version: str
) -> None:
    async with listening() as webhook, talking(database, version, config=ANYWHERE) as talk:
        task_id = await begun(talk, "ask")
        for name in ("a", "b"):
            config = config_of(webhook, task_id=task_id, config_id=name)
            await talk.client.create_task_push_notification_config(config)
        get = pb.GetTaskPushNotificationConfigRequest(task_id=task_id, id="b")
        found = await talk.client.get_task_push_notification_config(get)
        assert (found.id, found.token, found.authentication.scheme) == ("b", "secret", "Bearer")
        listing = pb.ListTaskPushNotificationConfigsRequest(task_id=task_id)
        listed = await talk.client.list_task_push_notification_configs(listing)
        assert [each.id for each in listed.configs] == ["a", "b"]
        for _ in range(2):
            await talk.client.delete_task_push_notification_config(
                pb.DeleteTaskPushNotificationConfigRequest(task_id=task_id, id="b")
            )
        with pytest.raises(TaskNotFoundError):
            await talk.client.get_task_push_notification_config(get)
        with pytest.raises(TaskNotFoundError):
            await talk.client.list_task_push_notification_configs(
                pb.ListTaskPushNotificationConfigsRequest(task_id="none")
            )


@VERSIONS
async def test_a_webhook_inside_is_refused_with_its_message(
    database: Database, version: str
) -> None:
    async with talking(database, version, streaming=False) as talk:
        request = pb.SendMessageRequest(message=new_text_message("hello", role=pb.Role.ROLE_USER))
        config = pb.TaskPushNotificationConfig(url="http://169.254.169.254/latest")
        request.configuration.task_push_notification_config.CopyFrom(config)
        with pytest.raises(InvalidParamsError):
            async for _ in talk.client.send_message(request):
                pass
        assert scripted(talk.runtime).seen == []


class Desk:
    """A sender whose clock stands still, and one webhook's configuration."""

    def __init__(self, database: Database, clock: ManualClock, webhook: Webhook) -> None:
        self.clock = clock
        self.pushes = PushStore(database, SEALING)
        self.tasks = VersionedTaskStore(database)
        self.sender = PushSender(self.pushes, self.tasks, LateWires(), clock=clock, anywhere=True)
        self.webhook = webhook

    async def set(self, delivered: int = 0) -> None:
        await begin(self.tasks, record())
        await self.pushes.put(self.push("t1", self.webhook, delivered))

    def push(self, task_id: str, webhook: Webhook, delivered: int = 0) -> Push:
        return Push(
            task_id=task_id,
            config_id="p",
            family="1.0",
            body={"url": webhook.url},
            delivered=delivered,
            next_at=self.clock.now(),
        )

    async def tell(self) -> int:
        async with LateSession(anywhere=True) as session:
            return await self.sender.tell_due(session)

    async def now(self) -> Push:
        (push,) = await self.pushes.of("t1")
        return push


@pytest.fixture
async def desk(database: Database, clock: ManualClock) -> AsyncIterator[Desk]:
    async with listening() as webhook:
        made = Desk(database, clock, webhook)
        await made.set()
        yield made


async def test_who_lacks_the_secret_leaves_the_webhook_to_others(
    desk: Desk, database: Database
) -> None:
    newer = PushStore(database, Sealing(["a secret that this process has not been told yet"]))
    await newer.put(desk.push("t1", desk.webhook))
    assert await desk.tell() == 1
    assert (desk.webhook.asked, (await desk.now()).attempts) == (0, 1)
    desk.clock.advance(2)
    desk.sender = PushSender(newer, desk.tasks, LateWires(), clock=desk.clock, anywhere=True)
    assert await desk.tell() == 1
    assert desk.webhook.asked == 1


async def test_a_webhook_that_fails_is_tried_again_ever_more_rarely(desk: Desk) -> None:
    desk.webhook.refusing = 3
    waits = []
    for _ in range(3):
        assert await desk.tell() == 1
        push = await desk.now()
        assert push.next_at is not None
        waits.append((push.next_at - desk.clock.now()).total_seconds())
        assert await desk.tell() == 0, "not before its time"
        desk.clock.advance(waits[-1])
    assert waits == [1, 2, 4]
    assert await desk.tell() == 1
    assert len(desk.webhook.bodies) == 1
    assert (await desk.now()).delivered == 1
    assert await desk.tell() == 0, "it knows everything"


async def test_a_webhook_that_never_answers_is_given_up(desk: Desk) -> None:
    desk.webhook.refusing = 1000
    for _ in range(MOST_ATTEMPTS):
        assert await desk.tell() == 1
        desk.clock.advance(3600)
    assert (await desk.now()).next_at is None
    assert await desk.tell() == 0


async def test_what_one_process_had_begun_to_tell_another_one_tells(desk: Desk) -> None:
    lost = await desk.pushes.due(desk.clock.now(), desk.clock.now() + timedelta(seconds=60), 10)
    assert len(lost) == 1
    assert await desk.tell() == 0
    desk.clock.advance(61)
    assert await desk.tell() == 1
    assert len(desk.webhook.bodies) == 1
    # The lost one comes back to life: too late to say anything.
    await desk.pushes.told(lost[0], 0, attempts=9, next_at=None)
    assert (await desk.now()).attempts == 0


async def test_a_webhook_of_a_forgotten_task_is_gone(desk: Desk) -> None:
    waiting = record(state=TaskState.INPUT_REQUIRED, version=2, lease_owner=None)
    event = status_event(waiting.body, TaskState.INPUT_REQUIRED, desk.clock.now())
    assert await desk.tasks.append(Change(record=waiting, events=[numbered(2, event)]))
    later = desk.clock.now() + timedelta(days=1)
    assert await desk.tasks.prune(tasks_before=later, events_before=later) == 1
    assert await desk.pushes.of("t1") == []


async def test_a_slow_webhook_keeps_nobody_waiting(desk: Desk) -> None:
    """However many events wait for it: each place is one webhook's, and each turn is short."""
    desk.webhook.held = asyncio.Event()
    async with listening() as other:
        watching = asyncio.create_task(desk.sender.watch())
        await eventually(lambda: desk.webhook.asked == 1, 20.0)
        await begin(desk.tasks, record("t2"))
        await desk.pushes.put(desk.push("t2", other))
        desk.sender.announce("t2")
        await eventually(lambda: len(other.bodies) == 1, 20.0)
        assert desk.webhook.bodies == []
        desk.webhook.held.set()
        await eventually(lambda: len(desk.webhook.bodies) == 1, 20.0)
        watching.cancel()
        await asyncio.wait({watching})


async def test_what_a_slow_webhook_has_heard_counts(desk: Desk) -> None:
    working = replace(record(), version=5)
    events = [
        numbered(seq, status_event(working.body, TaskState.WORKING, desk.clock.now()))
        for seq in range(2, 6)
    ]
    assert await desk.tasks.append(Change(record=working, events=events))
    desk.webhook.taking = lambda: desk.clock.advance(TELL_SECONDS * 0.6)
    heard = []
    while await desk.tell():
        heard.append((await desk.now()).delivered)
    assert heard == [2, 4, 5]
    assert len(desk.webhook.bodies) == 5, "each event once"
