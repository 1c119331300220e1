"""What a bearer token may be: a fault in one must never be told in words that hold it."""

from __future__ import annotations

NO_HEADER = "has characters that no HTTP header takes"


def fits_a_header(token: str) -> bool:
    return token.isascii() and token.isprintable()
