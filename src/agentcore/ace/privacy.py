"""What private callers wrote or lived through: evolution asks only private providers about it.

The mark stays with the playbook, because rules made from private traces repeat what they say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from agentcore.ace.models import ContextPlaybook, ExecutionTrace
from agentcore.kit.jsonvalue import JsonObject, JsonValue
from agentcore.kit.security import Principal

PRIVATE = "private"
MARKED: JsonObject = {PRIVATE: True}


def marked(trace: ExecutionTrace, principal: Principal | None) -> ExecutionTrace:
    """``trace`` as a private caller's, if ``principal`` is one."""
    if principal is None or not principal.private:
        return trace
    return trace.model_copy(update={"metadata": {**trace.metadata, **MARKED}})


def is_private(playbook: ContextPlaybook, traces: Sequence[ExecutionTrace]) -> bool:
    known = (playbook.metadata, *(trace.metadata for trace in traces))
    return any(is_private_metadata(metadata) for metadata in known)


def is_private_metadata(metadata: Mapping[str, JsonValue]) -> bool:
    return metadata.get(PRIVATE) is True
