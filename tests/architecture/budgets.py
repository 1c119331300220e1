"""Sizes: what fits on a screen, and how much of the tree may escape the type checker."""

from __future__ import annotations

import ast
import statistics
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from tests.architecture.source import Located, Source, product

FILE_CAP = 500
FUNCTION_CAP = 60
LONG_FUNCTION = 50
LONG_FUNCTION_SHARE = 0.04
ANY_PER_1000_LINES = 4.0
INIT_NAMES = 8


def long_files(source: Source) -> Iterator[str]:
    if source.lines > FILE_CAP:
        yield f"{source.path} has {source.lines} lines, the cap is {FILE_CAP}"


def long_functions(source: Source) -> Iterator[str]:
    for function in source.functions:
        if function.length > FUNCTION_CAP:
            message = f"{function.name} has {function.length} lines, the cap is {FUNCTION_CAP}"
            yield source.at(function.node, message)


def unannotated(source: Source) -> Iterator[str]:
    for function in source.functions:
        missing = [argument.arg for argument in _parameters(function) if not argument.annotation]
        if not function.node.returns:
            missing.append("return")
        if missing:
            yield source.at(function.node, f"{function.name} does not annotate {missing}")


def _parameters(function: Located) -> list[ast.arg]:
    arguments = function.node.args
    positional = [*arguments.posonlyargs, *arguments.args]
    decorators = {ast.unparse(decorator) for decorator in function.node.decorator_list}
    if function.owner is not None and "staticmethod" not in decorators:
        positional = positional[1:]
    variadic = [part for part in (arguments.vararg, arguments.kwarg) if part is not None]
    return [*positional, *arguments.kwonlyargs, *variadic]


def anys(source: Source) -> int:
    """How often the file says ``Any``, its import apart."""
    return sum(
        (isinstance(node, ast.Name) and node.id == "Any")
        or (isinstance(node, ast.Attribute) and node.attr == "Any")
        or (isinstance(node, ast.Constant) and node.value == "Any")
        for node in source.nodes
    )


def any_density(sources: Sequence[Source]) -> float:
    return 1000 * sum(map(anys, sources)) / max(1, sum(source.lines for source in sources))


def init_names(source: Source) -> Iterator[str]:
    """A package's ``__init__`` may re-export a few names; behaviour lives in modules."""
    if not source.is_package:
        return
    names = bound_names(source.tree.body)
    if len(names) > INIT_NAMES:
        yield f"{source.path} binds {len(names)} names, the cap is {INIT_NAMES}: {sorted(names)}"


def bound_names(body: Iterable[ast.stmt]) -> set[str]:
    """Names that statements bind at this level; dunder names and ``annotations`` apart."""
    names: set[str] = set()
    for node in body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            names |= {item.asname or item.name.partition(".")[0] for item in node.names}
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {
                part.id
                for target in targets
                for part in ast.walk(target)
                if isinstance(part, ast.Name)
            }
        elif isinstance(node, ast.If | ast.Try):
            names |= bound_names([*node.body, *node.orelse])
    return {name for name in names if not name.startswith("__") and name != "annotations"}


@dataclass(frozen=True)
class Figures:
    """The aims of the tree, which no test enforces: ``python -m tests.architecture.budgets``."""

    files: Sequence[int]
    lengths: Sequence[int]
    any_per_1000: float

    @classmethod
    def of(cls, sources: Sequence[Source]) -> Figures:
        lengths = [each.length for source in sources for each in source.functions]
        return cls([source.lines for source in sources], lengths, any_density(sources))

    @property
    def long_share(self) -> float:
        long = sum(length > LONG_FUNCTION for length in self.lengths)
        return long / max(1, len(self.lengths))

    def __str__(self) -> str:
        return "\n".join(
            [
                _row("lines per file", self.files, "median 120, p90 350, cap 500"),
                _row("lines per function", self.lengths, "median 8, p90 30, cap 60"),
                f"{'functions over 50 lines':26}{self.long_share:8.1%}    aim 2 %, cap 4 %",
                f"{'Any per 1000 lines':26}{self.any_per_1000:8.2f}    aim 2, cap 4",
            ]
        )


def _row(name: str, values: Sequence[int], aim: str) -> str:
    if len(values) < 2:
        return f"{name:26}too few"
    median, p90 = statistics.median(values), statistics.quantiles(values, n=10)[-1]
    return f"{name:26}median {median:.0f}, p90 {p90:.0f}, most {max(values)}    aim {aim}"


if __name__ == "__main__":
    sys.stdout.write(f"{Figures.of(product())}\n")
