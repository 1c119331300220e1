"""The environments that come with AgentCore, by the name under which they are mounted."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from agentcore.training.openenv.environments.a2a_protocol_test import A2AProtocolTestEnv
from agentcore.training.openenv.environments.base import AnyEnvironment
from agentcore.training.openenv.environments.customer_service import CustomerServiceEnv
from agentcore.training.openenv.environments.examples.guess_number import GuessNumber
from agentcore.training.openenv.environments.task_routing import TaskRoutingEnv
from agentcore.training.openenv.specs import EnvironmentSpec

EnvironmentFactory = Callable[[], AnyEnvironment]

BUNDLED: Mapping[str, EnvironmentFactory] = {
    A2AProtocolTestEnv.name: A2AProtocolTestEnv,
    TaskRoutingEnv.name: TaskRoutingEnv,
    CustomerServiceEnv.name: CustomerServiceEnv,
    GuessNumber.name: GuessNumber,
}


def bundled_spec(environment: AnyEnvironment) -> EnvironmentSpec:
    """What is deployed of an environment that comes with this version of AgentCore."""
    return EnvironmentSpec(
        name=environment.name,
        version=environment.version,
        description=environment.description,
        tags=("openenv",),
        source="bundled",
        source_id=environment.name,
        revision=environment.version,
    )
