"""What the SDK's side is built from; apart from it, so that naming it loads no SDK."""

from __future__ import annotations

from dataclasses import dataclass

from agentcore.a2a_protocol.hosting import HostedAgents
from agentcore.a2a_protocol.models.config import A2AConfig
from agentcore.a2a_protocol.store import TaskRows
from agentcore.a2a_protocol.task_manager import TaskManager
from agentcore.kit.clock import Clock
from agentcore.kit.ids import Ids
from agentcore.kit.supervisor import Supervisor


@dataclass(frozen=True, slots=True, kw_only=True)
class SdkNeeds:
    """What the SDK's side stands on."""

    config: A2AConfig
    rows: TaskRows
    manager: TaskManager
    hosted: HostedAgents
    supervisor: Supervisor
    clock: Clock
    ids: Ids
    version: str
    auth: bool
