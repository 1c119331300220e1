from __future__ import annotations

import pytest

from agentcore.llm_gateway.catalogue import Page, models_page
from agentcore.llm_gateway.errors import UpstreamMalformed


def test_a_whole_list_is_one_page() -> None:
    raw = b'{"object": "list", "data": [{"id": "a"}, {"id": "b"}]}'
    assert models_page(raw, "p") == Page(["a", "b"])


def test_a_part_says_how_to_go_on() -> None:
    raw = b'{"data": [{"id": "a"}], "has_more": true, "first_id": "a", "last_id": "a/1&x"}'
    assert models_page(raw, "p") == Page(["a"], "after_id=a%2F1%26x")


@pytest.mark.parametrize(
    "ending", ['"has_more": false, "last_id": "a"', '"has_more": true, "last_id": null']
)
def test_what_names_no_next_page_is_the_last(ending: str) -> None:
    assert models_page(b'{"data": [], %b}' % ending.encode(), "p") == Page([])


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"<html>", "p lists its models with something that is not JSON"),
        (b"[]", "p lists its models with no JSON object"),
        (b'{"data": {}}', "p lists no models"),
    ],
)
def test_what_is_no_list_is_refused(raw: bytes, why: str) -> None:
    with pytest.raises(UpstreamMalformed, match=why):
        models_page(raw, "p")
