from __future__ import annotations

from agentcore.kit.errors import (
    RPC_CONFLICT,
    RPC_DEADLINE,
    RPC_INVALID_PARAMS,
    RPC_NOT_FOUND,
    RPC_TOO_MANY,
    RPC_UNAVAILABLE,
    AgentCoreError,
    Conflict,
    DeadlineExceeded,
    InvalidInput,
    NotFound,
    RequestTooLarge,
    TooManyRequests,
)


class UnknownAgent(NotFound):
    """There is no such agent, or it belongs to another tenant: the caller cannot tell which."""

    code, http_status, rpc_code, retryable = "unknown_agent", 404, RPC_NOT_FOUND, False

    def __init__(self, agent_id: str) -> None:
        super().__init__(
            f"no agent {agent_id!r}", hint="register it, or create a playbook for it first"
        )


class PlaybookNotFound(NotFound):
    """The agent has no playbook, does not exist, or belongs to another tenant."""

    code, http_status, rpc_code, retryable = "playbook_not_found", 404, RPC_NOT_FOUND, False

    def __init__(self, agent_id: str) -> None:
        super().__init__(
            f"no playbook of agent {agent_id!r}",
            hint="create one with POST /internal/context/playbooks",
        )


class PlaybookDeleted(NotFound):
    """While it was written to."""

    code, http_status, rpc_code, retryable = "playbook_deleted", 404, RPC_NOT_FOUND, False

    def __init__(self, playbook_id: str) -> None:
        super().__init__(
            f"the playbook {playbook_id!r} has just been deleted",
            hint="create one with POST /internal/context/playbooks",
        )


class VersionNotFound(NotFound):
    code, http_status, rpc_code, retryable = "playbook_version_not_found", 404, RPC_NOT_FOUND, False

    def __init__(self, agent_id: str, asked: int, newest: int, *, oldest: int = 1) -> None:
        """``newest`` is the last version that could have been asked for; 0: there is none."""
        super().__init__(
            f"the playbook of {agent_id!r} has no such version: {asked}",
            hint=f"give a version from {oldest} to {newest}"
            if newest >= oldest
            else "version 1 is the first and only one, so there is none to go back to",
        )


class PlaybookExists(Conflict):
    code, http_status, rpc_code, retryable = "playbook_exists", 409, RPC_CONFLICT, False

    def __init__(self, agent_id: str) -> None:
        super().__init__(
            f"agent {agent_id!r} has a playbook already",
            hint="change it with PATCH /internal/context/playbooks/{agent_id}",
        )


class PlaybookVersionConflict(Conflict):
    """What the delta touches has changed since the version that it was made for."""

    code, http_status, rpc_code, retryable = "playbook_version_conflict", 409, RPC_CONFLICT, True

    def __init__(self, agent_id: str, expected: int, found: int) -> None:
        super().__init__(
            f"the playbook of {agent_id!r} is at version {found}, not {expected}",
            hint="read the playbook again and repeat the change on what it holds now",
            expected_version=expected,
            found_version=found,
        )


class DeltaIdReused(Conflict):
    code, http_status, rpc_code, retryable = "delta_id_reused", 409, RPC_CONFLICT, False

    def __init__(self, delta_id: str) -> None:
        super().__init__(
            f"delta {delta_id!r} was sent before with other changes",
            hint="give each delta an id of its own; the same id repeats the same delta",
        )


class TraceIdReused(Conflict):
    code, http_status, rpc_code, retryable = "trace_id_reused", 409, RPC_CONFLICT, False

    def __init__(self, trace_id: str) -> None:
        super().__init__(
            f"trace {trace_id!r} belongs to another agent",
            hint="give each trace an id of its own",
        )


class DeltaForOtherPlaybook(Conflict):
    code, http_status, rpc_code, retryable = "delta_for_other_playbook", 409, RPC_CONFLICT, False

    def __init__(self, asked: str, found: str) -> None:
        super().__init__(
            f"the delta is for playbook {asked!r}, the agent has {found!r}",
            hint="read the agent's playbook again: it may have been deleted and made anew",
        )


class InvalidOperation(InvalidInput):
    """One operation of a batch cannot be applied; nothing of the batch was."""

    code, http_status, rpc_code, retryable = "invalid_operation", 422, RPC_INVALID_PARAMS, False

    def __init__(self, index: int, name: str, reason: str) -> None:
        super().__init__(
            f"operation {index} ({name}): {reason}",
            hint="docs/reference/playbooks.md lists the operations; none of this batch was applied",
            operation=index,
        )


class InvalidContent(InvalidInput):
    code, http_status, rpc_code, retryable = "invalid_content", 422, RPC_INVALID_PARAMS, False


class PlaybookTooLarge(RequestTooLarge):
    code, http_status, rpc_code, retryable = "playbook_too_large", 413, -32600, False


class TraceTooLarge(RequestTooLarge):
    code, http_status, rpc_code, retryable = "trace_too_large", 413, -32600, False

    def __init__(self, size: int, most: int) -> None:
        super().__init__(
            f"the trace's metadata and error message have {size} bytes, more than {most}",
            hint="keep what shows how it went: a lesson needs a few words as its evidence",
        )


class EvolutionQueueFull(TooManyRequests):
    code, http_status, rpc_code, retryable = "evolution_queue_full", 429, RPC_TOO_MANY, True

    def __init__(self, size: int, retry_after: float) -> None:
        super().__init__(
            f"all {size} places of the evolution queue are taken",
            hint="repeat the request after retry_after seconds",
            retry_after=retry_after,
        )


class EvolutionBudgetExhausted(AgentCoreError):
    """The next model call might exceed the month's budget, so it is not made."""

    code, http_status, rpc_code, retryable = "evolution_budget_exhausted", 429, RPC_TOO_MANY, False

    def __init__(self, *, spent: float, asked: float, budget: float) -> None:
        super().__init__(
            f"{spent:.6f} of {budget:.2f} USD are spent or reserved this month; "
            f"the next call may cost {asked:.6f}",
            hint="raise ACE_MONTHLY_BUDGET_USD or wait for the next month",
        )


class EvolutionRateLimited(TooManyRequests):
    """The installation has asked the model as often as it may within a minute."""

    code, http_status, rpc_code, retryable = "evolution_rate_limited", 429, RPC_TOO_MANY, True

    def __init__(self, most: int, retry_after: float) -> None:
        super().__init__(
            f"evolution has made {most} model calls in a minute, as many as it may",
            hint="it goes on by itself; raise ACE_MAX_LLM_CALLS_PER_MINUTE to go faster",
            retry_after=retry_after,
        )


class EvolutionModelUnknown(NotFound):
    """No provider serves the model that evolution asks."""

    code, http_status, rpc_code, retryable = "evolution_model_unknown", 404, RPC_NOT_FOUND, False

    def __init__(self, model: str) -> None:
        super().__init__(
            f"no provider serves {model!r}, which evolution asks",
            hint="set ACE_LLM_MODEL to a model that `agentcore models` lists",
        )


class EvolutionDisturbed(AgentCoreError):
    """A passing fault: the evolution is worth a repetition soon."""

    code, http_status, rpc_code, retryable = "evolution_disturbed", 503, RPC_UNAVAILABLE, True

    def __init__(self, fault: AgentCoreError) -> None:
        super().__init__(f"{fault.code}: {fault.detail}", hint=fault.hint, **fault.context)


class EvolutionAnswerLost(DeadlineExceeded):
    """The model was asked and no whole answer came back, so the call may have been billed."""

    code, http_status, rpc_code, retryable = "evolution_answer_lost", 504, RPC_DEADLINE, True

    def __init__(self, cause: AgentCoreError) -> None:
        super().__init__(
            f"the model's answer was lost: {cause.detail}",
            hint="the call stays booked at its upper price; evolution is tried again later",
        )


class EvolutionClaimLost(Conflict):
    """Another worker took the evolution over because this one had fallen silent."""

    code, http_status, rpc_code, retryable = "evolution_claim_lost", 409, RPC_CONFLICT, True

    def __init__(self, agent_id: str) -> None:
        super().__init__(f"the evolution of {agent_id!r} was taken over by another worker")


class TrialWithdrawn(Conflict):
    """Its owner has stopped it while it was played, or another worker has taken it over."""

    code, http_status, rpc_code, retryable = "trial_withdrawn", 409, RPC_CONFLICT, False

    def __init__(self, agent_id: str) -> None:
        super().__init__(f"nobody waits any more for what a trial of {agent_id!r} comes to")


class ExperimentRunning(Conflict):
    code, http_status, rpc_code, retryable = "experiment_running", 409, RPC_CONFLICT, False

    def __init__(self, agent_id: str, experiment_id: str) -> None:
        super().__init__(
            f"experiment {experiment_id!r} of {agent_id!r} is not over",
            hint="wait for it or stop it: one delta is tried at a time",
        )


class ExperimentNotFound(NotFound):
    code, http_status, rpc_code, retryable = "experiment_not_found", 404, RPC_NOT_FOUND, False

    def __init__(self, agent_id: str, experiment_id: str) -> None:
        super().__init__(
            f"there is no experiment {experiment_id!r} of {agent_id!r}",
            hint="`agentcore ace experiment` lists those that there are",
        )


class ExperimentOver(Conflict):
    code, http_status, rpc_code, retryable = "experiment_over", 409, RPC_CONFLICT, False

    def __init__(self, experiment_id: str, outcome: str) -> None:
        super().__init__(f"experiment {experiment_id!r} is over: {outcome}")


class NothingToTry(Conflict):
    """The delta is applied or has no effect on the playbook."""

    code, http_status, rpc_code, retryable = "nothing_to_try", 409, RPC_CONFLICT, False

    def __init__(self, delta_id: str, reason: str) -> None:
        super().__init__(
            f"delta {delta_id!r} cannot be tried: {reason}",
            hint="the playbook's deltas with applied false are those that can be",
        )
