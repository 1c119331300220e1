"""What a network does to a message: it arrives in pieces, cut anywhere."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from hypothesis import strategies as st

CUTS = st.lists(st.integers(0, 4000), max_size=12)


def cut(data: bytes, at: Iterable[int]) -> list[bytes]:
    """In order; some are empty. Places beyond the end are counted from the beginning again."""
    edges = [0, *sorted(place % (len(data) + 1) for place in at), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]
