from __future__ import annotations

import pytest
from a2a.utils import errors as sdk

from agentcore.a2a_protocol.errors import (
    InvalidParams,
    TaskNotCancelable,
    TaskNotFound,
    UnsupportedOperation,
)
from agentcore.a2a_protocol.sdk.faults import our_errors, protocol_errors
from agentcore.kit.errors import AgentCoreError, InternalError, Unavailable

PAIRS = [
    (sdk.TaskNotFoundError, TaskNotFound),
    (sdk.TaskNotCancelableError, TaskNotCancelable),
    (sdk.UnsupportedOperationError, UnsupportedOperation),
    (sdk.InvalidParamsError, InvalidParams),
]


@pytest.mark.parametrize(("theirs", "ours"), PAIRS)
def test_each_pair_has_one_number(theirs: type[sdk.A2AError], ours: type[AgentCoreError]) -> None:
    assert sdk.JSON_RPC_ERROR_CODE_MAP[theirs] == ours.rpc_code
    with pytest.raises(ours, match="gone"), our_errors():
        raise theirs("gone")
    with pytest.raises(theirs, match=r"gone\. look again"), protocol_errors():
        raise ours("gone", hint="look again")


def test_what_has_no_pair() -> None:
    with pytest.raises(InternalError), our_errors():
        raise sdk.InvalidAgentResponseError("odd")
    with pytest.raises(Unavailable), protocol_errors():
        raise Unavailable("away")
