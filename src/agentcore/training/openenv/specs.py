"""What an environment is made of before it runs, and what is known of it while it does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal, NamedTuple

from pydantic import AnyHttpUrl, BaseModel, ConfigDict, Field

from agentcore.training.openenv.models import ENVIRONMENT_NAME, JsonMap, RuntimeName

Source = Literal["bundled", "hub", "catalog", "manual"]
Status = Literal["pending", "running", "degraded", "failed"]

# What a runtime tells while it works: lines for somebody who waits.
Progress = Callable[[str], None]
AMOUNT = r"^([0-9]+(?:\.[0-9]+)?|\.[0-9]+)(n|u|m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi|)$"
Amount = Annotated[str, Field(max_length=32, pattern=AMOUNT)]


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class EnvironmentSpec(_Value):
    """A version of an environment; ``source``, ``source_id`` and ``revision`` identify it.

    ``source_id`` is the repository's id on a hub, and the name elsewhere: names alone collide.
    ``url`` is where somebody runs it; None for what is to be deployed first, from ``image``.
    """

    name: str = Field(pattern=ENVIRONMENT_NAME)
    version: str = ""
    url: AnyHttpUrl | None = None
    description: str = ""
    tags: tuple[str, ...] = ()
    author: str | None = None
    license: str | None = None
    dockerfile: str | None = None
    deployment_config: JsonMap | None = None
    image: str | None = None
    source: Source = "manual"
    source_id: str = ""
    revision: str = ""


class Resources(_Value):
    """Requests and limits in Kubernetes' notation; ``gpu`` is a number of devices."""

    cpu: Amount = "500m"
    memory: Amount = "512Mi"
    cpu_limit: Amount = "2000m"
    memory_limit: Amount = "2Gi"
    gpu: int = Field(0, ge=0)


class DeployedEnvironment(_Value):
    """``detail`` says why it is not running, in the words of what runs it."""

    name: str
    url: str
    replicas: int
    status: Status
    ready: int = 0
    version: str = ""
    runtime: RuntimeName = "local"
    detail: str = ""


class ResourceUsage(_Value):
    """Cores and bytes that all replicas use together."""

    cpu_usage: float
    memory_usage: int


class Played(NamedTuple):
    """``requests`` are resets and steps that were answered, ``seconds`` what all episodes took."""

    requests: int = 0
    episodes: int = 0
    seconds: float = 0.0


class EnvironmentMetrics(_Value):
    """Of one deployment; None where nothing can be known, never an invented number.

    What was played is counted in the database, over all replicas and their restarts, since the
    deployment is there: by sessions of this service, not by those who call it themselves. Each
    replica adds its share every ten seconds.
    """

    name: str
    cpu_usage: float | None = Field(
        None, description="Cores that all replicas use together; null: the runtime cannot tell."
    )
    memory_usage: int | None = Field(None, description="The same in bytes.")
    request_count: int | None = Field(
        None,
        description="Resets and steps that sessions of this service played on it, persisted and "
        "over all processes, at most ten seconds late; null: it was deployed by somebody else.",
    )
    avg_episode_duration: float | None = Field(
        None, description="Mean seconds of the episodes that ended; null: none has."
    )

    @classmethod
    def of(
        cls, name: str, usage: ResourceUsage | None, played: Played | None
    ) -> EnvironmentMetrics:
        ended = played.episodes if played is not None else 0
        return cls(
            name=name,
            cpu_usage=None if usage is None else usage.cpu_usage,
            memory_usage=None if usage is None else usage.memory_usage,
            request_count=None if played is None else played.requests,
            avg_episode_duration=played.seconds / ended if played is not None and ended else None,
        )
