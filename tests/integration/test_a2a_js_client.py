"""The official JavaScript client, of each version's own release, in one conversation."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from agentcore.a2a_protocol.hosting import Hosting
from agentcore.a2a_protocol.ports import TaskHandle
from agentcore.kit.db import Database
from devtools.node import A2A_JS, find_node
from tests.fakes.a2a import ScriptedAgent, a2a, app_of, served
from tests.integration.test_a2a_push_sender import ANYWHERE, listening

NODE = find_node()
SCRIPT = Path(__file__).parents[1] / "peers" / "a2a_js" / "talk.mjs"
SECONDS = 120.0


class Gate(ScriptedAgent):
    """The word "release" lets those go on that wait."""

    async def _release(self, task: TaskHandle) -> None:
        self.go.set()
        await task.complete("released")


@pytest.mark.skipif(
    NODE is None or not A2A_JS.ready, reason="no JavaScript SDK here: python3 dev.py peers"
)
@pytest.mark.parametrize("version", ["1.0", "0.3"])
async def test_the_javascript_client_talks_streams_cancels_returns_and_is_told(
    database: Database, version: str
) -> None:
    async with listening() as webhook, a2a(database, config=ANYWHERE) as runtime:
        runtime.hosted.add(Hosting(agent_id="gate", agent=Gate()))
        async with served(app_of(runtime)) as url:
            talking = await asyncio.create_subprocess_exec(
                NODE.program if NODE else "node",
                *(str(SCRIPT), str(A2A_JS.path), version, f"{url}/a2a/agents/gate/", webhook.url),
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            said, faults = await asyncio.wait_for(talking.communicate(), SECONDS)
            assert talking.returncode == 0, faults.decode()
            done = {"1.0": "TASK_STATE_COMPLETED", "0.3": "completed"}[version]
            assert (await webhook.until(done))[-1] == done
    seen = json.loads(said)
    assert seen["answer"] == "echo: hello"
    assert seen["streamed"][0] == "submitted"
    assert (seen["streamed"].count("working"), seen["streamed"][-1]) == (4, "completed")
    assert (seen["cancelled"], seen["after_cancelling"]) == ("canceled", "canceled")
    assert seen["hooks"] == ["hook", "hook"]
    assert seen["attached"]
    assert (seen["attached_to"], seen["kept"]) == ("completed", "completed")
    assert "NotFound" in seen["unknown"]
    assert webhook.headers[-1]["x-a2a-notification-token"] == "secret"
