"""What PostgreSQL keeps and gives back as it was: texts and documents that callers may bring."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import AfterValidator, JsonValue

DEEPEST = 32
INT64 = 2**63


def storable(value: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """``value`` when PostgreSQL can keep it as JSONB and give back the same.

    Raises:
        ValueError: naming what it cannot keep: NUL, lone surrogates, NaN, integers beyond 64 bits,
            or nesting deeper than 32 levels.
    """
    check_storable(value, deepest=DEEPEST)
    return value


def check_storable(value: JsonValue, *, deepest: int) -> None:
    """As :func:`storable`, for any document of at most ``deepest`` levels."""
    _check(value, 0, deepest)


def made_storable(value: JsonValue) -> JsonValue:
    """A document from elsewhere with what PostgreSQL cannot keep in texts replaced."""
    if isinstance(value, str):
        replaced = value.replace("\x00", "\N{REPLACEMENT CHARACTER}")
        return replaced.encode(errors="backslashreplace").decode()
    if isinstance(value, list):
        return [made_storable(item) for item in value]
    if isinstance(value, dict):
        return {str(made_storable(name)): made_storable(item) for name, item in value.items()}
    return value


def check_text(text: str) -> str:
    """``text``; raises ``ValueError`` where it holds NUL or a lone surrogate."""
    if "\x00" in text:
        raise ValueError("the character U+0000 cannot be stored")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("a lone surrogate is no Unicode text") from None
    return text


def _check(value: JsonValue, depth: int, deepest: int) -> None:
    if depth > deepest:
        raise ValueError(f"JSON nested deeper than {deepest} levels")
    if isinstance(value, str):
        check_text(value)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} is not a JSON number")
    elif isinstance(value, int) and not -INT64 <= value < INT64:
        raise ValueError("an integer does not fit into 64 bits")
    elif isinstance(value, list):
        for item in value:
            _check(item, depth + 1, deepest)
    elif isinstance(value, dict):
        for name, item in value.items():
            check_text(name)
            _check(item, depth + 1, deepest)


StorableText = Annotated[str, AfterValidator(check_text)]
StorableObject = Annotated[dict[str, JsonValue], AfterValidator(storable)]
