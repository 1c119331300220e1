"""The error tree: each class decides its whole wire by itself."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from agentcore.kit.errors import AgentCoreError
from tests.architecture.source import Source, last_name

ErrorType = type[AgentCoreError]
WIRE = ("code", "http_status", "rpc_code", "retryable")
JSONRPC = {-32700, -32600, -32601, -32602, -32603}
A2A = range(-32009, -32000)
OURS = range(-32099, -32049)


def defining_modules(sources: Sequence[Source], root: str = "AgentCoreError") -> list[str]:
    """Modules that declare a class below ``root``, told by the names of its bases."""
    names, modules, before = {root}, set[str](), 0
    while before != len(names):
        before = len(names)
        for source in sources:
            for node in source.nodes:
                if isinstance(node, ast.ClassDef) and names & {last_name(b) for b in node.bases}:
                    names.add(node.name)
                    modules.add(source.module)
    return sorted(modules)


def subclasses(root: ErrorType) -> list[ErrorType]:
    """Every class below ``root`` that the product defines."""
    below = [each for child in root.__subclasses__() for each in (child, *subclasses(child))]
    return sorted(
        {each for each in below if each.__module__.startswith("agentcore.")}, key=_qualified
    )


def _qualified(error: ErrorType) -> str:
    return f"{error.__module__}:{error.__qualname__}"


def undeclared(error: ErrorType) -> Iterator[str]:
    missing = [name for name in WIRE if name not in vars(error)]
    if missing:
        yield f"{_qualified(error)} does not declare {missing} itself"


def misplaced(error: ErrorType) -> Iterator[str]:
    """Values that no client could make sense of."""
    code, status, rpc = error.code, error.http_status, error.rpc_code
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", code):
        yield f"{_qualified(error)}: the code {code!r} is not snake_case"
    if not 400 <= status <= 599:
        yield f"{_qualified(error)}: {status} is not the status of an error"
    if rpc in A2A and not error.__module__.startswith("agentcore.a2a_protocol."):
        yield f"{_qualified(error)}: {rpc} belongs to A2A"
    if rpc not in JSONRPC and rpc not in A2A and rpc not in OURS:
        yield f"{_qualified(error)}: {rpc} is neither JSON-RPC's, nor A2A's, nor ours"
    if not isinstance(error.retryable, bool):
        yield f"{_qualified(error)}: retryable is {error.retryable!r}"


def shared_codes(errors: Iterable[ErrorType]) -> list[str]:
    owners: defaultdict[str, list[str]] = defaultdict(list)
    for error in errors:
        owners[error.code].append(_qualified(error))
    return [f"{code} is shared by {names}" for code, names in owners.items() if len(names) > 1]
