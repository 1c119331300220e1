"""Champion and challenger in a live environment: equal seeds, and nothing differs but the playbook.

The bundled player thinks with the playbook at hand, for the tenant whose playbook it is. What it
does leaves no trace of a task: trials teach nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from agentcore.ace.errors import UnknownAgent
from agentcore.ace.models import ContextPlaybook
from agentcore.ace.ports import AgentDirectory, Bill, Pair, PairedTrials, TaskSpending
from agentcore.ace.rendering import Shelf
from agentcore.ace.token_estimate import estimated_tokens
from agentcore.agents.episode import EpisodePlan, EpisodePlayer, EpisodeReport
from agentcore.agents.inprocess import REPLY_TOKENS
from agentcore.agents.ports import Messages, Mind, Rendered, Thought, World
from agentcore.kit.errors import AgentCoreError, DeadlineExceeded, InvalidInput
from agentcore.kit.security import Principal
from agentcore.llm_gateway.errors import ANSWER_LOST

SCOPES = frozenset({"a2a", "llm", "env:act", "env:control"})
RENDER_TOKENS = 2000
EPISODES_AT_ONCE = 8
SUBJECT = "playbook-trials"


class OnePlaybook:
    """Renders one playbook, whoever asks."""

    def __init__(self, playbook: ContextPlaybook) -> None:
        self._shelf = Shelf(playbook)

    async def render(self, agent_id: str, task: str, *, task_id: str = "") -> Rendered:
        return Rendered(text=self._shelf.render(task, RENDER_TOKENS).text, stamp=None)


class BilledMind:
    """Thinks as ``mind`` does; each call is on the bill before it is made, at the most it takes."""

    def __init__(self, mind: Mind, bill: Bill) -> None:
        self._mind = mind
        self._bill = bill

    async def think(self, messages: Messages, *, trace_id: str) -> Thought:
        most = REPLY_TOKENS + sum(estimated_tokens(str(each["content"])) for each in messages)
        self._bill.unpriced_tokens += most
        try:
            known_by = self._bill.trace_id or trace_id
            thought = await self._mind.think(messages, trace_id=known_by)
        except (*ANSWER_LOST, DeadlineExceeded):
            raise
        except AgentCoreError:
            # Refused: nobody has worked for it.
            self._bill.unpriced_tokens -= most
            raise
        self._bill.unpriced_tokens -= most
        if thought.cost_usd is None:
            self._bill.unpriced_tokens += thought.tokens
        else:
            self._bill.cost_usd += thought.cost_usd
        return thought


class EnvironmentTrials:
    """Trials of one agent in one environment."""

    def __init__(self, mind: Mind, world: World, *, agent_id: str, environment: str) -> None:
        self._mind = mind
        self._world = world
        self._agent_id = agent_id
        self._environment = environment
        self._room = asyncio.Semaphore(EPISODES_AT_ONCE)

    async def play(
        self, champion: ContextPlaybook, challenger: ContextPlaybook, seeds: Sequence[int]
    ) -> list[Pair]:
        players = [
            EpisodePlayer(self._mind, self._world, OnePlaybook(playbook))
            for playbook in (champion, challenger)
        ]
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    [group.create_task(self._episode(player, seed)) for player in players]
                    for seed in seeds
                ]
        except* AgentCoreError as failed:
            # One of them says it: none of the pairs counts.
            raise _first(failed) from None
        return [
            Pair(champion=champion.result(), challenger=challenger.result())
            for champion, challenger in tasks
        ]

    async def _episode(self, player: EpisodePlayer, seed: int) -> float:
        plan = EpisodePlan(agent_id=self._agent_id, environment=self._environment, seed=seed)
        report = EpisodeReport(plan)
        async with self._room:
            try:
                async for _ in player.play(plan, report):
                    pass
            except InvalidInput:
                # The environment could not read what the player did: its task has failed, as
                # it does when it is no trial. All else is no fault of a playbook.
                return 0.0
        return float(report.success) if report.quality is None else report.quality


class EnvironmentGrounds:
    """``minds`` and ``worlds`` are those of the agents that run here, by the caller they act for;
    ``known`` raises where there is no environment of a name.
    """

    def __init__(
        self,
        agents: AgentDirectory,
        *,
        minds: Callable[[Principal], Mind],
        worlds: Callable[[Principal], World],
        known: Callable[[str], Awaitable[object]],
        spending: TaskSpending,
    ) -> None:
        self._agents = agents
        self._minds = minds
        self._worlds = worlds
        self._known = known
        self._spending = spending

    async def check(self, environment: str) -> None:
        await self._known(environment)

    async def trials(
        self, agent_id: str, environment: str, bill: Bill, *, private: bool
    ) -> PairedTrials:
        owner = await self._agents.owner(agent_id)
        if owner is None:
            raise UnknownAgent(agent_id)
        # A subject of its own: trials and their owner's own sessions do not crowd each other out.
        caller = Principal(subject=SUBJECT, tenant=owner.tenant, scopes=SCOPES, private=private)
        mind = BilledMind(self._minds(caller), bill)
        return EnvironmentTrials(
            mind, self._worlds(caller), agent_id=agent_id, environment=environment
        )

    async def spent(self, agent_id: str, trace_id: str) -> Bill:
        owner = await self._agents.owner(agent_id)
        found = owner and await self._spending.of(trace_id, tenant=owner.tenant)
        if not found:
            return Bill(trace_id=trace_id)
        if found.cost_usd is None:
            return Bill(trace_id=trace_id, unpriced_tokens=found.tokens)
        return Bill(trace_id=trace_id, cost_usd=found.cost_usd)


def _first(group: BaseExceptionGroup[AgentCoreError]) -> AgentCoreError:
    found = group.exceptions[0]
    return _first(found) if isinstance(found, BaseExceptionGroup) else found
