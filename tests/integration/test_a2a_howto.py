"""The programs of the pages about agents, run as they are printed."""

from __future__ import annotations

import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import httpx2
import pytest

from agentcore.a2a_protocol import own_agents
from agentcore.a2a_protocol.hosting import HostedAgents
from agentcore.a2a_protocol.models.agent import Move
from agentcore.kit.db import Database
from tests.fakes.a2a import a2a, app_of, principal, served

PYTHON = r"```python\n(.*?)```"
PAGES = Path(__file__).parents[2] / "docs" / "how-to"


@pytest.fixture(scope="module")
def page() -> SimpleNamespace:
    """All names that the pages' Python blocks define."""
    names: dict[str, object] = {}
    for name in ("connect-an-agent.md", "keep-a-registry-of-agents.md"):
        path = PAGES / name
        text = path.read_text(encoding="utf-8")
        for block in re.findall(PYTHON, text, re.DOTALL):
            exec(compile(block, str(path), "exec"), names)
    return SimpleNamespace(**names)


@asynccontextmanager
async def serving(database: Database, page: SimpleNamespace) -> AsyncIterator[str]:
    async with a2a(database) as runtime, served(app_of(runtime)) as url:
        runtime.hosted.add(page.SHOUTER)
        yield url


def test_the_agent_is_hosted_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (PAGES / "connect-an-agent.md").read_text(encoding="utf-8")
    (block,) = [each for each in re.findall(PYTHON, text, re.DOTALL) if "SHOUTER" in each]
    assert len(block.split("\n")) <= 21, "twenty lines are enough"
    assert "serve --agent shout:SHOUTER" in text
    (tmp_path / "shout.py").write_text(block)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "shout", raising=False)
    hosted = HostedAgents()
    own_agents.host(["shout:SHOUTER"], hosted)
    assert "shouter" in hosted


async def test_the_programs(database: Database, page: SimpleNamespace) -> None:
    async with serving(database, page) as url:
        assert await page.talk(url, "token", "hello") == "echo: hello"
        assert await page.introduce(url, "token") == ["summarizer"]
        assert await page.introduce(url, "token") == ["summarizer"]


async def test_delegating(database: Database, page: SimpleNamespace) -> None:
    async with serving(database, page) as url:
        found = await page.delegate(url, "token", "shout", "hello")
        assert (found["agent_id"], found["partial"]) == ("shouter", False)
        assert found["task"]["status"]["message"]["parts"][0]["text"] == "HELLO"


async def test_the_agent(database: Database, page: SimpleNamespace) -> None:
    def message(text: str, **members: str) -> dict[str, object]:
        return {
            "messageId": f"m-{text}",
            "role": "ROLE_USER",
            "parts": [{"text": text}],
            "metadata": {"agent_id": "shouter"},
            **members,
        }

    async with (
        serving(database, page) as url,
        httpx2.AsyncClient(base_url=url, headers={"a2a-version": "1.0"}, timeout=60) as http,
    ):

        async def send(text: str, **members: str) -> dict[str, object]:
            params = {"message": message(text, **members)}
            document = {"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": params}
            task: dict[str, object] = (await http.post("/a2a", json=document)).json()["result"][
                "task"
            ]
            return task

        asked = await send("")
        told = await send("hear me", taskId=str(asked["id"]))
    assert "what shall I shout?" in str(asked["status"])
    assert "HEAR ME" in str(told["status"])
    assert "'letters': 7" in str(told["artifacts"])


async def test_an_agent_that_says_that_it_is_alive(
    database: Database, page: SimpleNamespace
) -> None:
    worked = 0
    async with a2a(database) as runtime, served(app_of(runtime)) as url:

        async def work() -> None:
            nonlocal worked
            worked += 1
            await runtime.agents.move("poet", (Move.DRAIN, Move.SUSPEND)[worked - 1], principal())
            if worked == 1:
                await runtime.agents.move("poet", Move.RESUME, principal())

        serving = page.serve_until_retired(url, "token", {"name": "poet"}, work, pause=0.001)
        assert await serving == "suspended"
        found = await runtime.agents.get("poet", principal())
    assert worked == 2
    assert found.last_seen > found.created_at
