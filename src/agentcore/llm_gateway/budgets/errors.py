"""Why a call that costs something is refused."""

from __future__ import annotations

from agentcore.kit.errors import RPC_TOO_MANY, RPC_UNAVAILABLE, AgentCoreError


class BudgetRefusal(AgentCoreError):
    """An attempt may not be paid for; a cheaper one may."""

    code, http_status, rpc_code, retryable = "budget_refused", 402, RPC_TOO_MANY, False


class BudgetExceeded(BudgetRefusal):
    """The call might cost more than is left. 402: no SDK repeats it by itself."""

    code, http_status, rpc_code, retryable = "budget_exceeded", 402, RPC_TOO_MANY, False


class PriceUnknown(BudgetRefusal):
    """The caller has a hard budget, and nobody knows what the call would cost."""

    code, http_status, rpc_code, retryable = "price_unknown", 402, RPC_TOO_MANY, False


class BudgetHeld(BudgetRefusal):
    """Enough is left, but held for calls in flight, which give back what they do not need."""

    code, http_status, rpc_code, retryable = "budget_held", 429, RPC_TOO_MANY, True


class BudgetUnavailable(BudgetRefusal):
    """The database is away, and this process has spent what it may without asking."""

    code, http_status, rpc_code, retryable = "budget_unavailable", 503, RPC_UNAVAILABLE, True
