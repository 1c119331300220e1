"""What can go wrong between an agent and an environment, one class per thing a caller can do."""

from __future__ import annotations

from collections.abc import Sequence

from agentcore.kit.errors import (
    RPC_CONFLICT,
    RPC_DEADLINE,
    RPC_INVALID_PARAMS,
    RPC_NOT_FOUND,
    RPC_SESSION,
    RPC_TOO_MANY,
    RPC_UNAVAILABLE,
    RPC_UPSTREAM,
    AgentCoreError,
)
from agentcore.kit.jsonvalue import JsonObject

# HTTP statuses of a server that may answer when it is asked again.
PASSING = frozenset({429, 500, 502, 503, 504})
WRONG_ANSWERS = "whoever wrote the environment must correct its answers"


class OpenEnvError(AgentCoreError):
    """Anything that an environment, its server or the way to it did wrong."""

    code, http_status, rpc_code, retryable = "openenv_error", 502, RPC_UPSTREAM, False


class OpenEnvConnectionError(OpenEnvError):
    """The server cannot be reached, or does not take part in the WebSocket handshake."""

    code, http_status, rpc_code, retryable = "openenv_unreachable", 503, RPC_UNAVAILABLE, True


class OpenEnvHTTPError(OpenEnvError):
    """The server answered a GET with a status that repeating will not change."""

    code, http_status, rpc_code, retryable = "openenv_http_error", 502, RPC_UPSTREAM, False


class OpenEnvRetryError(OpenEnvHTTPError):
    """The server kept answering with a passing fault (429, 5xx) until the attempts ran out."""

    code, http_status, rpc_code, retryable = "openenv_retries_exhausted", 502, RPC_UPSTREAM, True


class OpenEnvSpecError(OpenEnvError):
    """What answers is not an OpenEnv server, or it describes itself in a way nobody can use."""

    code, http_status, rpc_code, retryable = "openenv_spec_error", 502, RPC_UPSTREAM, False


class SchemaNotSampleable(OpenEnvError):
    """No value that fits a JSON Schema was found; ``keyword`` of the schema stood in the way."""

    code, http_status, rpc_code, retryable = "schema_not_sampleable", 502, RPC_UPSTREAM, False

    def __init__(self, keyword: str, why: str = "no value was found that fits it") -> None:
        super().__init__(
            f"the schema's {keyword}: {why}",
            hint="give actions yourself where they cannot be made from the schema",
            keyword=keyword,
        )
        self.keyword = keyword


class FactoryFailed(OpenEnvError):
    """A server of ours cannot make its environment."""

    code, http_status, rpc_code, retryable = "openenv_factory_failed", 500, RPC_UPSTREAM, False


class OpenEnvResetError(OpenEnvError):
    code, http_status, rpc_code, retryable = "openenv_reset_failed", 502, RPC_UPSTREAM, False


class EpisodeLimitReached(OpenEnvResetError):
    """The session has played as many episodes as its server lets one play."""

    code, http_status, rpc_code, retryable = "episode_limit_reached", 409, RPC_SESSION, False


class OpenEnvStepError(OpenEnvError):
    """The environment failed while executing the action; its session stays usable."""

    code, http_status, rpc_code, retryable = "openenv_step_failed", 502, RPC_UPSTREAM, False


class OpenEnvInvalidActionError(OpenEnvStepError):
    """The action does not fit the environment's action space; nothing was executed.

    ``errors`` holds one entry per fault: ``loc`` (path to the member), ``msg``, ``type``.
    """

    code, http_status = "openenv_invalid_action", 422
    rpc_code, retryable = RPC_INVALID_PARAMS, False

    def __init__(self, detail: str, errors: Sequence[JsonObject] = ()) -> None:
        super().__init__(
            detail, hint="the environment's action_space says what it takes", errors=list(errors)
        )
        self.errors = tuple(errors)


class EpisodeOver(OpenEnvStepError):
    code, http_status, rpc_code, retryable = "episode_over", 409, RPC_SESSION, False


class EnvironmentNotReset(OpenEnvStepError):
    code, http_status, rpc_code, retryable = "environment_not_reset", 409, RPC_SESSION, False


class SessionLost(OpenEnvStepError):
    """The session ended on the other side, and the episode with it.

    A server gives a fresh environment to every new socket: to go on would mean to act in an
    episode that nobody started. ``reset`` starts one.
    """

    code, http_status, rpc_code, retryable = "session_lost", 409, RPC_SESSION, False


class StepTimeout(OpenEnvStepError):
    """No answer in time; whether the step took place is unknown, so the session is given up."""

    code, http_status, rpc_code, retryable = "step_timeout", 504, RPC_DEADLINE, False


class CapacityReached(OpenEnvConnectionError):
    """Every session of the server is taken; ``active`` and ``maximum`` are None where unsaid."""

    code, http_status, rpc_code, retryable = "capacity_reached", 429, RPC_TOO_MANY, True

    def __init__(self, detail: str, active: int | None, maximum: int | None) -> None:
        super().__init__(
            detail,
            hint="close a session, wait, or raise the server's limit of sessions",
            active_sessions=active,
            max_sessions=maximum,
        )
        self.active = active
        self.maximum = maximum


class SessionLimitReached(AgentCoreError):
    """This service keeps no further session for the caller."""

    code, http_status, rpc_code, retryable = "session_limit_reached", 429, RPC_TOO_MANY, True


class WatcherLimitReached(AgentCoreError):
    """The session has as many watchers as it may have."""

    code, http_status, rpc_code, retryable = "watcher_limit_reached", 429, RPC_TOO_MANY, True


class EnvironmentSessionConflict(AgentCoreError):
    """The caller has given this session id to something else."""

    code, http_status = "environment_session_conflict", 409
    rpc_code, retryable = RPC_CONFLICT, False


class ActionMappingError(AgentCoreError):
    """The JSON-RPC method is not an action of the environment."""

    code, http_status, rpc_code, retryable = "action_mapping_error", 422, RPC_INVALID_PARAMS, False


class EnvironmentNotFoundError(AgentCoreError):
    code, http_status, rpc_code, retryable = "environment_not_found", 404, RPC_NOT_FOUND, False


class EnvironmentSessionNotFound(AgentCoreError):
    code, http_status = "environment_session_not_found", 404
    rpc_code, retryable = RPC_NOT_FOUND, False


class SessionInUse(AgentCoreError):
    """A session has one socket at a time, and it has one."""

    code, http_status, rpc_code, retryable = "session_in_use", 409, RPC_SESSION, False


class StepStillRunning(AgentCoreError):
    """A call that nobody waits for any more computes on: threads cannot be stopped."""

    code, http_status, rpc_code, retryable = "step_still_running", 409, RPC_SESSION, True


class TaskSetsMissing(AgentCoreError):
    """The environment declares no task sets."""

    code, http_status, rpc_code, retryable = "task_sets_missing", 501, RPC_NOT_FOUND, False


class InvalidTask(AgentCoreError):
    """The task set has no such split or index."""

    code, http_status, rpc_code, retryable = "invalid_task", 400, RPC_INVALID_PARAMS, False


class StandardMcpMissing(AgentCoreError):
    """The SDK of standard MCP is an extra, and it is not installed."""

    code, http_status, rpc_code, retryable = "standard_mcp_missing", 501, RPC_UNAVAILABLE, False


class StandardMcpStopped(AgentCoreError):
    """The server has not begun, or has ended, to speak standard MCP."""

    code, http_status, rpc_code, retryable = "standard_mcp_stopped", 503, RPC_UNAVAILABLE, True


class DeploymentFailed(AgentCoreError):
    """The deployment does not serve; ``detail`` ends in the words of what runs it.

    What was begun stays listed with its reason until it is deployed again or undeployed.
    """

    code, http_status, rpc_code, retryable = "deployment_failed", 502, RPC_UPSTREAM, False


class DeploymentNotFound(AgentCoreError):
    code, http_status, rpc_code, retryable = "deployment_not_found", 404, RPC_NOT_FOUND, False


class InvalidDeployment(AgentCoreError):
    """What is asked for cannot be deployed there: its name, image or resources."""

    code, http_status, rpc_code, retryable = "invalid_deployment", 422, RPC_INVALID_PARAMS, False


class RuntimeUnavailable(AgentCoreError):
    """What runs environments cannot be reached, or lets this process do nothing."""

    code, http_status, rpc_code, retryable = "runtime_unavailable", 503, RPC_UNAVAILABLE, True


class ClusterRefused(AgentCoreError):
    """The cluster understood and said no; ``status`` and ``reason`` are its own."""

    code, http_status, rpc_code, retryable = "cluster_refused", 502, RPC_UPSTREAM, False

    def __init__(self, detail: str, *, hint: str = "", status: int, reason: str) -> None:
        super().__init__(detail, hint=hint, upstream_status=status, reason=reason)
        self.status = status
        self.reason = reason
