from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AnyHttpUrl

from agentcore.training.openenv.registration.errors import EnvironmentValidationError
from agentcore.training.openenv.registration.screening import presentable, screen, without_query
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


SECRET = st.text(st.characters(codec="utf-8", exclude_characters="/?#\\@:[]"), min_size=1).map(
    lambda text: f"hunter2{text}"
)


@given(user=SECRET, password=SECRET, query=SECRET)
def test_no_secret_of_an_address_is_shown(user: str, password: str, query: str) -> None:
    for start in (f"{user}:{password}@", f"{user}@", f":{password}@", f"{user}@{password}@", ""):
        given_url = f"https://{start}far.example:8000/a?{query}#{query}"
        assert presentable(given_url) == "https://far.example:8000/a"
    parsed = AnyHttpUrl.build(
        scheme="https", username=user, password=password, host="far.example", path="a", query=query
    )
    assert presentable(str(parsed)) == "https://far.example/a"


@pytest.mark.parametrize("url", ["http://[::1]:8000/a", "https://far.example/", "http://far:1"])
def test_an_address_without_secrets_is_shown_as_it_is(url: str) -> None:
    assert presentable(url) == url
