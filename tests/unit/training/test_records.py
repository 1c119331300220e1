from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest
from pydantic import ValidationError

from agentcore.training.openenv.registration.records import EnvironmentRecord
from tests.fakes.environment_registry import spec

AT = datetime(2026, 1, 1, tzinfo=UTC)


def test_the_full_name_has_source_id_and_revision() -> None:
    values = spec("echo", source="hub", source_id="ann/echo", revision="a1")
    record = EnvironmentRecord(id=UUID(int=1), spec=values, state="discovered", created_at=AT)
    assert record.qualified == "hub:ann/echo@a1"


@pytest.mark.parametrize("secret", ["hf_plain", "", "env:", "env:1A", "ENV:A", "file:"])
def test_a_secret_is_no_reference(secret: str) -> None:
    with pytest.raises(ValidationError):
        EnvironmentRecord(
            id=UUID(int=1), spec=spec(), state="registered", token_ref=secret, created_at=AT
        )
