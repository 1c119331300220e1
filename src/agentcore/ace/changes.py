"""What a delta's ``changes`` mean: a batch of operations, or plain keys that are merged in.

Plain keys never lose anything by omission: objects are merged, lists gain the items they lack,
scalars are replaced. Removing takes an explicit operation.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from pydantic import JsonValue

from agentcore.ace.content import RESERVED, normalised
from agentcore.ace.errors import InvalidContent
from agentcore.ace.ops import Extend, Operation, Set, parse_operations, without_duplicates


def is_batch(changes: Mapping[str, JsonValue]) -> bool:
    return "ops" in changes


def operations_of(
    changes: Mapping[str, JsonValue], content: Mapping[str, JsonValue]
) -> tuple[Operation, ...]:
    """The operations that ``changes`` ask for on ``content``; none when it has it all already.

    Raises:
        InvalidOperation: a batch that cannot be read.
        InvalidContent: plain keys that would lose something, or touch the reserved key.
    """
    if not is_batch(changes):
        return merged(changes, content)
    others = sorted(set(changes) - {"ops", "evidence_required"})
    if others:
        raise InvalidContent(
            f"changes hold 'ops' and also {others[0]!r}",
            hint="send either {'ops': [...]} or plain keys, in two deltas if need be",
        )
    return without_duplicates(content, parse_operations(changes["ops"]))


def merged(
    changes: Mapping[str, JsonValue], content: Mapping[str, JsonValue]
) -> tuple[Operation, ...]:
    if RESERVED in changes:
        raise InvalidContent(
            f"the key {RESERVED!r} is reserved for bullets",
            hint="change bullets with {'ops': [...]}",
        )
    operations: list[Operation] = []
    _merge((), changes, content, operations)
    return tuple(operations)


def _merge(
    path: tuple[str, ...],
    changes: Mapping[str, JsonValue],
    current: Mapping[str, JsonValue],
    out: list[Operation],
) -> None:
    for key, value in changes.items():
        here = (*path, key)
        if key not in current:
            out.append(Set(path=here, value=value))
            continue
        found = current[key]
        if isinstance(found, dict) and isinstance(value, dict):
            _merge(here, value, found, out)
        elif isinstance(found, list) and value is not None and not isinstance(value, dict):
            _extend(here, value, found, out)
        elif isinstance(found, dict | list):
            kind = "an object" if isinstance(found, dict) else "a list"
            raise InvalidContent(
                f"{'.'.join(here)!r} is {kind} and would be lost",
                hint="plain keys only add; replace it with a SET operation",
            )
        elif found != value or type(found) is not type(value):
            out.append(Set(path=here, value=value))


def _extend(
    path: tuple[str, ...], value: JsonValue, found: list[JsonValue], out: list[Operation]
) -> None:
    known = set(map(_meaning, found))
    missing: list[JsonValue] = []
    for item in value if isinstance(value, list) else [value]:
        if (meaning := _meaning(item)) not in known:
            known.add(meaning)
            missing.append(item)
    if missing:
        out.append(Extend(path=path, items=tuple(missing)))


def _meaning(item: JsonValue) -> object:
    """The same for items that need not stand in a list twice."""
    return normalised(item) if isinstance(item, str) else (json.dumps(item, sort_keys=True),)
