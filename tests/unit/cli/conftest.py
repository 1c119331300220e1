from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fakes.json_server import JsonServer, json_server


@pytest.fixture
def service(request: pytest.FixtureRequest) -> Iterator[JsonServer]:
    """What answers as the module's ``ANSWERS`` say."""
    with json_server(request.module.ANSWERS) as served:
        yield served


@pytest.fixture
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal that breaks no line of a table."""
    monkeypatch.setenv("COLUMNS", "240")
