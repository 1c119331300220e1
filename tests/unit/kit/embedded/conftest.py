from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.kit.embedded.homes import fresh_home


@pytest.fixture
def home() -> Iterator[Path]:
    with fresh_home() as path:
        yield path
