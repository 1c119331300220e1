"""Values and settings of the OpenEnv side: what environments say, what goes in and out."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from typing import Annotated, Literal, TypeVar
from uuid import UUID

from pydantic import (
    AnyHttpUrl,
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    SecretStr,
    field_validator,
)
from pydantic_core import CoreSchema, core_schema

from agentcore.kit.jsonvalue import JsonValue

NAMESPACE = "agentcore-openenv"
Mode = Literal["simulation", "production"]
RecordState = Literal["discovered", "registered"]
HealthStatus = Literal["unknown", "healthy", "degraded", "busy", "failed"]
RuntimeName = Literal["local", "docker", "kubernetes"]
ENVIRONMENT_NAME = r"^[a-z0-9][a-z0-9_.-]{0,63}$"


class _AnyJsonObject:
    """A JSON object taken as it is: its members are for the environment to judge."""

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.dict_schema(core_schema.str_schema(strict=True))


JsonMap = Annotated[dict[str, JsonValue], _AnyJsonObject]


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


V = TypeVar("V", bound=_Value)


def made(kind: type[V], members: dict[str, object]) -> V:
    """A value of all its ``members``, which are known to fit: nothing is checked or copied.

    What parsed JSON becomes; checking it once more took a fifth of a step on the client's side.
    """
    value: V = object.__new__(kind)
    _put_members(value, members)
    _put_given(value, _all_fields(kind))
    _put_extra(value, None)
    _put_private(value, None)
    return value


# What pydantic's own model_construct sets, without the time that it takes to look for defaults.
_put_members = BaseModel.__dict__["__dict__"].__set__
_put_given = BaseModel.__dict__["__pydantic_fields_set__"].__set__
_put_extra = BaseModel.__dict__["__pydantic_extra__"].__set__
_put_private = BaseModel.__dict__["__pydantic_private__"].__set__


@cache
def _all_fields(kind: type[BaseModel]) -> set[str]:
    """One set for all values: they are frozen, and copies get sets of their own."""
    return set(kind.model_fields)


class Capacity(_Value):
    """Sessions in use and the most there may be, at the moment of asking."""

    active: int = Field(ge=0)
    maximum: int = Field(ge=0)


class EnvironmentInfo(_Value):
    """What an environment says of itself; the spaces are JSON Schemas (draft 2020-12).

    ``max_episode_steps``, ``mode`` and ``capacity`` are None where the server does not tell:
    OpenEnv itself publishes none of them.
    """

    name: str
    version: str = ""
    description: str = ""
    observation_space: JsonMap
    action_space: JsonMap
    max_episode_steps: int | None = None
    state_space: JsonMap = Field(default_factory=dict)
    mode: Mode | None = None
    capacity: Capacity | None = None
    features: tuple[str, ...] = ()


class Observation(_Value):
    state: JsonMap
    metadata: JsonMap = Field(default_factory=dict)


class Action(_Value):
    type: str = Field(min_length=1)
    parameters: JsonMap = Field(default_factory=dict)
    metadata: JsonMap = Field(default_factory=dict)


class StepResult(_Value):
    """The outcome of one action.

    ``reward`` is 0.0 where the environment gave none; ``reward_raw`` keeps what it gave.
    ``truncated`` means that a limit ended the episode: a learner still bootstraps from the state.
    """

    observation: Observation
    reward: float
    terminated: bool
    truncated: bool
    info: JsonMap = Field(default_factory=dict)
    reward_raw: bool | int | float | None = None

    @property
    def done(self) -> bool:
        return self.terminated or self.truncated


class EnvironmentEntry(_Value):
    """An environment that callers may open; ``info`` is None where nobody has asked for it yet.

    ``source`` is ``remote`` for servers of the settings. What the registry knows has an ``id``,
    which opens it where its name alone is ambiguous; ``status``, ``mode`` and ``capacity`` are
    those of the last check, at ``checked_at``.
    """

    name: str
    source: Literal["bundled", "remote", "hub", "catalog", "manual"]
    url: str | None = None
    info: EnvironmentInfo | None = None
    id: UUID | None = None
    source_id: str | None = None
    revision: str | None = None
    image: str | None = None
    state: RecordState | None = None
    status: HealthStatus | None = None
    mode: Mode | None = None
    capacity: Capacity | None = None
    detail: str = ""
    checked_at: datetime | None = None
    last_seen_at: datetime | None = None


class EnvironmentPage(_Value):
    environments: tuple[EnvironmentEntry, ...]
    next_cursor: str | None = None


class RemoteEnvironment(_Value):
    """An OpenEnv server that somebody else runs."""

    name: str = Field(
        pattern=ENVIRONMENT_NAME, description="Name under which callers open the environment."
    )
    url: AnyHttpUrl = Field(
        description="Base URL of the server, with any path prefix and no credentials."
    )
    token: SecretStr = Field(
        SecretStr(""), description="Bearer token sent to the server; a reference such as env:NAME."
    )

    @field_validator("url")
    @classmethod
    def _shown(cls, url: AnyHttpUrl) -> AnyHttpUrl:
        if url.username or url.password:
            raise ValueError("it holds credentials, and callers are shown it: give them as token")
        return url


class EnvironmentServerConfig(_Value):
    """One environment server, mounted or on its own; the tokens are for the latter only."""

    max_sessions: int = Field(
        256, ge=1, description="Most sessions that an environment server has at once."
    )
    max_sessions_per_caller: int = Field(
        128,
        ge=1,
        description="Most sessions of an environment server that one caller holds; `admin` may "
        "hold all.",
    )
    max_episode_steps: int | None = Field(
        None, ge=1, description="Steps after which every episode is truncated, if not before."
    )
    max_episodes: int | None = Field(
        None, ge=1, description="Most episodes that are played in one session; empty: any number."
    )
    mode: Mode = Field(
        "simulation", description="`production` serves no HTTP /reset, /step and /state."
    )
    session_idle_seconds: float = Field(
        900.0, gt=0, description="Seconds after which an unused session without a socket is closed."
    )
    socket_idle_seconds: float = Field(
        7200.0, gt=0, description="Seconds without a frame after which a socket is closed."
    )
    allowed_origins: tuple[str, ...] = Field(
        (), description="Origins besides the server's own whose pages may open WebSockets."
    )
    token: SecretStr = Field(
        SecretStr(""),
        description="Bearer token of an environment served alone, for orchestrators (`env:act` and "
        "`env:control`); empty: the tokens of `agentcore token` are taken.",
    )
    agent_token: SecretStr = Field(
        SecretStr(""), description="The same for agents: `env:act` alone."
    )


class EventsConfig(_Value):
    """What is kept of each session's events for watchers."""

    most_events: int = Field(
        256, ge=1, description="Newest events of a session that a watcher may still ask for."
    )
    most_bytes: int = Field(
        256 * 1024,
        ge=0,
        description="Most bytes that the kept events of a session take; the newest is always kept.",
    )
    most_watchers: int = Field(
        32, ge=1, description="Most watchers of one session at the same time."
    )
    heartbeat_seconds: float = Field(
        15.0, gt=0, description="Seconds of silence after which a watcher gets a heartbeat."
    )


class SessionView(_Value):
    """A session as its callers see it."""

    session_id: str
    environment: str
    agents: tuple[str, ...] = ()
    phase: Literal["idle", "playing", "over", "lost", "closed"]
    episodes: int
    steps: int
    idle_seconds: float
    last_event_id: str


class SessionPage(_Value):
    sessions: tuple[SessionView, ...]
    next_cursor: str | None = None


class HubConfig(_Value):
    """Where environments that others publish are looked up."""

    endpoint: AnyHttpUrl = Field(
        AnyHttpUrl("https://huggingface.co"), description="Base URL of the Hub."
    )
    token: SecretStr = Field(
        SecretStr(""),
        description="Access token for private Spaces; a reference such as env:HF_TOKEN. Empty: "
        "none is sent.",
    )
    seconds: float = Field(
        60.0, gt=0, description="Seconds that one discovery may take, with all its pages."
    )


class RegistryConfig(_Value):
    hub: HubConfig = Field(
        default_factory=HubConfig, description="The Hub that environments are discovered on."
    )
    monitor_seconds: float = Field(
        300.0,
        gt=0,
        description="Seconds between two checks of a registered environment; an environment that "
        "fails is asked less and less often, at last once an hour.",
    )
    deep_health_seconds: float = Field(
        20.0, gt=0, description="Seconds that a check (open, reset, one step) may take."
    )


class SchedulingConfig(_Value):
    jobs_at_once: int = Field(
        1, ge=0, le=64, description="Scheduled rollouts that this process runs at once; 0: none."
    )
    poll_seconds: float = Field(
        2.0, gt=0, description="Seconds between two looks for what is due and what waits."
    )
    lease_seconds: float = Field(
        30.0,
        gt=0,
        description="Seconds without a sign of life after which another process takes over a job.",
    )
    max_attempts: int = Field(
        3, ge=1, le=100, description="How often a scheduled rollout is begun before it has failed."
    )


class DeploymentConfig(_Value):
    runtime: RuntimeName = Field(
        "local",
        description="What runs deployed environments: processes of this machine, its Docker "
        "engine, or a Kubernetes cluster.",
    )
    wait_seconds: float = Field(
        120.0, gt=0, description="Seconds that a deployment may take until it serves."
    )
    drain_seconds: float = Field(
        30.0,
        ge=0,
        le=3600,
        description="Seconds that sessions of a replica that is taken away may still play on.",
    )
    image_prefix: str = Field(
        "agentcore/openenv-",
        description="Image of a bundled environment: this, its name with hyphens, and its version "
        "as tag.",
    )
    namespace: str = Field(
        NAMESPACE,
        pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$",
        description="Kubernetes namespace of the environments.",
    )
    kubeconfig: str = Field(
        "",
        description="Kubernetes credentials file; empty: as kubectl finds it, or those of the pod.",
    )
    context: str = Field("", description="Context of the kubeconfig; empty: its current one.")
    docker_host: str = Field(
        "unix:///var/run/docker.sock",
        description="Docker engine: unix:///path, or tcp://127.0.0.1:port.",
    )


class TrainingConfig(_Value):
    environments: tuple[RemoteEnvironment, ...] = Field(
        (), description="Environments on other servers that callers may open by name."
    )
    server: EnvironmentServerConfig = Field(
        default_factory=EnvironmentServerConfig,
        description="Limits of the bundled environments' servers.",
    )
    registry: RegistryConfig = Field(
        default_factory=RegistryConfig,
        description="How environments are discovered, registered and watched.",
    )
    scheduling: SchedulingConfig = Field(
        default_factory=SchedulingConfig, description="How scheduled rollouts are run."
    )
    deployment: DeploymentConfig = Field(
        default_factory=DeploymentConfig, description="What runs deployed environments, and how."
    )
    max_sessions: int = Field(
        512, ge=1, description="Most environment sessions that this process keeps open."
    )
    max_sessions_per_caller: int = Field(
        64, ge=1, description="Most environment sessions that one caller keeps open."
    )
    idle_seconds: float = Field(
        900.0, gt=0, description="Seconds without a call after which a session is closed."
    )
    connect_seconds: float = Field(
        10.0, gt=0, description="Seconds that connecting to an environment server may take."
    )
    step_seconds: float = Field(
        30.0, gt=0, description="Seconds that one step or reset of an environment may take."
    )
    connect_attempts: int = Field(
        3, ge=1, le=10, description="How often connecting is tried before it counts as failed."
    )
    events: EventsConfig = Field(
        default_factory=EventsConfig, description="Events of environment sessions."
    )
