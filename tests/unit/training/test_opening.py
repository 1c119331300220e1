from __future__ import annotations

from prometheus_client import CollectorRegistry

from agentcore.kit.ids import Ids
from agentcore.kit.supervisor import Supervisor
from agentcore.observability.tracing import NO_TRACING
from agentcore.training.openenv.environments.catalog import BUNDLED
from agentcore.training.openenv.inventory import Inventory
from agentcore.training.openenv.metrics import OpenEnvMetrics
from agentcore.training.openenv.models import Action, TrainingConfig
from agentcore.training.openenv.opening import open_sessions
from agentcore.training.openenv.registration.usage import DeploymentUsage
from agentcore.training.openenv.specs import Played
from tests.fakes.clock import ManualClock
from tests.fakes.environment_sessions import NOTHING, caller, mounted
from tests.fakes.usage import Written


async def test_what_was_played_is_measured_and_written_down_at_the_end(
    registry: CollectorRegistry, supervisor: Supervisor, clock: ManualClock
) -> None:
    config, written = TrainingConfig(), Written()
    async with mounted() as url:
        inventory = Inventory(
            config,
            bundled=BUNDLED,
            registered=NOTHING,
            base_url=lambda: url,
            token=lambda: "",
            clock=clock,
        )
        async with open_sessions(
            config,
            inventory,
            usage=DeploymentUsage(written, clock),
            metrics=OpenEnvMetrics(registry, [*BUNDLED]),
            supervisor=supervisor,
            clock=clock,
            ids=Ids(),
            tracer=NO_TRACING,
        ) as sessions:
            session = await sessions.open(caller(), "guess_number", seed=1)
            await session.step(Action(type="guess", parameters={"number": 1}))
            assert {"environment sessions", "environment usage"} <= supervisor.health().keys()
            assert written.batches == []
        assert len(sessions) == 0
    assert written.batches == [{("guess_number", f"{url}/guess_number"): Played(2, 0, 0.0)}]
    labels = {"environment": "guess_number", "side": "client"}
    assert registry.get_sample_value("openenv_step_duration_seconds_count", labels) == 1
