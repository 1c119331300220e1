"""The tree: every module has its tests, every package its surface, no file a foreign trace."""

from __future__ import annotations

import ast
import importlib
import re
import shutil
import subprocess
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import packages_distributions
from pathlib import Path, PurePosixPath

from devtools.commands import LEFT_BEHIND
from tests.architecture.budgets import bound_names
from tests.architecture.habits import imported_modules
from tests.architecture.source import ROOT, Source, last_name

# Modules that one rule of tests/architecture tests as a whole: the error tree.
COVERED_HERE = frozenset({"errors"})
# Sources of text that no machine and no session should have left behind. The classes keep these
# patterns from finding themselves.
TRACES = {
    "a path of one machine": re.compile(
        r"(?<![\w.$}])/(?:work|Users|home|root)[/]+(?!user\b)[\w.-]"
    ),
    "a build host": re.compile(r"\bfar[m]-[a-z0-9]"),
    "a registry address": re.compile(r"--(?:extra-)?index-ur[l]|--find-link[s]"),
    "a private key": re.compile(r"-----BEGI[N] [A-Z ]*PRIVATE KEY"),
    "a credential": re.compile(
        r"\b(?:sk-(?:ant-|proj-)?[A-Za-z0-9]{24,}|gh[pousr]_[A-Za-z0-9]{30,}|AKIA[A-Z0-9]{16})\b"
    ),
    "a conflict marker": re.compile(r"^(?:<{7}|>{7}) ", re.MULTILINE),
    "a promise to do it later": re.compile(
        r"\b(?:TOD[O]|FIXM[E]|XX[X])\b|\bcoming soo[n]\b|\blorem ipsu[m]\b", re.IGNORECASE
    ),
}
BINARY = frozenset({".png", ".gif", ".jpg", ".ico", ".woff2", ".whl", ".gz"})
# Needed at run time without an import of ours: drivers that SQLAlchemy or uvicorn load by name.
LOADED_BY_NAME = frozenset({"asyncpg", "httptools", "uvloop"})


def only_declares(source: Source) -> bool:
    """Protocols, plain dataclasses, type aliases and constants: nothing in it can run wrong."""
    for node in source.tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.For | ast.While):
            return False
        if isinstance(node, ast.ClassDef) and not (_is_protocol(node) or _is_record(node)):
            return False
    return True


def _is_protocol(node: ast.ClassDef) -> bool:
    return "Protocol" in {last_name(base) for base in node.bases}


def _is_record(node: ast.ClassDef) -> bool:
    """A dataclass that derives from nothing and has no methods."""
    decorators = {
        last_name(each.func if isinstance(each, ast.Call) else each) for each in node.decorator_list
    }
    methods = any(isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef) for item in node.body)
    return "dataclass" in decorators and not node.bases and not methods


def untested(sources: Sequence[Source], tests: Iterable[PurePosixPath]) -> list[str]:
    """Modules without ``test_*<module>*.py``; a name used twice also needs its package's name."""
    names = Counter(source.module.rpartition(".")[2] for source in sources)
    files = list(tests)
    return [
        f"{source.path} has no tests/**/test_*{stem}*.py"
        for source in sources
        if not source.is_package
        and (stem := source.module.rpartition(".")[2].strip("_")) not in COVERED_HERE
        and not only_declares(source)
        and not any(_covers(path, source, stem, names) for path in files)
    ]


def _covers(path: PurePosixPath, source: Source, stem: str, names: Mapping[str, int]) -> bool:
    if not (path.name.startswith("test_") and stem in path.stem):
        return False
    packages = source.module.split(".")[1:-1]
    return names[stem] < 2 or not packages or any(package in str(path) for package in packages)


def surface(source: Source) -> Iterator[str]:
    """What a package's ``__init__`` binds in public is what ``__all__`` lists."""
    if not source.is_package:
        return
    listed = next((names for node in source.tree.body if (names := _all(node)) is not None), None)
    public = {name for name in bound_names(source.tree.body) if not name.startswith("_")}
    lazy = "__getattr__" in {getattr(node, "name", "") for node in source.tree.body}
    if public and listed is None:
        yield f"{source.path} binds {sorted(public)} and has no __all__"
    if listed is not None and not lazy and (extra := set(listed) ^ public):
        yield f"{source.path}: __all__ and the names it binds differ in {sorted(extra)}"


def _all(node: ast.stmt) -> list[str] | None:
    if isinstance(node, ast.Assign) and any(
        isinstance(target, ast.Name) and target.id == "__all__" for target in node.targets
    ):
        return [str(name) for name in ast.literal_eval(node.value)]
    return None


def traces(path: PurePosixPath, text: str) -> Iterator[str]:
    for what, pattern in TRACES.items():
        for match in pattern.finditer(text):
            yield f"{path}:{text.count(chr(10), 0, match.start()) + 1} holds {what}"


def kept_files() -> list[Path]:
    """What the repository holds; in an unpacked archive, everything but caches."""
    git = shutil.which("git")
    listed = ""
    if git is not None:
        listed = subprocess.run(
            [git, "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
        ).stdout
    if listed:
        names = listed.split("\0")
    else:
        skipped = (*LEFT_BEHIND, ".git", "__pycache__")
        names = [
            path.relative_to(ROOT).as_posix()
            for path in ROOT.rglob("*")
            if not any(part.startswith(skipped) for part in path.parts)
        ]
    paths = [ROOT / name for name in names if name]
    return [path for path in paths if path.is_file() and path.suffix not in BINARY]


def third_party(sources: Iterable[Source]) -> set[str]:
    """Top-level names that are imported, of whatever origin."""
    return {name.partition(".")[0] for source in sources for _, name in imported_modules(source)}


def unused_dependencies(
    requirements: Iterable[str], imported: set[str], provided: Mapping[str, Sequence[str]]
) -> list[str]:
    """Requirements of which nothing is imported; ``provided`` maps import names to projects."""
    modules: dict[str, set[str]] = {}
    for module, projects in provided.items():
        for project in projects:
            modules.setdefault(_normal(project), set()).add(module)
    names = {_normal(re.split(r"[\[<>=!~; ]", requirement)[0]) for requirement in requirements}
    return sorted(
        name
        for name in names - LOADED_BY_NAME
        if not (modules.get(name, {name.replace("-", "_")}) & imported)
    )


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def project_requirements() -> list[str]:
    table = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return list(table["project"]["dependencies"])


def provided_modules() -> Mapping[str, Sequence[str]]:
    return packages_distributions()


def lame(name: str, departure: Mapping[str, str]) -> Iterator[str]:
    """What is wrong with one table of docs/adr/promises.toml."""
    if set(departure) != {"instead", "adr"}:
        yield f"{name} needs exactly `instead` and `adr`"
        return
    if not (ROOT / departure["adr"]).is_file():
        yield f"{name} names an absent page: {departure['adr']}"
    place = re.fullmatch(r"([a-z_][\w.]*):([A-Za-z_][\w.]*)", departure["instead"])
    if place and not _exists(*place.groups()):
        yield f"{name} points to nothing: {departure['instead']}"


def _exists(module: str, dotted: str) -> bool:
    try:
        found: object = importlib.import_module(module)
    except ModuleNotFoundError:
        return False
    for part in dotted.split("."):
        found = getattr(found, part, None)
    return found is not None
