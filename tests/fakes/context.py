"""The context layer wired over real storage, with a scripted model."""

from __future__ import annotations

from dataclasses import dataclass, field

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from prometheus_client import CollectorRegistry
from starlette.responses import JSONResponse

from agentcore.a2a_protocol.ports import LifecycleListener
from agentcore.ace.api import router
from agentcore.ace.binding import Bindings
from agentcore.ace.content import Draft
from agentcore.ace.context_manager import ContextManager
from agentcore.ace.delta_generator import DeltaGenerator
from agentcore.ace.evolution import Evolution
from agentcore.ace.evolution_queue import EvolutionQueue
from agentcore.ace.evolution_worker import EvolutionWorker
from agentcore.ace.experiments import Experiments
from agentcore.ace.gate import Admission, Gate
from agentcore.ace.journal import advance
from agentcore.ace.ledger import PlaybookLedger
from agentcore.ace.metrics import ACEMetrics
from agentcore.ace.models import ACEConfig, ContextPlaybook, ExecutionTrace
from agentcore.ace.ops import Add
from agentcore.ace.pacing import Pace
from agentcore.ace.paid_model import PaidModel
from agentcore.ace.paired_gate import PairedGate
from agentcore.ace.playbook_cache import PlaybookCache
from agentcore.ace.ports import Spent
from agentcore.ace.simple_curator import SimpleCurator
from agentcore.ace.spending import MonthlyBudget
from agentcore.ace.store import ContextStore, Unit
from agentcore.ace.trial_worker import TrialWorker
from agentcore.kit.cache import Cache
from agentcore.kit.clock import Clock
from agentcore.kit.db import Database
from agentcore.kit.errors import AgentCoreError, InvalidInput, problem
from agentcore.kit.ids import Ids
from agentcore.kit.jsonvalue import JsonObject
from agentcore.kit.security import Principal
from agentcore.kit.supervisor import Supervisor
from tests.fakes.a2a import known_agents
from tests.fakes.clock import ManualClock
from tests.fakes.language_model import ScriptedModel, adding, proposing
from tests.fakes.playbooks import made_delta
from tests.fakes.trial_grounds import ScriptedGrounds

READ_WRITE = frozenset({"context:read", "context:write"})
ALICE = Principal(subject="alice", tenant="north", scopes=READ_WRITE)
MALLORY = Principal(subject="mallory", tenant="south", scopes=READ_WRITE)


@dataclass
class ContextWorld:
    """One process of the context layer; several may share a database and a cache."""

    database: Database
    cache: Cache
    supervisor: Supervisor
    clock: ManualClock = field(default_factory=ManualClock)
    config: ACEConfig = field(default_factory=ACEConfig)
    model: ScriptedModel = field(default_factory=ScriptedModel)
    listeners: list[LifecycleListener] = field(default_factory=list)
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    # By which evolution waits for its turn; without one it never does.
    time: Clock | None = None
    pacing: type[Pace] = Pace

    def __post_init__(self) -> None:
        ids, config, clock = Ids(self.clock), self.config, self.clock
        self.ids = ids
        self.metrics = ACEMetrics(self.registry)
        self.store = ContextStore(self.database, self.supervisor)
        self.gate = Gate(config, clock=clock, ids=ids)
        self.ledger = PlaybookLedger(config, self.store, self.gate, clock=clock, ids=ids)
        self.playbooks = PlaybookCache(
            config, self.cache, clock=clock, ids=ids, metrics=self.metrics
        )
        self.queue = EvolutionQueue(config.ace_worker_queue_size, retry_after=1.0)
        self.agents = known_agents(self.database, self.supervisor, clock, *self.listeners).agents
        self.contexts = ContextManager(
            config,
            self.store,
            self.ledger,
            self.playbooks,
            self.agents,
            queue=self.queue,
            clock=clock,
            metrics=self.metrics,
        )
        self._build_trials(ids)
        self.grounds = ScriptedGrounds()
        self.bindings = Bindings(self.store, self.agents, self.grounds, config.ace_environments)
        self.paid = PaidModel(config, self.model, self.budget, clock=clock, metrics=self.metrics)
        self.generator = DeltaGenerator(
            config, self.paid, clock=clock, ids=ids, metrics=self.metrics
        )
        self.curator = SimpleCurator(self.contexts.playbook_of)
        self.evolution = Evolution(
            config,
            self.store,
            self.generator,
            Admission(self.curator, self.gate),
            cache=self.playbooks,
            clock=clock,
            ids=ids,
            metrics=self.metrics,
        )
        self.pace = self.pacing(self.time or clock)
        if self.time is None:
            self.pace.hurry()
        self.worker = EvolutionWorker(
            config,
            self.queue,
            self.evolution,
            supervisor=self.supervisor,
            clock=clock,
            pace=self.pace,
        )

    async def proposed(
        self, *texts: str, agent_id: str = "agent-123", error: str = "missing field 'to'"
    ) -> None:
        """Ten failures, and an evolution that proposes these lessons."""
        await self.captured(10, agent_id=agent_id, error_message=error)
        self.model.answers = [proposing(*(adding(text, quote=error) for text in texts))]
        assert await self.evolution.evolve(agent_id) is not None

    async def lessons(self, agent_id: str = "agent-123") -> set[str]:
        """What the playbook's bullets say, as readers see it."""
        playbook = await self.contexts.get_playbook(agent_id)
        return {place.bullet.text for place in Draft.of(playbook.content).bullets()}

    async def trial_round(self, grounds: ScriptedGrounds) -> int:
        """A batch for each agent that waits for one; how many agents that were."""
        waiting = await self.trials.waiting()
        for agent_id in waiting:
            await self.trials.play(agent_id, grounds)
        return len(waiting)

    def _build_trials(self, ids: Ids) -> None:
        config, clock = self.config, self.clock
        self.budget = MonthlyBudget(config, self.store, clock=clock, ids=ids)
        self.paired = PairedGate(config, self.gate, clock=clock, ids=ids)
        self.trials = TrialWorker(
            config,
            self.store,
            self.paired,
            budget=self.budget,
            cache=self.playbooks,
            clock=clock,
            metrics=self.metrics,
        )
        self.experiments = Experiments(
            self.store,
            self.playbooks,
            self.agents,
            self.gate,
            self.paired,
            wake=self.trials.wake,
        )

    def sample(self, name: str, **labels: str) -> float:
        """The value of one Prometheus sample."""
        found = self.registry.get_sample_value(name, labels)
        assert found is not None, f"no sample {name} {labels}"
        return found

    def trace(
        self, *, success: bool = False, agent_id: str = "agent-123", **given: object
    ) -> ExecutionTrace:
        values: dict[str, object] = {
            "trace_id": str(self.ids.new()),
            "agent_id": agent_id,
            "task_id": "task-999",
            "execution_time": 2.5,
            "success": success,
            "captured_at": self.clock.now(),
        }
        return ExecutionTrace.model_validate(values | given)

    async def captured(
        self, count: int, *, success: bool = False, **given: object
    ) -> list[ExecutionTrace]:
        """``count`` traces of the agent, stored one after the other."""
        made = [self.trace(success=success, **given) for _ in range(count)]  # type: ignore[arg-type]  # passed on
        return [await self.contexts.capture_execution_trace(one.agent_id, one) for one in made]

    async def taught(
        self, *operations: JsonObject, agent_id: str = "agent-123", **given: object
    ) -> ContextPlaybook:
        """The agent's playbook after a delta of its owner's."""
        delta = made_delta(
            {"ops": [*operations]},
            playbook_id="pb-456",
            generated_at=self.clock.now(),
            **given,
        )
        return await self.contexts.update_playbook(agent_id, delta)

    async def aged(self, agent_id: str, version: int) -> list[ContextPlaybook]:
        """Versions up to ``version``, each with one more lesson, all written at once."""

        async def work(unit: Unit) -> list[ContextPlaybook]:
            start = playbook = await unit.playbooks.of(agent_id, lock=True)
            assert start is not None
            assert playbook is not None
            made: list[ContextPlaybook] = []
            while playbook.version < version:
                delta = made_delta(
                    delta_id=str(self.ids.new()),
                    playbook_id=playbook.playbook_id,
                    generated_at=self.clock.now(),
                )
                lesson = Add(section="checks", text=f"Lesson {playbook.version + 1}.")
                after, entry = advance(playbook, delta, [lesson], now=self.clock.now())
                await unit.deltas.insert(entry)
                await unit.deltas.keep_snapshot(playbook, after)
                playbook = after
                made.append(after)
            await unit.playbooks.advance(playbook, expected=start.version)
            return made

        return await self.store.run(work)

    def stamp_of(self, playbook_id: str, *bullets: str, version: int = 2) -> JsonObject:
        shown: JsonObject = {"version": version, "bullets": list(bullets)}
        return {"playbook": {"playbook_id": playbook_id, **shown}}


@dataclass
class ToldSpending:
    """What tasks have cost, as a test says; ``faults`` come first."""

    known: dict[str, Spent] = field(default_factory=dict)
    faults: list[AgentCoreError] = field(default_factory=list)

    async def of(self, task_id: str, *, tenant: str) -> Spent | None:
        if self.faults:
            raise self.faults.pop(0)
        return self.known.get(f"{tenant}/{task_id}")


def context_app(world: ContextWorld) -> FastAPI:
    """The context routes with the real application's rendering of our errors."""
    app = FastAPI()
    app.include_router(
        router(
            lambda: world.contexts,
            lambda: world.experiments,
            lambda: world.bindings,
            clock=lambda: world.clock,
            ids=lambda: world.ids,
        )
    )

    @app.exception_handler(AgentCoreError)
    async def refused(request: Request, error: AgentCoreError) -> JSONResponse:
        return JSONResponse(problem(error), status_code=error.http_status)

    @app.exception_handler(RequestValidationError)
    async def malformed(request: Request, error: RequestValidationError) -> JSONResponse:
        return await refused(request, InvalidInput(error.errors()[0]["msg"]))

    return app
