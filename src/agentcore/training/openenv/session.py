"""One caller's session of an environment: its client, what it tells others, who may act in it."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar

from agentcore.kit.clock import Clock
from agentcore.kit.jsonvalue import JsonObject, dumps
from agentcore.kit.security import Principal
from agentcore.observability.tracing import Attribute, Span, Tracer
from agentcore.training.openenv.adapters import A2AOpenEnvAdapter
from agentcore.training.openenv.journal import Journal
from agentcore.training.openenv.models import Action, EnvironmentInfo, Observation, StepResult
from agentcore.training.openenv.ports import SessionWatch
from agentcore.training.openenv.subscriptions import Subscription

if TYPE_CHECKING:
    from agentcore.training.openenv.client import OpenEnvClient

T = TypeVar("T")
Kind = Literal["reset", "step", "done", "lost", "closed"]
Phase = Literal["idle", "playing", "over", "lost", "closed"]
NOTHING = Observation(state={})


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What was asked for on opening: the same again means the same session."""

    environment: str
    url: str | None = None
    agents: frozenset[str] = frozenset()
    seed: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What every session uses and none owns."""

    clock: Clock
    tracer: Tracer
    heartbeat_seconds: float


@dataclass(slots=True, kw_only=True)
class EnvironmentSession:
    """``id`` is unique here; ``name`` is what its owner calls it, and means it to nobody else."""

    id: str
    name: str
    asked: Opening
    tenant: str
    owner: str
    client: OpenEnvClient
    adapter: A2AOpenEnvAdapter
    info: EnvironmentInfo
    journal: Journal
    watch: SessionWatch
    on: Surroundings
    last_used: float
    calls: int = 0
    closed: bool = False
    loss_told: bool = False
    episodes: int = 0
    steps: int = 0
    episode_id: str = ""
    first: Observation | None = None

    @property
    def phase(self) -> Phase:
        return "closed" if self.closed else self.client.phase

    def admits(self, principal: Principal) -> bool:
        allowed = principal.subject == self.owner or principal.subject in self.asked.agents
        return principal.tenant == self.tenant and allowed

    def called_by(self, principal: Principal) -> str:
        """The session's id as this caller knows it."""
        return self.name if principal.subject == self.owner else self.id

    async def reset(
        self, seed: int | None = None, options: JsonObject | None = None, *, parent: str = ""
    ) -> Observation:
        """Start an episode; ``parent`` is the W3C traceparent of the call."""
        with self.on.tracer.span("environment.reset", parent=parent) as span:
            began = self.on.clock.monotonic()
            observation = await self._played(self.client.reset(seed, options))
            self.watch.reset(self.on.clock.monotonic() - began)
            self.steps, self.loss_told, self.first = 0, False, None
            self.episodes += 1
            self.episode_id = str(observation.metadata.get("episode_id") or "")
            if span is not None:
                used = observation.metadata.get("seed", seed)
                self._describe(span, {"openenv.seed": used} if isinstance(used, int) else {})
        await self._tell("reset", observation, {})
        return observation

    async def step(self, action: Action, *, parent: str = "") -> StepResult:
        with self.on.tracer.span("environment.step", parent=parent) as span:
            began = self.on.clock.monotonic()
            result = await self._played(self.client.step(action))
            seconds = self.on.clock.monotonic() - began
            self.watch.stepped(seconds, result.reward, done=result.done)
            self.steps += 1
            if span is not None:
                outcome: dict[str, Attribute] = {
                    "openenv.action": action.type,
                    "openenv.reward": result.reward,
                    "openenv.done": result.done,
                }
                self._describe(span, outcome)
        await self._tell(
            "done" if result.done else "step",
            result.observation,
            {
                "reward": result.reward,
                "terminated": result.terminated,
                "truncated": result.truncated,
            },
        )
        return result

    async def state(self) -> JsonObject:
        return await self._played(self.client.state())

    async def render(self) -> bytes | None:
        return await self._played(self.client.render())

    async def close(self) -> None:
        """End the session for good: its watchers are told and sent away."""
        self.closed = True
        try:
            await self.client.close()
        finally:
            self.watch.closed()
            await self._tell("closed", NOTHING, {})
            self.journal.end()

    def follow(self, principal: Principal, after: str | None) -> Subscription:
        """Events behind the id ``after``; from now on where it is None."""
        return Subscription(
            self.journal,
            after,
            session_id=self.called_by(principal),
            closed=lambda: self.closed,
            heartbeat_seconds=self.on.heartbeat_seconds,
        )

    async def _played(self, work: Awaitable[T]) -> T:
        try:
            return await work
        except BaseException:
            if self.client.phase == "lost" and not self.loss_told:
                self.loss_told = True
                self.watch.lost()
                await self._tell("lost", NOTHING, {})
            raise

    async def _tell(self, kind: Kind, observation: Observation, outcome: JsonObject) -> None:
        event: JsonObject = {
            "event_id": self.journal.next_id,
            "session_id": self.name,
            "kind": kind,
            "step": self.steps,
            **outcome,
        }
        if self.asked.agents:
            event["shared_id"] = self.id
        told = await self.adapter.observation_to_jsonrpc_notification(observation, event)
        self.journal.put(dumps(told.wire()))

    def _describe(self, span: Span, more: dict[str, Attribute]) -> None:
        common: dict[str, Attribute] = {
            "openenv.environment": self.asked.environment,
            "openenv.episode_id": self.episode_id,
            "openenv.step": self.steps,
        }
        span.set_attributes({**common, **more})
