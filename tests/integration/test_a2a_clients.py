"""The official client against the endpoint, on both versions of the protocol."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx2
import pytest
from a2a.client import Client, ClientConfig, client_factory, create_client
from a2a.client.card_resolver import parse_agent_card
from a2a.helpers import get_message_text, new_text_message
from a2a.types import a2a_pb2 as pb
from a2a.utils.errors import TaskNotFoundError

from agentcore.a2a_protocol.models.config import A2AConfig
from agentcore.a2a_protocol.runtime import A2ARuntime
from agentcore.kit.db import Database
from tests.fakes.a2a import a2a, app_of, scripted, served
from tests.fakes.patience import have_patience
from tests.fakes.waiting import eventually

have_patience(vars(client_factory)["httpx"].AsyncClient)

S = pb.TaskState


@dataclass
class Talk:
    runtime: A2ARuntime
    client: Client

    async def send(self, text: str, **members: str) -> list[pb.StreamResponse]:
        message = new_text_message(text, role=pb.Role.ROLE_USER)
        for name, value in members.items():
            setattr(message, name, value)
        request = pb.SendMessageRequest(message=message)
        return [event async for event in self.client.send_message(request)]


@asynccontextmanager
async def talking(
    database: Database, version: str, *, streaming: bool = True, config: A2AConfig | None = None
) -> AsyncIterator[Talk]:
    """A client that has been told of the interface of ``version`` only."""
    async with a2a(database, config=config) as runtime, served(app_of(runtime)) as url:
        async with httpx2.AsyncClient(base_url=url, timeout=60) as http:
            card = parse_agent_card((await http.get("/.well-known/agent-card.json")).json())
        kept = [each for each in card.supported_interfaces if each.protocol_version == version]
        card.ClearField("supported_interfaces")
        card.supported_interfaces.extend(kept)
        async with await create_client(card, ClientConfig(streaming=streaming)) as client:
            yield Talk(runtime, client)


VERSIONS = pytest.mark.parametrize("version", ["1.0", "0.3"])


def states(events: list[pb.StreamResponse]) -> list[int]:
    found: list[int] = []
    for event in events:
        if event.HasField("task"):
            found.append(event.task.status.state)
        elif event.HasField("status_update"):
            found.append(event.status_update.status.state)
    return found


@VERSIONS
async def test_sending(database: Database, version: str) -> None:
    async with talking(database, version, streaming=False) as talk:
        (event,) = await talk.send("hello")
        assert event.task.status.state == S.TASK_STATE_COMPLETED
        assert get_message_text(event.task.status.message) == "echo: hello"
        found = await talk.client.get_task(pb.GetTaskRequest(id=event.task.id))
        assert found.status.state == S.TASK_STATE_COMPLETED
        assert [get_message_text(message) for message in found.history] == ["hello"]


@VERSIONS
async def test_streaming(database: Database, version: str) -> None:
    async with talking(database, version) as talk:
        events = await talk.send("progress")
        assert states(events) == [
            S.TASK_STATE_SUBMITTED,
            S.TASK_STATE_WORKING,
            *[S.TASK_STATE_WORKING] * 3,
            S.TASK_STATE_COMPLETED,
        ]
        events = await talk.send("artifacts")
        artifacts = [event.artifact_update.artifact for event in events]
        assert [artifact.name for artifact in artifacts if artifact.name] == ["all", "link"]
        assert artifacts[2].parts[2].raw == b"bytes"


@VERSIONS
async def test_turns(database: Database, version: str) -> None:
    async with talking(database, version, streaming=False) as talk:
        (first,) = await talk.send("ask")
        assert first.task.status.state == S.TASK_STATE_INPUT_REQUIRED
        (second,) = await talk.send("that one", task_id=first.task.id)
        assert second.task.status.state == S.TASK_STATE_COMPLETED
        assert second.task.context_id == first.task.context_id


@VERSIONS
async def test_leaving_and_coming_back(database: Database, version: str) -> None:
    """A client that left a stream follows the task again to its end."""
    async with talking(database, version) as talk:
        request = pb.SendMessageRequest(message=new_text_message("wait", role=pb.Role.ROLE_USER))
        stream = talk.client.send_message(request)
        task_id = (await anext(stream)).task.id
        await stream.aclose()  # type: ignore[attr-defined]  # the iterator is a generator
        following = talk.client.subscribe(pb.SubscribeToTaskRequest(id=task_id))
        assert (await anext(following)).task.id == task_id
        scripted(talk.runtime).go.set()
        assert states([event async for event in following])[-1] == S.TASK_STATE_COMPLETED


@VERSIONS
async def test_cancelling(database: Database, version: str) -> None:
    async with talking(database, version) as talk:
        request = pb.SendMessageRequest(message=new_text_message("wait", role=pb.Role.ROLE_USER))
        stream = talk.client.send_message(request)
        task_id = (await anext(stream)).task.id
        await eventually(lambda: scripted(talk.runtime).seen)
        done = await talk.client.cancel_task(pb.CancelTaskRequest(id=task_id))
        assert done.status.state == S.TASK_STATE_CANCELED
        rest = states([event async for event in stream])
        assert set(rest) <= {S.TASK_STATE_WORKING, S.TASK_STATE_CANCELED}
        await eventually(lambda: scripted(talk.runtime).cancelled)
        assert scripted(talk.runtime).cancelled == [task_id]


@VERSIONS
async def test_unknown_tasks(database: Database, version: str) -> None:
    async with talking(database, version) as talk:
        with pytest.raises(TaskNotFoundError):
            await talk.client.get_task(pb.GetTaskRequest(id="none"))


async def test_listing(database: Database) -> None:
    async with talking(database, "1.0", streaming=False) as talk:
        for number in range(3):
            await talk.send(f"hello {number}")
        page = await talk.client.list_tasks(pb.ListTasksRequest(page_size=2))
        assert (len(page.tasks), page.total_size) == (2, 3)
        rest = await talk.client.list_tasks(
            pb.ListTasksRequest(page_size=2, page_token=page.next_page_token)
        )
        assert (len(rest.tasks), rest.next_page_token) == (1, "")


async def test_a_client_that_knows_only_the_address(database: Database) -> None:
    async with a2a(database) as runtime, served(app_of(runtime)) as url:
        async with await create_client(url) as client:
            talk = Talk(runtime, client)
            assert states(await talk.send("hello"))[-1] == S.TASK_STATE_COMPLETED
