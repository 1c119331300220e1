"""A token count that is an estimate and says so.

A run of letters counts one token per eight, together with the space before it; a run of anything
else one per three characters. It is no model's tokenizer, but it is cheap, the same text always
has the same count, and the pieces of a streamed reply add up to its usage.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

_TOKEN = re.compile(r"[ \n]?[A-Za-z_]{1,8}|[^A-Za-z_]{1,3}")
MESSAGE_OVERHEAD = 4
REPLY_PRIMER = 3


def pieces(text: str) -> list[str]:
    """``text`` cut into its tokens; joined they are ``text`` again."""
    return _TOKEN.findall(text)


@lru_cache(maxsize=1024)
def count_tokens(text: str) -> int:
    return len(_TOKEN.findall(text))


def prompt_tokens(contents: Iterable[str]) -> int:
    """Tokens of a chat prompt: its messages, each with the frame a chat template adds."""
    return REPLY_PRIMER + sum(MESSAGE_OVERHEAD + count_tokens(content) for content in contents)
