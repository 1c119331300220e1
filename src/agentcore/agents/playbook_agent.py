"""The bundled agent: asked by an A2A message, it plays an episode or answers from its playbook."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agentcore.a2a_protocol.hosting import tenant_id
from agentcore.a2a_protocol.models.handover import Handover
from agentcore.a2a_protocol.ports import InboundMessage, TaskHandle
from agentcore.agents.episode import MOST_STEPS, EpisodePlan, EpisodePlayer, EpisodeReport
from agentcore.agents.ports import Mind, Playbooks, Rendered, World
from agentcore.kit.errors import AgentCoreError
from agentcore.kit.jsonvalue import JsonObject, object_of
from agentcore.kit.security import Principal

AGENT_ID = "playbook-agent"
DESCRIPTION = "Plays environments and answers questions, with a playbook that grows with it."
SKILLS: tuple[JsonObject, ...] = (
    {
        "id": "play",
        "name": "Play an episode",
        "description": 'Send a data part {"play": {"environment": "...", "seed": 1}}.',
        "tags": ["environment", "openenv"],
    },
    {
        "id": "answer",
        "name": "Answer",
        "description": "Answers a text message from its playbook.",
        "tags": ["chat"],
    },
)
PROGRESS_EVERY = 5
# Characters of another agent's playbook.
MOST_HANDED = 8000


def own_id(tenant: str) -> str:
    """The agent as one tenant knows it."""
    return tenant_id(AGENT_ID, tenant)


class PlayRequest(BaseModel):
    """The data part ``{"play": {...}}`` of a message."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    environment: str = Field(min_length=1)
    seed: int | None = Field(None, ge=0)
    max_steps: int = Field(MOST_STEPS, ge=1, le=500)


class PlaybookAgent:
    """Thinks through the gateway and acts through the A2A endpoint, as its caller."""

    def __init__(
        self,
        *,
        minds: Callable[[InboundMessage], Mind],
        worlds: Callable[[Principal], World],
        playbooks: Callable[[Principal], Playbooks],
    ) -> None:
        self._minds = minds
        self._worlds = worlds
        self._playbooks = playbooks

    async def handle(self, message: InboundMessage, task: TaskHandle) -> None:
        if message.principal.private:
            # The trace of this task may only be shown to private providers.
            task.report(metadata={"private": True})
        asked = next((data["play"] for data in message.data if "play" in data), None)
        try:
            if asked is None:
                await self._answer(message, task)
            else:
                await self._play(PlayRequest.model_validate(asked), message, task)
        except ValidationError as error:
            fault = error.errors(include_url=False)[0]
            where = ".".join(str(step) for step in fault["loc"])
            await task.fail(f"the play request is not valid: {where}: {fault['msg']}")
        except AgentCoreError as error:
            await task.fail(error.in_words)

    async def _play(self, request: PlayRequest, message: InboundMessage, task: TaskHandle) -> None:
        caller = message.principal
        playbooks = StampedPlaybooks(self._playbooks(caller), task)
        player = EpisodePlayer(self._minds(message), self._worlds(caller), playbooks)
        plan = EpisodePlan(
            agent_id=own_id(caller.tenant),
            environment=request.environment,
            seed=request.seed,
            max_steps=request.max_steps,
            task_id=task.task_id,
        )
        report = EpisodeReport(plan)
        try:
            async for step in player.play(plan, report):
                if step.number % PROGRESS_EVERY == 0:
                    await task.progress(
                        f"step {step.number}: {step.action}, reward so far {report.reward:.2f}"
                    )
        finally:
            # What a broken-off episode has cost belongs into its trace, too.
            _tell(report, task)
        result: JsonObject = {**report.metadata(), "success": report.success}
        await task.artifact("episode", result)
        if report.success:
            await task.complete(f"reward {report.reward:.2f} in {report.steps} steps")
        else:
            await task.fail(report.error or "the episode did not succeed")

    async def _answer(self, message: InboundMessage, task: TaskHandle) -> None:
        agent_id = own_id(message.principal.tenant)
        playbooks = StampedPlaybooks(self._playbooks(message.principal), task)
        rendered = await playbooks.render(agent_id, message.text, task_id=task.task_id)
        handed = handed_context(message.handover)
        thought = await self._minds(message).think(
            (
                {"role": "system", "content": f"You are {agent_id}.\n{rendered.text}{handed}"},
                {"role": "user", "content": message.text},
            ),
            trace_id=task.task_id,
        )
        task.report(tokens=thought.tokens, cost_usd=thought.cost_usd)
        await task.complete(thought.text)


class StampedPlaybooks:
    """What was shown is on record before it is used: a task that is killed has seen it, too."""

    def __init__(self, playbooks: Playbooks, task: TaskHandle) -> None:
        self._playbooks = playbooks
        self._task = task

    async def render(self, agent_id: str, task: str, *, task_id: str = "") -> Rendered:
        rendered = await self._playbooks.render(agent_id, task, task_id=task_id)
        if rendered.stamp is not None:
            await self._task.shown(rendered.stamp)
        return rendered


def handed_context(handover: Handover) -> str:
    """What the agent before has handed on of its playbook, for the prompt; empty if nothing."""
    text = object_of(handover.playbook).get("text")
    if not isinstance(text, str) or not text or len(handover.chain) < 2:
        return ""
    sender = handover.chain[-2].agent
    return f"\n\nThe task comes from {sender}, which works by this:\n{text[:MOST_HANDED]}"


def _tell(report: EpisodeReport, task: TaskHandle) -> None:
    task.report(
        tokens=report.tokens,
        cost_usd=report.cost_usd,
        output_quality=report.quality,
        playbook=report.stamp,
        metadata=report.metadata(),
    )
