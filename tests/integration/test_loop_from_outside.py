"""The loop driven by programs that nobody here wrote.

The official A2A client asks the bundled agent to play an environment that upstream's own OpenEnv
server runs; the official OpenAI client talks to the same gateway; what they did is in the traces
of the playbook and on the ledger.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx2
import openai
import pytest
from a2a.client import ClientCallContext, ClientConfig, client_factory, create_client
from a2a.client.auth import AuthInterceptor, CredentialService
from a2a.types import Message, Part, Role, SendMessageRequest, StreamResponse, TaskState
from google.protobuf.json_format import (  # type: ignore[import-untyped]  # ships no types
    MessageToDict,
    ParseDict,
)

from tests.fakes.deployment import Deployment, deployed, providers, simulated_cluster
from tests.fakes.patience import have_patience
from tests.peers.launch import upstream_openenv

have_patience(vars(client_factory)["httpx"].AsyncClient)


@pytest.fixture
async def upstream() -> AsyncIterator[str]:
    async with upstream_openenv() as url:
        yield url


@pytest.fixture
async def service(upstream: str) -> AsyncIterator[Deployment]:
    """A service that knows upstream's environment under the name ``echo``."""
    with (
        simulated_cluster("--latency", "0.001", "--token-latency", "0") as cluster,
        deployed(
            AGENTCORE_LLM_GATEWAY__PROVIDERS=providers(cluster=cluster),
            AGENTCORE_AGENTS__MODEL="playbook-7b",
            AGENTCORE_ACE__ACE_LLM_MODEL="playbook-7b",
            AGENTCORE_TRAINING__ENVIRONMENTS=f'[{{"name": "echo", "url": "{upstream}"}}]',
        ) as running,
    ):
        yield running


def play(environment: str, seed: int, most: int) -> Message:
    part = ParseDict(
        {"data": {"play": {"environment": environment, "seed": seed, "max_steps": most}}}, Part()
    )
    return Message(message_id=str(uuid4()), role=Role.ROLE_USER, parts=[part])


class OneToken(CredentialService):
    """The same token for whichever scheme the agent card declares."""

    def __init__(self, token: str) -> None:
        self._token = token

    async def get_credentials(
        self, security_scheme_name: str, context: ClientCallContext | None
    ) -> str:
        return self._token


async def ask(service: Deployment, token: str, message: Message) -> list[StreamResponse]:
    signing = AuthInterceptor(OneToken(token))
    config = ClientConfig(streaming=True)
    async with await create_client(service.url, config, interceptors=[signing]) as client:
        request = SendMessageRequest(message=message)
        return [event async for event in client.send_message(request)]


def episode(events: list[StreamResponse]) -> dict[str, Any]:
    found = [
        MessageToDict(part.data)
        for event in events
        if event.HasField("artifact_update")
        for part in event.artifact_update.artifact.parts
    ]
    assert len(found) == 1
    return dict(found[0])


async def test_foreign_programs_drive_the_whole_loop(service: Deployment) -> None:
    token = await asyncio.to_thread(service.token, "admin", subject="ann", tenant="acme")

    bundled = await ask(service, token, play("a2a_protocol_test", 3, 40))
    assert bundled[-1].status_update.status.state in {
        TaskState.TASK_STATE_COMPLETED,
        TaskState.TASK_STATE_FAILED,
    }
    assert any("reward so far" in str(event) for event in bundled), "progress was streamed"
    first = episode(bundled)
    assert first["tokens"] > 0
    assert first["violations"], "without a playbook the model plays naively"

    foreign = episode(await ask(service, token, play("echo", 0, 3)))
    assert foreign["environment"] == "echo"
    assert foreign["steps"] == 3

    client = openai.AsyncOpenAI(base_url=f"{service.url}/v1", api_key=token)
    answer = await client.chat.completions.create(
        model="playbook-7b", messages=[{"role": "user", "content": "Say hello."}]
    )
    assert answer.choices[0].message.content
    assert answer.usage is not None
    assert [model.id async for model in client.models.list()] == ["playbook-7b"]
    await client.close()

    headers = {"authorization": f"Bearer {token}"}
    async with httpx2.AsyncClient(base_url=service.url, headers=headers, timeout=120) as http:
        status = await eventually(
            http, "/internal/context/evolution/status/playbook-agent.acme", "pending_traces", 2
        )
        assert status["pending_traces"] == 2, "each episode left one trace"
        calls = 1 + int(first["steps"]) + int(foreign["steps"])
        bill = await eventually(http, "/internal/costs/summary", "lines", 1)
        while bill["lines"][0]["calls"] < calls:
            await asyncio.sleep(0.05)
            bill = (await http.get("/internal/costs/summary")).json()
        assert bill["lines"][0]["kind"] == "self_hosted"
        assert float(bill["saved_usd"]) > 0
        trigger = {"agent_id": "playbook-agent.acme", "force": True}
        assert (await http.post("/internal/context/evolution/trigger", json=trigger)).is_success
        path = "/internal/context/evolution/status/playbook-agent.acme"
        await eventually(http, path, "last_evolution", 1)


async def eventually(
    http: httpx2.AsyncClient, path: str, member: str, least: int
) -> dict[str, Any]:
    """The answer at ``path`` once ``member`` is a number, list or text of at least ``least``."""
    async with asyncio.timeout(100):
        while True:
            answer: dict[str, Any] = (await http.get(path)).json()
            value = answer.get(member)
            size = value if isinstance(value, int) else len(value or ())
            if size >= least:
                return answer
            await asyncio.sleep(0.05)
