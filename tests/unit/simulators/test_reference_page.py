from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from agentcore.simulators.lessons import LESSONS, Lesson
from agentcore.simulators.models import ClusterConfig, FaultKind

PAGE = (Path(__file__).parents[3] / "docs/reference/simulator.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [*get_args(FaultKind), *ClusterConfig.model_fields])
def test_the_page_tells_of_each_fault_and_option(name: str) -> None:
    assert f"`{name}`" in PAGE


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.mistake)
def test_the_page_tells_each_mistakes_rate(lesson: Lesson) -> None:
    assert f"| `{lesson.mistake}` | {round(lesson.rate * 100)} % |" in PAGE
