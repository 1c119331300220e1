"""From what a user types to an environment: a bundled name, or ``where:Class``."""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import sys
from pathlib import Path

from agentcore.kit.errors import StartupError, said_by
from agentcore.training.openenv.environments.base import FAULTS, AnyEnvironment, Environment
from agentcore.training.openenv.environments.catalog import BUNDLED, EnvironmentFactory

FORMS = "a bundled name, package.module:Class, or path/to/dir:Class"


def load_environment(reference: str) -> tuple[str, EnvironmentFactory]:
    """The environment's name and what makes it; the module of ``where:Class`` is imported.

    ``where`` is an importable module, a Python file, or a directory with a file (or the package's
    ``__init__``) that defines the class.

    Raises:
        StartupError: there is none, it cannot be imported, or it is no environment.
    """
    where, colon, name = reference.rpartition(":")
    if not colon:
        if reference in BUNDLED:
            return reference, BUNDLED[reference]
        raise StartupError(
            f"there is no environment {reference!r}",
            hint=f"bundled are {', '.join(sorted(BUNDLED))}; else give package.module:Class "
            "or path/to/dir:Class",
        )
    if not where or not name.isidentifier():
        raise StartupError(f"{reference!r} names no environment", hint=f"give {FORMS}")
    return _own_name(_class_of(_module(where, name), name, reference))


def _module(where: str, name: str) -> str:
    """The module to import; where it lies is put on the import path."""
    path = Path(where)
    if path.is_dir():
        path = _file_with(path, name)
    elif path.suffix != ".py" and (where.startswith(".") or "/" in where or os.sep in where):
        raise StartupError(f"there is no directory or Python file {where}", hint=f"give {FORMS}")
    elif path.suffix != ".py":
        # As python -m does: modules beside the caller are found as well.
        _importable(Path.cwd())
        return where
    elif not path.is_file():
        raise StartupError(f"there is no file {where}", hint=f"give {FORMS}")
    path = path.resolve()
    parts = [] if path.name == "__init__.py" else [path.stem]
    folder = path.parent
    while (folder / "__init__.py").is_file():
        parts.insert(0, folder.name)
        folder = folder.parent
    _importable(folder)
    return ".".join(parts)


def _importable(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def _file_with(folder: Path, name: str) -> Path:
    found = [path for path in sorted(folder.glob("*.py")) if _defines(path, name)]
    if len(found) == 1:
        return found[0]
    files = f"{len(found)} files define" if found else "no file defines"
    raise StartupError(
        f"{files} the class {name} in {folder}",
        hint=f"name the file: {folder}/environment.py:Class",
    )


def _defines(path: Path, name: str) -> bool:
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return False
    return any(isinstance(node, ast.ClassDef) and node.name == name for node in tree.body)


def _class_of(module: str, name: str, reference: str) -> type[AnyEnvironment]:
    try:
        found = getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as exc:
        raise StartupError(f"{reference}: {exc}", hint=f"give {FORMS}") from exc
    except AttributeError as exc:
        raise StartupError(f"{module} has no class {name}", hint=f"give {FORMS}") from exc
    except FAULTS as exc:
        raise StartupError(
            f"{module} cannot be imported: {said_by(exc)}",
            hint="it has to be importable on its own: python -c 'import ...'",
        ) from exc
    if not (inspect.isclass(found) and issubclass(found, Environment)):
        raise StartupError(
            f"{reference} is not an environment",
            hint="derive it from agentcore.training.openenv.environments.base.Environment",
        )
    return found


def _own_name(found: type[AnyEnvironment]) -> tuple[str, EnvironmentFactory]:
    if inspect.isabstract(found):
        missing = ", ".join(sorted(found.__abstractmethods__))
        raise StartupError(f"{found.__name__} is not complete", hint=f"it lacks {missing}")
    name = getattr(found, "name", "")
    if not isinstance(name, str) or not name:
        raise StartupError(f"{found.__name__} has no name", hint="set the class attribute `name`")
    return name, found
