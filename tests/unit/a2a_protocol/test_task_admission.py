"""Which messages an agent takes in which state, through the methods of the protocol."""

from __future__ import annotations

import pytest

from agentcore.a2a_protocol.errors import AgentNotAccepting, UnsupportedOperation
from agentcore.a2a_protocol.models.agent import Move
from agentcore.a2a_protocol.models.task import TaskState
from agentcore.a2a_protocol.models.turn import Sent
from agentcore.a2a_protocol.runtime import A2ARuntime
from agentcore.a2a_protocol.tasks.admission import check_open
from agentcore.kit.db import Database
from agentcore.kit.jsonvalue import JsonObject
from tests.fakes.a2a import a2a, principal
from tests.fakes.a2a_tasks import record

ADMIN = principal("root", scopes=("admin",))
EVE = principal("eve", "evil")


async def send(runtime: A2ARuntime, text: str, task_id: str = "", number: int = 0) -> str:
    """The id of the task that the message led to, in which it was answered."""
    message: JsonObject = {
        "messageId": f"{text}-{number}",
        "role": "ROLE_USER",
        "parts": [{"text": text}],
        **({"taskId": task_id} if task_id else {}),
    }
    begun = await runtime.manager.send(Sent(principal=principal(), message=message))
    await runtime.manager.settled(begun, 20)
    return begun.record.task_id


async def test_a_draining_agent_ends_what_it_has_begun(database: Database) -> None:
    async with a2a(database) as runtime:
        asked, other = await send(runtime, "ask"), await send(runtime, "ask", number=1)
        await runtime.agents.move("scripted", Move.DRAIN, ADMIN)
        with pytest.raises(AgentNotAccepting, match="draining") as refused:
            await send(runtime, "hello")
        assert refused.value.context == {"status": "draining"}
        assert await send(runtime, "ask") == asked, "what was sent before is answered as before"
        assert await send(runtime, "this one", asked) == asked
        await runtime.agents.move("scripted", Move.SUSPEND, ADMIN)
        with pytest.raises(AgentNotAccepting, match="suspended"):
            await send(runtime, "that one", other)
        await runtime.agents.move("scripted", Move.RESUME, ADMIN)
        assert await send(runtime, "that one", other) == other
        assert await send(runtime, "hello")


async def test_another_tenant_and_another_agent_do_not_notice(database: Database) -> None:
    async with a2a(database) as runtime:
        await runtime.agents.move("scripted", Move.TERMINATE, ADMIN)
        message: JsonObject = {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "x"}]}
        for sent in (
            Sent(principal=EVE, message=message),
            Sent(principal=principal(), message=message, agent="second"),
        ):
            begun = await runtime.manager.send(sent)
            await runtime.manager.settled(begun, 20)
        with pytest.raises(AgentNotAccepting, match="terminated"):
            await runtime.manager.send(Sent(principal=principal(), message=message))


def test_an_ended_task_takes_no_message() -> None:
    check_open(record(state=TaskState.INPUT_REQUIRED))
    with pytest.raises(UnsupportedOperation, match="has ended"):
        check_open(record(state=TaskState.FAILED))
