from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest
from pydantic import ValidationError

from agentcore.training.openenv.operations.models import Operation

NEW = {
    "id": UUID(int=1),
    "kind": "deploy",
    "arguments": {},
    "requested_by": "ada",
    "created_at": datetime(2026, 1, 1, tzinfo=UTC),
}


def test_a_new_operation_waits() -> None:
    operation = Operation.model_validate(NEW)
    assert (operation.state, operation.attempts, operation.target) == ("pending", 0, "")


@pytest.mark.parametrize("changed", [{"kind": "format"}, {"state": "lost"}, {"other": 1}])
def test_others_are_refused(changed: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Operation.model_validate({**NEW, **changed})
