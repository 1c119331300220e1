"""The server under test: what it says of itself, its sockets and pages, the actions to play."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import cycle
from random import Random

import httpx2

from agentcore.kit.http import bounded
from agentcore.kit.jsonvalue import JsonObject, JsonValue, list_of, loads, object_of
from agentcore.training.openenv.conformance.models import Plan
from agentcore.training.openenv.conformance.wire import (
    NoSession,
    Talk,
    Transcript,
    WireFault,
    admitted,
    refusal_of,
    shortened,
    socket_url,
    talking,
)
from agentcore.training.openenv.describing import LARGEST_ANSWER, bearer
from agentcore.training.openenv.encoding import ActionEncoder
from agentcore.training.openenv.errors import OpenEnvError
from agentcore.training.openenv.models import EnvironmentInfo
from agentcore.training.openenv.sampling import sample_action

PAUSE = 0.02
ACTIONS_TRIED = 12
Headers = dict[str, str]


@dataclass(frozen=True)
class Answer:
    """``body`` is None where it is not JSON; ``text`` is its beginning as it came."""

    status: int
    body: JsonValue
    text: str

    @property
    def members(self) -> JsonObject:
        return object_of(self.body)

    def __str__(self) -> str:
        return f"HTTP {self.status} {self.text}"


class Subject:
    """Each check gets a new transcript; what is known of the server is found out once."""

    def __init__(self, plan: Plan, http: httpx2.AsyncClient) -> None:
        self.plan = plan
        self.transcript = Transcript()
        self.metadata: JsonObject = {}
        self.schema: JsonObject = {}
        self.actions: tuple[JsonObject, ...] = plan.actions
        self.without_actions = ""
        self._http = http

    def new_transcript(self) -> Callable[[], tuple[str, ...]]:
        """Begin one; the function returns its lines."""
        begun = Transcript()
        self.transcript = begun
        return lambda: begun.lines

    async def prepare(self) -> None:
        """Ask for the pages and look for actions that the environment takes."""
        self.metadata = (await self.get("/metadata")).members
        self.schema = (await self.get("/schema")).members
        if not self.actions:
            await self._find_actions()

    @property
    def headers(self) -> Headers:
        return bearer(self.plan.token)

    @property
    def action_space(self) -> JsonObject:
        return object_of(self.schema.get("action"))

    @property
    def extras(self) -> JsonObject:
        return object_of(self.metadata.get("agentcore"))

    @property
    def features(self) -> list[JsonValue]:
        return list_of(self.extras.get("features"))

    @property
    def sessions(self) -> int | None:
        """How many the server serves at once, where somebody says."""
        told = object_of(self.extras.get("capacity")).get("maximum")
        return self.plan.sessions or (told if isinstance(told, int) else None)

    async def occupied(self) -> int | None:
        """Sessions open now, where the server says."""
        extras = object_of((await self.get("/metadata")).members.get("agentcore"))
        told = object_of(extras.get("capacity")).get("active")
        return told if isinstance(told, int) else None

    @asynccontextmanager
    async def session(self, headers: Headers | None = None) -> AsyncIterator[Talk]:
        """A session that was let in; a slot that was just left may take a moment to be free.

        Raises:
            NoSession: nobody is let in.
        """
        waited, inside = 0.0, False
        while True:
            try:
                async with admitted(
                    socket_url(self.plan.url),
                    headers=self.headers if headers is None else headers,
                    seconds=self.plan.answer_seconds,
                    transcript=self.transcript,
                ) as talk:
                    inside = True
                    yield talk
                    return
            except NoSession as refused:
                if (
                    inside
                    or refused.code != "CAPACITY_REACHED"
                    or waited >= self.plan.settle_seconds
                ):
                    raise
            await asyncio.sleep(PAUSE)
            waited += PAUSE

    @asynccontextmanager
    async def socket(self, query: str = "", path: str = "/ws") -> AsyncIterator[Talk]:
        """A socket, whatever the server then says."""
        async with talking(
            socket_url(self.plan.url, query, path),
            headers=self.headers,
            seconds=self.plan.answer_seconds,
            transcript=self.transcript,
        ) as talk:
            yield talk

    async def get(self, path: str) -> Answer:
        return await self._request("GET", path)

    async def post(self, path: str, body: JsonValue) -> Answer:
        return await self.post_text(path, json.dumps(body))

    async def post_text(self, path: str, text: str) -> Answer:
        """``text`` as it is, JSON or not."""
        return await self._request("POST", path, text)

    async def _request(self, method: str, path: str, text: str = "") -> Answer:
        url = self.plan.url.rstrip("/") + path
        self.transcript.note(">", f"{method} {url} {text}".rstrip())
        kind = {"content-type": "application/json"} if text else {}
        try:
            async with self._http.stream(
                method, url, content=text or None, headers={**self.headers, **kind}
            ) as response:
                page = await bounded(response.aiter_bytes(), LARGEST_ANSWER)
        except httpx2.HTTPError as exc:
            raise WireFault(f"{type(exc).__name__}: {exc}") from exc
        if len(page) > LARGEST_ANSWER:
            raise WireFault(f"a page of more than {LARGEST_ANSWER} bytes")
        try:
            content = loads(page)
        except ValueError:
            content = None
        said = page.decode(errors="replace")
        answer = Answer(response.status_code, content, shortened(said))
        self.transcript.note("<", str(answer))
        return answer

    def sampled(self) -> Iterator[JsonObject]:
        """The given actions over and over, else new ones without end, the same in every run.

        Raises:
            SchemaNotSampleable: there is no action to be had from the schema.
        """
        if self.plan.actions:
            yield from cycle(self.plan.actions)
        random = Random(self.plan.seed)
        info = EnvironmentInfo(name="it", observation_space={}, action_space=self.action_space)
        encoder = ActionEncoder(info.action_space)
        while True:
            yield encoder.encode(sample_action(info, random))

    async def _find_actions(self) -> None:
        """Those of the first sampled ones that are answered by an observation."""
        taken: list[JsonObject] = []
        try:
            drawn = self.sampled()
            candidates = [next(drawn) for _ in range(ACTIONS_TRIED)]
            async with self.session() as talk:
                await talk.ask("reset", {"seed": self.plan.seed})
                for action in candidates:
                    answer = await talk.ask("step", action)
                    refused = refusal_of(answer)
                    if refused is None:
                        taken.append(action)
                    else:
                        self.without_actions = shortened(refused)
                    if object_of(answer.get("data")).get("done") is True:
                        await talk.ask("reset", {"seed": self.plan.seed})
        except (WireFault, OpenEnvError) as fault:
            self.without_actions = str(fault)
        self.actions = tuple(taken)
