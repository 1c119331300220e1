"""What can go wrong when environments are found, registered and deployed."""

from __future__ import annotations

from collections.abc import Sequence

from agentcore.kit.errors import (
    RPC_CONFLICT,
    RPC_INVALID_PARAMS,
    RPC_TOO_MANY,
    RPC_UNAVAILABLE,
    RPC_UPSTREAM,
    AgentCoreError,
)


class EnvironmentValidationError(AgentCoreError):
    """The environment is not fit to be registered: its server fails, or its spec says nothing."""

    code, http_status, rpc_code, retryable = "environment_invalid", 422, RPC_INVALID_PARAMS, False


class AmbiguousEnvironment(AgentCoreError):
    """A name stands for environments of several sources; ``candidates`` are all of them."""

    code, http_status, rpc_code, retryable = "environment_ambiguous", 409, RPC_CONFLICT, False

    def __init__(self, reference: str, candidates: Sequence[str]) -> None:
        super().__init__(
            f"{reference!r} may be any of {', '.join(candidates)}",
            hint="name one of them in full, or by its id",
            candidates=list(candidates),
        )


class EnvironmentNameTaken(AgentCoreError):
    """A bundled or a configured environment has this name, or a route needs it."""

    code, http_status, rpc_code, retryable = "environment_name_taken", 409, RPC_CONFLICT, False


class EnvironmentNotServed(AgentCoreError):
    """It is registered by its image alone, and nothing runs it."""

    code, http_status, rpc_code, retryable = "environment_not_served", 409, RPC_CONFLICT, False


class TokenReferenceInvalid(AgentCoreError):
    """The secret that a token refers to is not where it should be; it is never quoted."""

    code, http_status = "token_reference_invalid", 422
    rpc_code, retryable = RPC_INVALID_PARAMS, False


class CatalogFileError(AgentCoreError):
    """The file is no catalog at all; a bad entry of a good catalog is a record of the import."""

    code, http_status, rpc_code, retryable = "catalog_invalid", 422, RPC_INVALID_PARAMS, False


class HubError(AgentCoreError):
    """The Hub gave no list of environments."""

    code, http_status, rpc_code, retryable = "hub_error", 502, RPC_UPSTREAM, False


class HubNotInstalled(HubError):
    code, http_status, rpc_code, retryable = "hub_not_installed", 503, RPC_UNAVAILABLE, False


class HubUnavailable(HubError):
    """Offline, too slow, or broken for the moment."""

    code, http_status, rpc_code, retryable = "hub_unavailable", 503, RPC_UNAVAILABLE, True


class HubUnauthorized(HubError):
    code, http_status, rpc_code, retryable = "hub_unauthorized", 502, RPC_UPSTREAM, False


class HubRateLimited(HubError):
    code, http_status, rpc_code, retryable = "hub_rate_limited", 429, RPC_TOO_MANY, True


class RuntimeMissing(AgentCoreError):
    """This installation cannot deploy to what was asked for."""

    code, http_status, rpc_code, retryable = "runtime_missing", 422, RPC_INVALID_PARAMS, False


class DeploymentNameTaken(AgentCoreError):
    """Something else is deployed under this name."""

    code, http_status, rpc_code, retryable = "deployment_name_taken", 409, RPC_CONFLICT, False
