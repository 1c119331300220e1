"""Agents elsewhere, driven over HTTP; the official SDK's own server is the peer, on both sides of
the change of versions.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

import pytest
from starlette.applications import Starlette

from agentcore.a2a_protocol.models.agent_card import AgentCard
from agentcore.a2a_protocol.models.config import A2AConfig
from agentcore.a2a_protocol.models.handover import EXTENSION
from agentcore.a2a_protocol.models.task import Owner, TaskState
from agentcore.a2a_protocol.models.turn import Sent
from agentcore.a2a_protocol.remote import agent as remote_agent
from agentcore.a2a_protocol.remote.errors import RemoteAddressRefused
from agentcore.a2a_protocol.runtime import A2ARuntime
from agentcore.a2a_protocol.task_manager import Begun
from agentcore.a2a_protocol.tasks.turns import Verdict
from agentcore.kit.db import Database
from agentcore.kit.jsonvalue import JsonObject, JsonValue, object_of, objects_of
from agentcore.kit.security import Principal
from tests.fakes.a2a import a2a, at, principal
from tests.fakes.a2a_peer import Line, PeerAgent, PeerServer, card_of, peer_server, until_bound
from tests.fakes.waiting import eventually

ALICE = principal()
OWNER = Owner(tenant="acme", subject="alice")
ANYWHERE = A2AConfig.model_validate({"agents_anywhere": True, "agent_silence_seconds": 20})
VERSIONS = pytest.mark.parametrize("version", ["1.0", "0.3"])
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
PATIENCE = 100.0


@dataclass
class Scene:
    """A service that knows one agent elsewhere, called poet."""

    runtime: A2ARuntime
    peer: PeerServer

    async def send(self, text: str, caller: Principal = ALICE, **members: JsonValue) -> Begun:
        message: JsonObject = {
            "messageId": f"m-{text}",
            "role": "ROLE_USER",
            "parts": [{"text": text}],
            "metadata": {"agent_id": "poet"},
            **members,
        }
        return await self.runtime.manager.send(
            Sent(principal=caller, message=message, traceparent=TRACE)
        )

    async def until(self, begun: Begun, words: bytes) -> None:
        """Wait until a follower hears these."""
        async with aclosing(self.runtime.followers.follow(begun.record, 0)) as events:
            async for event in events:
                if event is not None and words in event.body:
                    return

    async def end(self, begun: Begun) -> JsonObject:
        return (await self.runtime.manager.settled(begun, PATIENCE)).rendered()

    async def told(self, text: str, caller: Principal = ALICE, **members: JsonValue) -> JsonObject:
        return await self.end(await self.send(text, caller, **members))


@asynccontextmanager
async def scene(
    database: Database,
    version: str = "1.0",
    *,
    config: A2AConfig = ANYWHERE,
    streaming: bool = True,
) -> AsyncIterator[Scene]:
    async with (
        peer_server(version, streaming=streaming) as peer,
        a2a(database, config=config) as runtime,
    ):
        await runtime.agents.register(AgentCard.model_validate(peer.card), ALICE, agent_id="poet")
        yield Scene(runtime, peer)


def state(task: JsonObject) -> str:
    return str(at(task, "status", "state")).removeprefix("TASK_STATE_").lower()


def said(task: JsonObject) -> JsonValue:
    return at(task, "status", "message", "parts", 0, "text")


def lines(task: JsonObject) -> list[JsonValue]:
    (artifact,) = objects_of(task.get("artifacts"))
    return [part["text"] for part in objects_of(artifact["parts"])]


@VERSIONS
async def test_a_message_is_answered_elsewhere(database: Database, version: str) -> None:
    async with scene(database, version) as here:
        task = await here.told("hello")
        assert (state(task), said(task)) == ("completed", "echo: hello")
        assert at(task, "metadata", "agentId") == "poet"
        (asked,) = here.peer.agent.seen
        assert asked.message_id.endswith("m-hello")


@VERSIONS
async def test_chunks_come_one_by_one_and_whole(database: Database, version: str) -> None:
    async with scene(database, version) as here:
        begun = await here.send("chunks")
        await here.until(begun, b"line 2")
        here.peer.agent.go.set()
        task = await here.end(begun)
        assert lines(task) == [f"line {number}" for number in range(6)]
        assert said(task) == "six lines"


@VERSIONS
async def test_a_broken_stream_is_taken_up_where_it_was(database: Database, version: str) -> None:
    async with scene(database, version) as here:
        # The stream dies at the fourth line, the next one at once.
        here.peer.line.break_after = [5, None, 0]
        begun = await here.send("chunks")
        await here.until(begun, b"line 2")
        here.peer.agent.go.set()
        task = await here.end(begun)
        assert (state(task), said(task)) == ("completed", "six lines")
        assert lines(task) == [f"line {number}" for number in range(6)]
        assert len(here.peer.agent.seen) == 1


@VERSIONS
async def test_what_comes_twice_behind_a_break_is_told_once(
    database: Database, version: str
) -> None:
    async with scene(database, version) as here:
        here.peer.line.break_after = [4]
        here.peer.line.twice = b"line 4"
        begun = await here.send("chunks")
        await here.until(begun, b"line 2")
        await eventually(lambda: here.peer.line.methods()[-1].lower().find("subscribe") >= 0)
        here.peer.agent.go.set()
        assert lines(await here.end(begun)) == [f"line {number}" for number in range(6)]


@VERSIONS
async def test_a_cancelled_task_is_cancelled_there(database: Database, version: str) -> None:
    async with scene(database, version) as here:
        begun = await here.send("wait")
        await until_bound(database, begun.record.task_id)
        task = await here.runtime.manager.cancel(OWNER, begun.record.task_id)
        assert state(task) == "canceled"
        await eventually(lambda: here.peer.agent.cancelled, 50)


async def test_a_task_without_a_name_is_cancelled_there_when_it_is_told(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_agent, "LEARN_SECONDS", 0.01)
    async with scene(database) as here:
        here.peer.line.answering.clear()
        begun = await here.send("wait")
        await eventually(lambda: here.peer.agent.seen)
        task = await here.runtime.manager.cancel(OWNER, begun.record.task_id)
        assert state(task) == "canceled"
        assert here.peer.line.methods() == ["SendStreamingMessage"]
        here.peer.line.answering.set()
        await eventually(lambda: here.peer.agent.cancelled, 50)


async def test_a_peer_that_does_not_stream_is_looked_at(database: Database) -> None:
    async with scene(database, streaming=False) as here:
        begun = await here.send("wait")
        await eventually(lambda: "GetTask" in here.peer.line.methods())
        here.peer.agent.go.set()
        assert state(await here.end(begun)) == "completed"
        assert "SendStreamingMessage" not in here.peer.line.methods()


@VERSIONS
async def test_questions_come_up_and_answers_go_down(database: Database, version: str) -> None:
    async with scene(database, version) as here:
        first = await here.told("ask")
        assert (state(first), said(first)) == ("input_required", "which one?")
        second = await here.told("that one", taskId=str(first["id"]))
        assert (state(second), said(second)) == ("completed", "echo: that one")
        assert second["id"] == first["id"]
        one, two = here.peer.agent.seen
        assert two.task_id
        assert two.context_id == one.context_id or not one.context_id


@VERSIONS
async def test_a_failure_there_keeps_what_was_made(database: Database, version: str) -> None:
    async with scene(database, version) as here:
        task = await here.told("fail")
        assert (state(task), said(task)) == ("failed", "it cannot be done")
        assert lines(task) == ["half of it"]


async def test_a_peer_that_dies_in_the_middle_and_stays_away(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_agent, "LONGEST_BACKOFF", 0.01)
    async with scene(database) as here:
        # What the official server has said: task, working, and three lines.
        here.peer.line.break_after = [5]
        begun = await here.send("chunks")
        await here.until(begun, b"line 2")
        here.peer.line.down = True
        here.peer.agent.go.set()
        task = await here.end(begun)
        assert state(task) == "failed"
        assert "the agent 'poet' answered with status 503" in str(said(task))
        assert lines(task) == ["line 0", "line 1", "line 2"]


async def test_a_peer_that_is_not_there(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_agent, "LONGEST_BACKOFF", 0.01)
    async with a2a(database, config=ANYWHERE) as runtime:
        card = card_of("http://127.0.0.1:9/", "1.0")
        await runtime.agents.register(AgentCard.model_validate(card), ALICE, agent_id="poet")
        here = Scene(runtime, PeerServer(PeerAgent(), Line(Starlette())))
        task = await here.told("hello")
        assert state(task) == "failed"
        assert "the agent 'poet' cannot be reached" in str(said(task))


async def test_a_peer_that_never_ends_has_a_deadline(database: Database) -> None:
    async with scene(database) as here:
        begun = await here.send("wait", metadata={"agent_id": "poet", "deadline_seconds": 600})
        await until_bound(database, begun.record.task_id)
        metadata = at(here.peer.line.asked[0], "params", "message", "metadata")
        handed = object_of(object_of(metadata)[EXTENSION])
        assert 0 < float(str(handed["deadline_seconds"])) <= 600
        assert begun.turn is not None
        begun.turn.live.halt(Verdict(TaskState.FAILED, "the deadline has passed"))
        task = await here.end(begun)
        assert (state(task), said(task)) == ("failed", "the deadline has passed")
        await eventually(lambda: here.peer.agent.cancelled, 50)


async def test_what_is_private_stays_where_it_may_be(database: Database) -> None:
    private = Principal(subject="alice", tenant="acme", scopes=frozenset({"a2a"}), private=True)
    async with scene(database) as here:
        task = await here.told("secret", private)
        assert state(task) == "failed"
        assert "the task is private" in str(said(task))
        assert here.peer.line.asked == []
        later = await here.told(
            "also secret", metadata={"agent_id": "poet", EXTENSION: {"private": True}}
        )
        assert state(later) == "failed"
        assert here.peer.line.asked == []


async def test_private_tasks_and_credentials_go_where_the_operator_says(database: Database) -> None:
    private = Principal(subject="alice", tenant="acme", scopes=frozenset({"a2a"}), private=True)
    async with peer_server() as peer:
        origin = peer.url.removesuffix("/rpc")
        trusted: list[JsonValue] = [
            {"origin": "https://elsewhere.example", "private": True},
            {"origin": origin, "tenants": ["other"], "credential": "not this one"},
            {"origin": origin, "private": True, "inside": True, "credential": "s3cret"},
        ]
        config = A2AConfig.model_validate({"trusted": trusted})
        async with a2a(database, config=config) as runtime:
            await runtime.agents.register(
                AgentCard.model_validate(peer.card), ALICE, agent_id="poet"
            )
            task = await Scene(runtime, peer).told("secret", private)
            assert state(task) == "completed"
            (headers,) = peer.line.headers
            assert headers["authorization"] == "Bearer s3cret"
            assert (
                at(peer.line.asked[0], "params", "message", "metadata", EXTENSION, "private")
                is True
            )


async def test_addresses_inside_are_refused_unless_allowed(database: Database) -> None:
    config = A2AConfig.model_validate({})
    async with scene(database, config=config) as here:
        with pytest.raises(RemoteAddressRefused, match="its address is private"):
            await here.send("hello")
        assert here.peer.line.asked == []


async def test_more_than_is_taken_fails_and_is_cancelled(database: Database) -> None:
    config = A2AConfig.model_validate({"agents_anywhere": True, "agent_max_bytes": 1400})
    async with scene(database, config=config) as here:
        task = await here.told("chunks")
        assert state(task) == "failed"
        assert "a stream of more than 1400 bytes" in str(said(task))
        await eventually(lambda: here.peer.agent.cancelled, 50)
