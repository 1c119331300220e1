"""How many tokens a text takes, without a tokeniser: what counts is how it breaks into pieces.

English words take a token each, and a text has about four characters a token. Identifiers, numbers,
JSON and timestamps take twice as many, and would burst a budget that is kept by the length alone.

Of what cl100k really takes the estimate is 1.0 to 1.6 times for English, code, JSON, numbers and
identifiers, and for a dozen other languages; 0.85 for Dutch and Polish, half for random letters.
"""

from __future__ import annotations

import re

# Tokenisers keep frequent words whole, cut rare ones, and never join letters with digits.
_COMMON = r"[A-Z]{1,3}|[0-9]{1,2}|[!-/:-@\[-`{-~]{1,2}|\n+|[ \t]{2,}"
_ENGLISH = re.compile(r"[A-Z]?[a-z]{3}(?=[a-z]{4})|[A-Z]?[a-z]{1,6}|" + _COMMON)
# Where there are other letters, the words are not English either.
_OTHER = re.compile(
    r"[A-Z]?[a-z]{3}(?=[a-z]{3})|[A-Z]?[a-z]{1,5}|"
    + _COMMON
    + r"|[\u0250-\u058f]{1,2}|[\u0080-\u024f\u0590-\U0010ffff]"
)
# Characters of two to three tokens: symbols, emoji and what joins them, rare ideographs.
_DEAR = re.compile(r"[\u2190-\u2bff\u3400-\u4dbf\ufe0f\u200d\U00010000-\U0010ffff]")
_INDIC = re.compile(r"[\u0900-\u0dff]{3}")


def estimated_tokens(text: str) -> int:
    """An upper estimate for what models read and write as text."""
    if text.isascii():
        return len(_ENGLISH.findall(text))
    pieces = len(_OTHER.findall(text))
    return pieces + 2 * len(_DEAR.findall(text)) + len(_INDIC.findall(text))
