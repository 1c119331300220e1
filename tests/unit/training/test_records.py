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


def test_what_is_shown_of_a_record_has_no_credentials_in_it() -> None:
    values = spec(url="https://ann:hunter2@far.example/a?key=hunter2")
    record = EnvironmentRecord(id=UUID(int=1), spec=values, state="discovered", created_at=AT)
    assert record.entry().url == "https://far.example/a"
    assert "hunter2" not in record.entry().model_dump_json()
