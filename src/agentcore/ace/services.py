"""What the service offers of this package, put together."""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from agentcore.ace.binding import Bindings
from agentcore.ace.context_manager import ContextManager
from agentcore.ace.delta_generator import DeltaGenerator
from agentcore.ace.evolution import Evolution
from agentcore.ace.evolution_queue import EvolutionQueue
from agentcore.ace.evolution_worker import EvolutionWorker
from agentcore.ace.experiments import Experiments
from agentcore.ace.gate import Admission, Gate
from agentcore.ace.ledger import PlaybookLedger
from agentcore.ace.metrics import ACEMetrics
from agentcore.ace.models import ACEConfig
from agentcore.ace.pacing import Pace
from agentcore.ace.paid_model import PaidModel
from agentcore.ace.paired_gate import PairedGate
from agentcore.ace.playbook_cache import PlaybookCache
from agentcore.ace.ports import AgentDirectory, LanguageModel, TrialGrounds
from agentcore.ace.simple_curator import SimpleCurator
from agentcore.ace.spending import MonthlyBudget
from agentcore.ace.store import ContextStore
from agentcore.ace.trial_worker import TrialWorker
from agentcore.kit.cache import Cache
from agentcore.kit.clock import Clock
from agentcore.kit.db import Database
from agentcore.kit.ids import Ids
from agentcore.kit.supervisor import Supervisor


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextServices:
    config: ACEConfig
    store: ContextStore
    agents: AgentDirectory
    manager: ContextManager
    worker: EvolutionWorker
    experiments: Experiments
    trials: TrialWorker

    def bindings(self, grounds: TrialGrounds) -> Bindings:
        return Bindings(self.store, self.agents, grounds, self.config.ace_environments)


def context_services(
    config: ACEConfig,
    llm: LanguageModel,
    agents: AgentDirectory,
    *,
    database: Database,
    shared: Cache,
    supervisor: Supervisor,
    registry: CollectorRegistry,
    clock: Clock,
) -> ContextServices:
    ids = Ids(clock)
    metrics, store = ACEMetrics(registry), ContextStore(database, supervisor)
    queue = EvolutionQueue(
        config.ace_worker_queue_size, retry_after=config.ace_worker_batch_timeout
    )
    cache = PlaybookCache(config, shared, clock=clock, ids=ids, metrics=metrics)
    gate = Gate(config, clock=clock, ids=ids)
    paired = PairedGate(config, gate, clock=clock, ids=ids)
    budget = MonthlyBudget(config, store, clock=clock, ids=ids)
    manager = ContextManager(
        config,
        store,
        PlaybookLedger(config, store, gate, clock=clock, ids=ids),
        cache,
        agents,
        queue=queue,
        clock=clock,
        metrics=metrics,
    )
    model = PaidModel(config, llm, budget, clock=clock, metrics=metrics)
    evolution = Evolution(
        config,
        store,
        DeltaGenerator(config, model, clock=clock, ids=ids, metrics=metrics),
        Admission(SimpleCurator(manager.playbook_of), gate),
        cache=cache,
        clock=clock,
        ids=ids,
        metrics=metrics,
    )
    trials = TrialWorker(
        config, store, paired, budget=budget, cache=cache, clock=clock, metrics=metrics
    )
    return ContextServices(
        config=config,
        store=store,
        agents=agents,
        manager=manager,
        worker=EvolutionWorker(
            config, queue, evolution, supervisor=supervisor, clock=clock, pace=Pace(clock)
        ),
        experiments=Experiments(store, cache, agents, gate, paired, wake=trials.wake),
        trials=trials,
    )
