from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from agentcore.training.openenv.models import JsonMap

OperationKind = Literal["discover", "deploy", "undeploy"]
OperationState = Literal["pending", "running", "succeeded", "failed"]


class Operation(BaseModel):
    """``target`` is the deployment it works on, or empty; ``attempts`` counts who began it.

    ``result`` is what the work came to, ``error`` the problem document of its failure.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: UUID
    kind: OperationKind
    target: str = ""
    arguments: JsonMap
    state: OperationState = "pending"
    result: JsonMap | None = None
    error: JsonMap | None = None
    requested_by: str
    attempts: int = 0
    created_at: datetime
    finished_at: datetime | None = None
