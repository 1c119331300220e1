"""What can go wrong when agents are developed: with players, recordings, stored states and jobs."""

from __future__ import annotations

from agentcore.kit.errors import (
    RPC_CONFLICT,
    RPC_INTERNAL,
    RPC_INVALID_PARAMS,
    RPC_NOT_FOUND,
    RPC_UPSTREAM,
    AgentCoreError,
)


class TrainingError(AgentCoreError):
    code, http_status, rpc_code, retryable = "training_error", 500, RPC_INTERNAL, False


class PolicyFailed(TrainingError):
    """The policy raised an exception, or returned what is no action."""

    code, http_status, rpc_code, retryable = "policy_failed", 500, RPC_INTERNAL, False


class PolicyNotFound(TrainingError):
    code, http_status, rpc_code, retryable = "policy_not_found", 404, RPC_NOT_FOUND, False


class RewardInvalid(TrainingError):
    """No reward function has this name, or it does not take these parameters."""

    code, http_status, rpc_code, retryable = "reward_invalid", 422, RPC_INVALID_PARAMS, False


class RecordingUnreadable(TrainingError):
    """The file is no recording of episodes, or of a format that this version does not know."""

    code, http_status, rpc_code, retryable = "recording_unreadable", 422, RPC_INVALID_PARAMS, False

    def __init__(
        self, detail: str, *, hint: str = "agentcore env run NAME --record FILE.jsonl.gz writes one"
    ) -> None:
        super().__init__(detail, hint=hint)


class RecordingFailed(TrainingError):
    """The recording cannot be written any further; what is in it can be read."""

    code, http_status, rpc_code, retryable = "recording_failed", 500, RPC_INTERNAL, False


class CheckpointNotFound(TrainingError):
    code, http_status, rpc_code, retryable = "checkpoint_not_found", 404, RPC_NOT_FOUND, False


class CheckpointCorrupt(TrainingError):
    """The stored checkpoint is not what was saved: its hash differs."""

    code, http_status, rpc_code, retryable = "checkpoint_corrupt", 500, RPC_INTERNAL, False


class CheckpointConflict(TrainingError):
    """Somebody else saved a version since this one was read."""

    code, http_status, rpc_code, retryable = "checkpoint_conflict", 409, RPC_CONFLICT, True


class ScheduleNotFound(TrainingError):
    code, http_status, rpc_code, retryable = "schedule_not_found", 404, RPC_NOT_FOUND, False


class ScheduleOver(TrainingError):
    """A schedule that is finished or cancelled cannot be paused or resumed."""

    code, http_status, rpc_code, retryable = "schedule_over", 409, RPC_CONFLICT, False


class JobNotFound(TrainingError):
    code, http_status, rpc_code, retryable = "job_not_found", 404, RPC_NOT_FOUND, False


class RolloutsFailed(TrainingError):
    """Not one episode of a job came to its end."""

    code, http_status, rpc_code, retryable = "rollouts_failed", 502, RPC_UPSTREAM, True


class PlotUnavailable(TrainingError):
    """Plots need an extra that is not installed."""

    code, http_status, rpc_code, retryable = "plot_unavailable", 501, RPC_INTERNAL, False
