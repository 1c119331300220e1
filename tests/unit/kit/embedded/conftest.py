from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agentcore.kit.embedded import valkey
from tests.unit.kit.embedded.homes import fresh_home


@pytest.fixture
def home() -> Iterator[Path]:
    with fresh_home() as path:
        yield path


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that a busy machine keeps waiting is not silent."""
    monkeypatch.setattr(valkey, "_ANSWER_SECONDS", 30)
