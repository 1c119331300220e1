"""``agent.delegate``: within the service, to agents elsewhere, and in circles through services."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from decimal import Decimal

import httpx2
import pytest

from agentcore.a2a_protocol.delegation.models import Asked
from agentcore.a2a_protocol.dispatcher import Caller
from agentcore.a2a_protocol.errors import (
    AgentNotFound,
    DelegationCycle,
    DelegationTooDeep,
    InvalidParams,
    NoAgentForTask,
    TaskNotFound,
    UnsupportedOperation,
)
from agentcore.a2a_protocol.hosting import Hosting
from agentcore.a2a_protocol.models.agent_card import AgentCard
from agentcore.a2a_protocol.models.config import A2AConfig
from agentcore.a2a_protocol.models.handover import EXTENSION, SPENT
from agentcore.a2a_protocol.models.task import Owner
from agentcore.a2a_protocol.models.turn import Sent
from agentcore.a2a_protocol.ports import InboundMessage, TaskHandle
from agentcore.a2a_protocol.remote import agent as remote_agent
from agentcore.a2a_protocol.runtime import A2ARuntime
from agentcore.kit.db import Database
from agentcore.kit.jsonvalue import JsonObject, JsonValue, object_of, objects_of
from agentcore.kit.security import Principal
from tests.fakes.a2a import a2a, app_of, at, principal, scripted, served
from tests.fakes.a2a_peer import PeerServer, card_of, peer_server, until_bound
from tests.fakes.waiting import eventually

ALICE = principal()
OWNER = Owner(tenant="acme", subject="alice")
CONFIG = A2AConfig.model_validate({"agents_anywhere": True, "delegation_depth": 4})
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TRACE_ID = TRACE.split("-")[1]


class Boss:
    """An agent that lets another one do it: the first word of the message is whom."""

    def __init__(self, runtime: A2ARuntime) -> None:
        self.runtime = runtime
        self.results: list[JsonObject] = []

    async def handle(self, message: InboundMessage, task: TaskHandle) -> None:
        target, _, rest = message.text.partition(" ")
        params: JsonObject = {"target_agent": target, "message": rest, "task_id": task.task_id}
        caller = Caller(principal=message.principal)
        found = await self.runtime.registry.call("agent.delegate", params, caller)
        self.results.append(object_of(found))
        if at(found, "reason") is not None:
            await task.fail(f"{target} failed: {at(found, 'reason')}")
        else:
            await task.complete(object_of(at(found, "task", "status", "message")))


def asked(task_id: str) -> Asked:
    return Asked(task_id=task_id)


class Shelf:
    """Playbooks by agent."""

    async def of(self, agent_id: str, task: str, principal: Principal) -> JsonObject | None:
        return (
            {"text": f"{agent_id} knows", "stamp": {"version": 3}} if agent_id == "boss" else None
        )


@asynccontextmanager
async def office(database: Database, installation: str = "here") -> AsyncIterator[A2ARuntime]:
    opened = a2a(database, config=CONFIG, installation=installation, playbooks=Shelf())
    async with opened as runtime:
        runtime.hosted.add(Hosting(agent_id="boss", agent=Boss(runtime)))
        yield runtime


async def register(
    runtime: A2ARuntime, agent_id: str, card: JsonObject, **changes: JsonValue
) -> None:
    made = AgentCard.model_validate({**card, **changes})
    await runtime.agents.register(made, ALICE, agent_id=agent_id)


async def delegate(
    runtime: A2ARuntime, caller: Principal = ALICE, **params: JsonValue
) -> JsonObject:
    whole: JsonObject = {"message": "hello", **params}
    asking = Caller(principal=caller, traceparent=TRACE)
    return object_of(await runtime.registry.call("agent.delegate", whole, asking))


async def begin(
    runtime: A2ARuntime, text: str, agent: str = "boss", given: JsonValue = None
) -> str:
    metadata: JsonObject = {"agent_id": agent, **({EXTENSION: given} if given else {})}
    message: JsonObject = {
        "messageId": f"m-{text}",
        "role": "ROLE_USER",
        "parts": [{"text": text}],
        "metadata": metadata,
    }
    begun = await runtime.manager.send(Sent(principal=ALICE, message=message, traceparent=TRACE))
    return begun.record.task_id


async def ended(runtime: A2ARuntime, task_id: str) -> JsonObject:
    stored = await runtime.manager.find(OWNER, task_id)
    async with asyncio.timeout(100):
        async for _ in runtime.followers.follow(stored.record, 0):
            pass
    return await runtime.manager.get(OWNER, task_id)


def handed(peer: PeerServer, call: int = -1) -> JsonObject:
    metadata = at(peer.line.asked[call], "params", "message", "metadata")
    return object_of(object_of(metadata)[EXTENSION])


async def test_an_agent_of_the_service_by_its_name(database: Database) -> None:
    async with office(database) as runtime:
        found = await delegate(runtime, target_agent="scripted", message="artifacts")
        assert (found["agent_id"], found["state"]) == ("scripted", "TASK_STATE_COMPLETED")
        assert (found["partial"], found["reason"]) == (False, None)
        assert len(objects_of(at(found, "task", "artifacts"))) == 2
        (seen,) = scripted(runtime).seen
        assert str(seen.handover.traceparent)[:35] == TRACE[:35]


async def test_context_propagates_by_a2a_headers(database: Database) -> None:
    """Seed 002, ACE-008: what an agent works by, and the trace, reach the next agent."""
    async with peer_server() as peer, office(database) as runtime:
        await register(runtime, "poet", peer.card)
        given: JsonObject = {"budget_usd": "2.50", "deadline_seconds": 400}
        task_id = await begin(runtime, "poet an ode", given=given)
        assert at(await ended(runtime, task_id), "status", "state") == "TASK_STATE_COMPLETED"
        (headers,) = peer.line.headers
        assert headers["a2a-extensions"] == EXTENSION
        assert headers["traceparent"].split("-")[1] == TRACE_ID
        assert headers["traceparent"] != TRACE
        context = handed(peer)
        chain = [(hop["installation"], hop["agent"]) for hop in objects_of(context["chain"])]
        assert chain == [("here", "boss"), ("here", "poet")]
        assert str(context["traceparent"]).split("-")[1] == TRACE_ID
        assert context["budget_usd"] == "2.50"
        assert 0 < float(str(context["deadline_seconds"])) < 400
        # Which playbook it was; the text only for those whom the operator trusts with it.
        assert context["playbook"] == {"stamp": {"version": 3}}
        assert context["private"] is False


async def test_who_can_do_it_best_is_asked_first(database: Database) -> None:
    skills: JsonValue = [{"id": "ode", "name": "Ode"}, {"id": "rhyme", "name": "Rhyme"}]
    async with peer_server() as one, peer_server() as two, office(database) as runtime:
        await register(runtime, "one", one.card)
        await register(runtime, "two", two.card, skills=skills)
        found = await delegate(runtime, capabilities=["ode", "rhyme"])
        assert found["agent_id"] == "two"
        found = await delegate(runtime, capabilities=["ode"], message="again")
        assert found["agent_id"] == "one"
        with pytest.raises(NoAgentForTask, match="no agent can do cooking"):
            await delegate(runtime, capabilities=["cooking"])
        with pytest.raises(InvalidParams, match="names no agent"):
            await delegate(runtime)
        with pytest.raises(AgentNotFound):
            await delegate(runtime, principal("eve", "evil"), target_agent="one")


async def test_the_next_one_is_asked_where_nothing_was_begun(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_agent, "LONGEST_BACKOFF", 0.01)
    async with peer_server() as peer, office(database) as runtime:
        await register(runtime, "a-gone", card_of("http://127.0.0.1:9/", "1.0"))
        await register(runtime, "b-there", peer.card)
        found = await delegate(runtime, skills=["ode"])
        assert (found["agent_id"], found["state"]) == ("b-there", "TASK_STATE_COMPLETED")
        first, second = objects_of(found["attempts"])
        assert (first["agent_id"], first["code"]) == ("a-gone", "agent_unreachable")
        assert (second["code"], second["reason"]) == (None, None)


async def test_a_failure_gives_what_there_is_and_why(database: Database) -> None:
    async with peer_server() as peer, office(database) as runtime:
        await register(runtime, "poet", peer.card)
        await register(runtime, "other", peer.card)
        found = await delegate(runtime, target_agent="poet", message="fail")
        assert (found["partial"], found["reason"]) == (True, "it cannot be done")
        assert at(found, "task", "artifacts", 0, "name") == "draft"
        # It was begun: whether to do it again is not ours to say.
        found = await delegate(runtime, capabilities=["ode"], message="fail")
        assert len(objects_of(found["attempts"])) == 1
        waiting = await delegate(runtime, target_agent="poet", message="wait", wait_seconds=0)
        assert waiting["reason"] == "it is still at work"


async def test_a_delegation_asked_for_again_is_the_same_task(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_agent, "LONGEST_BACKOFF", 0.01)
    message: JsonObject = {"messageId": "m-1", "parts": [{"text": "hello"}]}
    async with peer_server() as peer, office(database) as runtime:
        await register(runtime, "a-gone", card_of("http://127.0.0.1:9/", "1.0"))
        await register(runtime, "b-there", peer.card)

        async def ask(caller: Principal = ALICE, **changes: JsonValue) -> JsonObject:
            wanted: dict[str, JsonValue] = {"skills": ["ode"], "message": message, **changes}
            return await delegate(runtime, caller, **wanted)

        one, two = await asyncio.gather(
            ask(deadline_seconds=50), ask(deadline_seconds=60, budget_usd="1")
        )
        again = await ask(wait_seconds=0)
        assert one["task_id"] == two["task_id"] == again["task_id"]
        assert (again["agent_id"], again["state"]) == ("b-there", "TASK_STATE_COMPLETED")
        assert len(peer.agent.seen) == 1
        found = [one, await ask(principal("bob"))]
        assert len(set(map(str, ids(found)))) == 2


async def test_a_delegation_that_nobody_took_can_be_asked_for_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_agent, "LONGEST_BACKOFF", 0.01)
    message: JsonObject = {"messageId": "m-1", "parts": [{"text": "hello"}]}
    async with peer_server() as peer, office(database) as runtime:
        await register(runtime, "poet", card_of("http://127.0.0.1:9/", "1.0"))
        first = await delegate(runtime, target_agent="poet", message=message)
        assert at(first, "attempts", 0, "code") == "agent_unreachable"
        await register(runtime, "poet", peer.card)
        second = await delegate(runtime, target_agent="poet", message=message)
        assert second["state"] == "TASK_STATE_COMPLETED"
        assert len(objects_of(second["attempts"])) == 2
        third = await delegate(runtime, target_agent="poet", message=message)
        assert third["task_id"] == second["task_id"]
        with pytest.raises(InvalidParams, match="wait_seconds"):
            await delegate(runtime, target_agent="poet", wait_seconds=1e300)


async def test_a_circle_through_two_services_is_refused(database: Database) -> None:
    """A here hands on to B there, which hands on to A here again."""
    async with AsyncExitStack() as stack:
        here = await stack.enter_async_context(office(database, "here"))
        there = await stack.enter_async_context(office(database, "there"))
        urls = [await stack.enter_async_context(served(app_of(each))) for each in (here, there)]
        for name, url in zip(("to-here", "to-there"), urls, strict=True):
            await register(here, name, card_of(f"{url}/a2a/agents/boss", "1.0"))
        task = await ended(here, await begin(here, "to-there to-here to-there hello"))
        assert at(task, "status", "state") == "TASK_STATE_FAILED"
        reason = str(at(task, "status", "message", "parts", 0, "text"))
        assert "has handed on this task already: boss -> to-there -> boss -> to-here" in reason


async def test_circles_and_long_chains_within_a_service(database: Database) -> None:
    async with office(database) as runtime:
        task = await ended(runtime, await begin(runtime, "boss hello"))
        assert "'boss' has handed on" in str(at(task, "status", "message", "parts", 0, "text"))
        chain: JsonValue = [{"installation": "far", "agent": f"a{n}"} for n in range(4)]
        message: JsonObject = {"parts": [{"text": "x"}], "metadata": {EXTENSION: {"chain": chain}}}
        with pytest.raises(DelegationTooDeep):
            await delegate(runtime, target_agent="scripted", message=message)
        with pytest.raises(DelegationCycle):
            await delegate(runtime, target_agent="boss", source_agent="boss")


async def test_who_is_cancelled_takes_along_those_that_work_for_it(database: Database) -> None:
    async with peer_server() as peer, office(database) as runtime:
        await register(runtime, "poet", peer.card)
        task_id = await begin(runtime, "poet wait")
        await eventually(lambda: peer.agent.seen)
        log = await runtime.interactions.page(ALICE, asked(task_id=task_id))
        (row,) = objects_of(log["interactions"])
        await until_bound(database, str(row["task_id"]))
        await runtime.manager.cancel(OWNER, task_id)
        await eventually(lambda: peer.agent.cancelled, 50)
        child = await ended(runtime, str(row["task_id"]))
        assert at(child, "status", "state") == "TASK_STATE_CANCELED"


async def test_what_is_private_is_not_handed_on_without_permission(database: Database) -> None:
    private = Principal(subject="alice", tenant="acme", scopes=frozenset({"a2a"}), private=True)
    async with peer_server() as peer, office(database) as runtime:
        await register(runtime, "poet", peer.card)
        found = await delegate(runtime, private, target_agent="poet")
        assert at(found, "attempts", 0, "code") == "agent_not_private"
        task_id = await begin(runtime, "poet secret", given={"private": True})
        task = await ended(runtime, task_id)
        assert "the task is private" in str(at(task, "status", "message", "parts", 0, "text"))
        assert peer.line.asked == []
        await delegate(runtime, target_agent="scripted", private=True)
        assert scripted(runtime).seen[-1].principal.private


async def test_budgets_and_times_only_shrink(database: Database) -> None:
    async with peer_server() as peer, office(database) as runtime:
        await register(runtime, "poet", peer.card)
        # A task that costs more than it may is stopped.
        found = await delegate(runtime, target_agent="scripted", message="report", budget_usd="0.1")
        assert "its budget was 0.1" in str(found["reason"])
        given: JsonObject = {"budget_usd": "1.00", "deadline_seconds": 500}
        parent = await begin(runtime, "wait", "second", given=given)
        # Through another one: what that one's helper has cost counts, too, and at once.
        child = await delegate(
            runtime, target_agent="boss", message="scripted report", task_id=parent
        )
        assert child["state"] == "TASK_STATE_COMPLETED"
        assert child["spent"] == {"cost_usd": "0.75", "tokens": 10}
        await delegate(
            runtime, target_agent="poet", task_id=parent, budget_usd="9", deadline_seconds=900
        )
        left = handed(peer)
        assert Decimal(str(left["budget_usd"])) == Decimal("0.25")
        assert float(str(left["deadline_seconds"])) <= 500
        scripted(runtime, "second").go.set()
        await ended(runtime, parent)
        with pytest.raises(UnsupportedOperation, match="has ended"):
            await delegate(runtime, target_agent="poet", task_id=parent)
        with pytest.raises(TaskNotFound):
            await delegate(runtime, principal("bob"), target_agent="scripted", task_id=parent)


@pytest.mark.parametrize("version", ["1.0", "0.3"])
async def test_what_a_task_elsewhere_has_cost_is_told(database: Database, version: str) -> None:
    async with AsyncExitStack() as stack:
        here = await stack.enter_async_context(office(database, "here"))
        there = await stack.enter_async_context(office(database, "there"))
        url = await stack.enter_async_context(served(app_of(there)))
        await register(here, "poet", card_of(f"{url}/a2a/agents/boss", version))
        parent = await begin(here, "wait", "second", given={"budget_usd": "2.00"})
        found = await delegate(here, target_agent="poet", message="scripted report", task_id=parent)
        assert (found["state"], found["partial"]) == ("TASK_STATE_COMPLETED", False)
        assert found["spent"] == {"cost_usd": "0.75", "tokens": 10}
        assert object_of(at(found, "task", "metadata"))[SPENT] == found["spent"]
        await delegate(here, target_agent="scripted", task_id=parent)
        handover = scripted(here).seen[-1].handover
        assert handover.budget_usd == Decimal("1.25")
        log = await here.interactions.page(ALICE, asked(task_id=parent))
        row = objects_of(log["interactions"])[1]
        assert (row["target_agent"], row["cost_usd"], row["tokens"]) == ("poet", "0.75", 10)
        scripted(here, "second").go.set()


async def test_those_who_are_asked_at_once_share_a_budget(database: Database) -> None:
    """Through two processes; what the tasks keep is what their agents were given."""
    async with office(database) as one, office(database) as two:
        parent = await begin(one, "wait", "second", given={"budget_usd": "1.00"})

        async def ask(runtime: A2ARuntime, **more: JsonValue) -> tuple[A2ARuntime, str]:
            asked: dict[str, JsonValue] = {"target_agent": "scripted", "task_id": parent, **more}
            found = await delegate(runtime, ALICE, message="wait", wait_seconds=0, **asked)
            return runtime, str(found["task_id"])

        begun = await asyncio.gather(
            *(ask(each) for each in (one, two) * 3), ask(two, budget_usd="0.25")
        )
        for agent in (scripted(one), scripted(two), scripted(one, "second")):
            agent.go.set()
        tasks = await asyncio.gather(*(ended(*each) for each in begun))
        budgets = [each.handover.budget_usd for each in scripted(one).seen + scripted(two).seen]
        assert sum(each for each in budgets if each is not None) == 1
        told = [object_of(at(each, "metadata", EXTENSION))["budget_usd"] for each in tasks]
        assert sorted(map(str, told)) == sorted(map(str, budgets))


class Spender:
    """Lets somebody help, and then spends more of its own."""

    def __init__(self, runtime: A2ARuntime) -> None:
        self.runtime = runtime

    async def handle(self, message: InboundMessage, task: TaskHandle) -> None:
        await delegate(
            self.runtime, target_agent="scripted", message="report", task_id=task.task_id
        )
        task.report(cost_usd=Decimal("0.26"))
        await task.complete("too late")


async def test_those_who_help_are_paid_from_the_same_budget(database: Database) -> None:
    async with office(database) as runtime:
        runtime.hosted.add(Hosting(agent_id="spender", agent=Spender(runtime)))
        task_id = await begin(runtime, "hello", "spender", given={"budget_usd": "1.00"})
        task = await ended(runtime, task_id)
        assert "has cost 1.01 USD, its budget was 1.00" in str(at(task, "status", "message"))


@pytest.mark.parametrize(
    "message",
    [
        {"parts": "x"},
        {"parts": []},
        {"parts": [{"foo": 1}]},
        {"parts": [{"text": "x", "url": "y"}]},
        {"parts": [{"raw": "*"}]},
        {"parts": [{"text": "x"}], "messageId": 7},
        {"parts": [{"text": "x"}], "messageId": "m" * 1025},
        {"parts": [{"text": "x"}], "metadata": 7},
        {"parts": [{"text": "x"}], "metadata": {EXTENSION: {"budget_usd": "1e999999"}}},
    ],
)
async def test_a_message_that_could_not_be_sent_is_refused(
    database: Database, message: JsonObject
) -> None:
    async with office(database) as runtime:
        with pytest.raises(InvalidParams):
            await delegate(runtime, target_agent="scripted", message=message)
        with pytest.raises(InvalidParams, match="source_agent"):
            await delegate(runtime, target_agent="scripted", source_agent="a" * 256)
        assert scripted(runtime).seen == []


def ids(rows: list[JsonObject]) -> list[JsonValue]:
    return [row["task_id"] for row in rows]


async def test_the_log_of_who_handed_on_what(database: Database) -> None:
    async with peer_server() as peer, office(database) as runtime, served(app_of(runtime)) as url:
        await register(runtime, "poet", peer.card)
        task_id = await begin(runtime, "poet hello")
        await ended(runtime, task_id)
        await delegate(runtime, target_agent="scripted", source_agent="boss")
        async with httpx2.AsyncClient(base_url=url) as http:

            async def rows(caller: str = "acme/alice", **query: str) -> list[JsonObject]:
                headers = {"x-caller": caller}
                answer = await http.get("/internal/interactions", params=query, headers=headers)
                assert answer.status_code == 200, answer.text
                return objects_of(answer.json()["interactions"])

            newest, oldest = await rows()
            assert (newest["source_agent"], newest["target_agent"]) == ("boss", "scripted")
            assert (oldest["target_agent"], oldest["source_task"]) == ("poet", task_id)
            assert (oldest["trace_id"], oldest["depth"]) == (TRACE_ID, 2)
            assert oldest["state"] == "TASK_STATE_COMPLETED"
            names = [newest["task_id"], oldest["task_id"]]
            assert ids(await rows(task_id=task_id)) == names[1:]
            assert ids(await rows(agent_id="scripted")) == names[:1]
            assert ids(await rows(trace_id=TRACE_ID)) == names
            assert await rows("acme/bob") == await rows("evil/alice") == []
            page = (await http.get("/internal/interactions", params={"limit": "1"})).json()
            more = await rows(limit="1", cursor=page["next_cursor"])
            assert [*ids(page["interactions"]), *ids(more)] == names
            assert (await http.get("/internal/interactions?limit=0")).status_code == 422
