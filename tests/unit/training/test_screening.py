from __future__ import annotations

from typing import Any

import pytest

from agentcore.training.openenv.registration.errors import EnvironmentValidationError
from agentcore.training.openenv.registration.screening import screen, without_query
from tests.fakes.environment_registry import spec


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"url": None}, "neither a url nor an image"),
        ({"url": "http://ann:hunter2@far.example/"}, "credentials"),
        ({"url": "http://hunter2@far.example/"}, "credentials"),
        ({"image": "--privileged"}, "no reference"),
        ({"image": "far:1 hunter2"}, "no reference"),
        ({"image": "far:1\n"}, "no reference"),
        ({"image": "far\x00"}, "no reference"),
    ],
)
def test_what_may_not_be_registered_is_named_and_not_quoted(
    values: dict[str, Any], why: str
) -> None:
    with pytest.raises(EnvironmentValidationError, match=why) as caught:
        screen(spec(**values))
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("image", ["far:1", "localhost:5000/A/b_c:1.0-x", "far@sha256:0a1b"])
def test_references_of_images_pass(image: str) -> None:
    screen(spec(url=None, image=image))


def test_a_query_is_left_out_of_what_is_shown() -> None:
    assert without_query("http://far.example:8000/a?key=hunter2#b") == "http://far.example:8000/a"
    assert without_query("nonsense") == "nonsense"
