from __future__ import annotations

import pytest

from agentcore.a2a_protocol.errors import InvalidParams, UnsupportedOperation
from agentcore.a2a_protocol.handovers import Station
from agentcore.a2a_protocol.hosting import Addressees, HostedAgents, Hosting
from agentcore.a2a_protocol.models.handover import EXTENSION, Handover
from agentcore.a2a_protocol.models.task import TaskRecord
from agentcore.a2a_protocol.models.turn import Sent
from agentcore.a2a_protocol.tasks.intake import Intake
from agentcore.kit.ids import Ids
from agentcore.kit.jsonvalue import JsonObject
from agentcore.kit.security import Principal
from tests.fakes.a2a import ScriptedAgent, principal
from tests.fakes.a2a_tasks import record
from tests.fakes.clock import ManualClock

POET = Hosting(agent_id="poet", agent=ScriptedAgent())


class OnlyThere:
    async def find(self, agent_id: str, principal: Principal) -> Hosting | None:
        return Hosting(agent_id="far", agent=ScriptedAgent()) if agent_id == "far" else None


class Listening:
    async def began(self, record: TaskRecord, handover: Handover) -> Handover:
        heard.append(f"{record.task_id} {handover.chain[-1].agent}")
        return handover


heard: list[str] = []


def intake(*hosted: Hosting) -> Intake:
    agents = HostedAgents()
    for each in hosted:
        agents.add(each)
    station = Station("here", 5, Ids())
    return Intake(
        Addressees(agents, OnlyThere()), station, Listening(), clock=ManualClock(), most_seconds=60
    )


def sent(**metadata: object) -> Sent:
    message: JsonObject = {"messageId": "m", "parts": [{"text": "hi"}, {"data": {"a": 1}}]}
    return Sent(principal=principal(), message={**message, "metadata": metadata})  # type: ignore[dict-item]  # JSON of the tests


async def test_agents_here_come_before_those_elsewhere() -> None:
    desk = intake(POET)
    assert (await desk.addressee(sent())).agent_id == "poet"
    assert (await desk.addressee(sent(agent_id="far"))).agent_id == "far"
    assert (await desk.addressee(sent(), "far")).agent_id == "far"
    with pytest.raises(InvalidParams, match="no agent 'nobody'"):
        await desk.addressee(sent(agent_id="nobody"))
    with pytest.raises(UnsupportedOperation):
        await intake().addressee(sent())


async def test_what_the_agent_is_given() -> None:
    desk = intake(POET)
    asked = sent(deadline_seconds=7, colour="red", **{EXTENSION: {"private": True}})
    accepted = desk.accept(asked, POET, "t1")
    message = desk.message(accepted, "t1", {**asked.message, "contextId": "c1"})
    assert (message.text, message.data, message.task_id) == ("hi", ({"a": 1},), "t1")
    assert message.metadata == {"colour": "red"}
    assert message.principal.private
    assert message.handover.private
    assert message.deadline is not None
    assert (message.deadline - ManualClock().now()).total_seconds() == 7
    assert message.handover.chain[-1].agent == "poet"
    assert (message.traceparent, message.handover.traceparent is None) == ("", False)
    assert EXTENSION in accepted.kept


async def test_only_what_was_handed_on_is_told() -> None:
    desk = intake(POET)
    for asked in (sent(), sent(**{EXTENSION: {}})):
        await desk.began(record(), desk.accept(asked, POET, "t1"))
    assert heard == ["t1 poet"]
