"""The tree as parsed files: every rule of this package reads it and none imports it."""

from __future__ import annotations

import ast
import gc
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).resolve().parents[2]
PYTHON_FOLDERS = ("src", "tests", "benchmarks", "alembic", "docs")
FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Source:
    """One Python file; ``path`` is relative to the root of the checkout."""

    path: PurePosixPath
    text: str
    tree: ast.Module

    @classmethod
    def of(cls, path: str, text: str) -> Source:
        return cls(PurePosixPath(path), text, ast.parse(text, filename=path))

    @cached_property
    def nodes(self) -> tuple[ast.AST, ...]:
        """Every node, walked once for all rules."""
        return tuple(ast.walk(self.tree))

    @cached_property
    def functions(self) -> tuple[Located, ...]:
        return tuple(functions(self.tree))

    @property
    def module(self) -> str:
        """Dotted name; a package goes by its own name, without ``__init__``."""
        parts = self.path.with_suffix("").parts
        if parts[0] == "src":
            parts = parts[1:]
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    @property
    def is_package(self) -> bool:
        return self.path.name == "__init__.py"

    @property
    def lines(self) -> int:
        return len(self.text.splitlines())

    def at(self, node: ast.AST, message: str) -> str:
        return f"{self.path}:{getattr(node, 'lineno', 1)} {message}"


@dataclass(frozen=True)
class Located:
    """A function with its dotted name inside its module and the class that holds it, if any."""

    name: str
    node: Function
    owner: ast.ClassDef | None

    @property
    def length(self) -> int:
        return (self.node.end_lineno or self.node.lineno) - self.node.lineno + 1


Rule = Callable[[Source], Iterable[str]]


def functions(tree: ast.AST) -> Iterator[Located]:
    def inside(node: ast.AST, prefix: str, owner: ast.ClassDef | None) -> Iterator[Located]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                continue  # No function is defined inside an expression.
            if isinstance(child, FUNCTION):
                yield Located(prefix + child.name, child, owner)
                yield from inside(child, f"{prefix}{child.name}.", None)
            elif isinstance(child, ast.ClassDef):
                yield from inside(child, f"{prefix}{child.name}.", child)
            else:
                yield from inside(child, prefix, owner)

    return inside(tree, "", None)


def dotted(node: ast.AST) -> str:
    """``a.b.c`` of a chain of attributes; empty where the chain starts with something else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        head = dotted(node.value)
        return f"{head}.{node.attr}" if head else ""
    return ""


def last_name(node: ast.AST) -> str:
    """``c`` of ``a.b.c``, of ``a.b.c[x]`` and of ``f().c``."""
    if isinstance(node, ast.Subscript):
        return last_name(node.value)
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


@cache
def everything() -> tuple[Source, ...]:
    """All Python of the checkout, dev.py included."""
    paths = [path for folder in PYTHON_FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
    if (ROOT / "dev.py").exists():
        paths.append(ROOT / "dev.py")
    # Of these millions of objects none is garbage, and looking for it takes half of the time.
    gc.disable()
    try:
        return tuple(
            Source.of(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8"))
            for path in paths
        )
    finally:
        gc.freeze()
        gc.enable()


@cache
def product() -> tuple[Source, ...]:
    """The package itself: src/agentcore."""
    return tuple(source for source in everything() if source.path.parts[0] == "src")


@cache
def tests() -> tuple[Source, ...]:
    return tuple(source for source in everything() if source.path.parts[0] == "tests")


def found(rule: Rule, sources: Iterable[Source]) -> list[str]:
    return [finding for source in sources for finding in rule(source)]


def expect_none(findings: Iterable[str]) -> None:
    """Fail with one finding per line."""
    if listed := list(findings):
        pytest.fail("\n".join(listed), pytrace=False)
