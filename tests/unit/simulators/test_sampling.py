from __future__ import annotations

import pytest

from agentcore.simulators.sampling import sampled

TEXT = "one two three four"


@pytest.mark.parametrize(
    ("limit", "stops", "text", "finish", "stop"),
    [
        (99, [], TEXT, "stop", None),
        (4, [], TEXT, "stop", None),
        (2, [], "one two", "length", None),
        (99, [" three"], "one two", "stop", " three"),
        (99, ["four", "two"], "one ", "stop", "two"),
        (1, ["four"], "one", "length", None),
        (99, ["absent"], TEXT, "stop", None),
    ],
)
def test_what_ends_a_reply(
    limit: int, stops: list[str], text: str, finish: str, stop: str | None
) -> None:
    tokens, finish_reason, stop_reason = sampled(TEXT, limit=limit, stops=stops)
    assert ("".join(tokens), finish_reason, stop_reason) == (text, finish, stop)
