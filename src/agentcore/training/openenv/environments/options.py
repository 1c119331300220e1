"""Reset options that environments share."""

from __future__ import annotations

from agentcore.kit.errors import InvalidInput
from agentcore.kit.jsonvalue import JsonObject


def count(options: JsonObject, name: str, default: int, *, most: int) -> int:
    """The whole number from 1 to ``most`` under ``name``.

    Raises:
        InvalidInput: it is something else.
    """
    value = options.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise InvalidInput(f"the reset option {name} is {value!r}", hint=f"give 1 to {most}")
    return value
