from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from agentcore.simulators.tokens import pieces


def sampled(
    text: str, *, limit: int, stops: Sequence[str]
) -> tuple[tuple[str, ...], Literal["stop", "length"], str | None]:
    """The tokens of ``text`` up to its first stop string or the limit, and what ended them."""
    found = min(
        ((at, stop) for stop in stops if (at := text.find(stop)) >= 0), default=(len(text), None)
    )
    tokens = pieces(text[: found[0]])
    if len(tokens) > limit:
        return tuple(tokens[:limit]), "length", None
    return tuple(tokens), "stop", found[1]
