"""An agent's three doors into a running AgentCore: ``/v1``, ``/a2a`` and ``/internal/context``."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING
from urllib.parse import quote

from agentcore.agents.episode import EpisodeReport
from agentcore.agents.ports import Messages, Rendered, Thought
from agentcore.kit.errors import InvalidInput, Unavailable
from agentcore.kit.jsonvalue import JsonObject, JsonValue, dumps, loads
from agentcore.kit.resilience import retry

if TYPE_CHECKING:
    import aiohttp

    from agentcore.kit.clock import Clock

REPLY_TOKENS = 200


class AgentCoreApi:
    """HTTP with JSON on both sides; an error answer is raised in the service's own words."""

    def __init__(self, http: aiohttp.ClientSession, url: str, token: str) -> None:
        self._http = http
        self._url = url
        self._headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}

    async def get(self, path: str) -> JsonObject:
        return (await self.exchange("GET", path))[0]

    async def post(self, path: str, body: JsonObject) -> JsonObject:
        return (await self.exchange("POST", path, body))[0]

    async def exchange(
        self, method: str, path: str, body: JsonObject | None = None
    ) -> tuple[JsonObject, dict[str, str]]:
        """The answer's JSON and headers (names in lower case)."""
        import aiohttp

        data = None if body is None else dumps(body)
        try:
            async with self._http.request(
                method, self._url + path, data=data, headers=self._headers
            ) as response:
                text = await response.read()
                headers = {name.lower(): value for name, value in response.headers.items()}
        except aiohttp.ClientError as exc:
            raise Unavailable(f"{self._url}{path} does not answer: {exc}") from exc
        value = loads(text) if text else {}
        answer: JsonObject = value if isinstance(value, dict) else {"items": value}
        if response.status >= 500 or response.status == 429:
            raise Unavailable(f"{path} answered {response.status}: {text[:300]!r}")
        if response.status >= 400:
            raise InvalidInput(f"{path} answered {response.status}: {text[:300]!r}")
        return answer, headers


class GatewayMind:
    """Thinks with one chat completion per decision, as the OpenAI SDK would send it."""

    def __init__(self, service: AgentCoreApi, model: str, clock: Clock) -> None:
        self._service = service
        self._model = model
        self._clock = clock

    async def think(self, messages: Messages, *, trace_id: str) -> Thought:
        body: JsonObject = {
            "model": self._model,
            "messages": list(messages),
            "temperature": 0,
            "max_tokens": REPLY_TOKENS,
        }
        answer, headers = await retry(
            lambda: self._service.exchange("POST", "/v1/chat/completions", body),
            on=(Unavailable,),
            clock=self._clock,
        )
        cost = headers.get("x-agentcore-cost-usd")
        return Thought(
            text=_reply(answer),
            tokens=_count(answer.get("usage")),
            cost_usd=Decimal(cost) if cost else None,
            provider=headers.get("x-agentcore-provider", "unknown"),
        )


class RpcWorld:
    """Acts by A2A JSON-RPC requests."""

    def __init__(self, service: AgentCoreApi) -> None:
        self._service = service
        self._sent = 0

    async def call(self, method: str, params: JsonObject) -> JsonObject:
        self._sent += 1
        request: JsonObject = {
            "jsonrpc": "2.0",
            "id": self._sent,
            "method": method,
            "params": params,
        }
        answer = await self._service.post("/a2a", request)
        if isinstance(error := answer.get("error"), dict):
            raise InvalidInput(f"{method}: {error.get('message')}")
        result = answer.get("result")
        return result if isinstance(result, dict) else {"result": result}


class ContextPlaybooks:
    """Reads playbooks and leaves traces."""

    def __init__(self, service: AgentCoreApi) -> None:
        self._service = service

    async def render(self, agent_id: str, task: str, *, task_id: str = "") -> Rendered:
        answer = await self._service.get(
            f"/internal/context/playbooks/{agent_id}/render?task_id={quote(task_id)}"
        )
        stamp = answer.get("stamp")
        return Rendered(
            text=str(answer.get("text", "")), stamp=stamp if isinstance(stamp, dict) else None
        )

    async def record(self, task_id: str, seconds: float, report: EpisodeReport) -> None:
        metadata = report.metadata()
        if report.stamp is not None:
            metadata["playbook"] = report.stamp
        await self._service.post(
            "/internal/context/traces",
            {
                "agent_id": report.plan.agent_id,
                "task_id": task_id,
                "execution_time": seconds,
                "success": report.success,
                "output_quality": report.quality,
                "error_message": report.error,
                "metadata": metadata,
            },
        )


def _reply(answer: JsonObject) -> str:
    match answer:
        case {"choices": [{"message": {"content": str(text)}}, *_]}:
            return text
        case _:
            raise InvalidInput(f"the gateway answered no chat completion: {dumps(answer)[:200]!r}")


def _count(usage: JsonValue) -> int:
    total = usage.get("total_tokens") if isinstance(usage, dict) else None
    return total if isinstance(total, int) else 0
