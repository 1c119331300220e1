"""The start of an environment of one's own."""

from __future__ import annotations

import importlib.util
import keyword
import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from shlex import quote
from string import Template
from typing import Annotated

import typer

from agentcore.kit.errors import StartupError

NAME = re.compile(r"(?=.{1,40}$)[a-z][a-z0-9]*(_[a-z0-9]+)*")
SUFFIX = ".tmpl"


def new(
    name: Annotated[str, typer.Argument(help="Of the environment and its package: lower_case.")],
    into: Annotated[
        Path, typer.Option(help="The directory in which the package is made.")
    ] = Path(),
) -> None:
    """Write a package with an environment, its tests and what it takes to deploy it."""
    package = scaffold(name, into)
    print(f"wrote {package}")
    reference = quote(f"{package}:{class_name(name)}")
    print(f"serve it:  agentcore env serve {reference} --no-auth")
    print(f"check it:  agentcore env validate {reference}")
    print(f"test it:   python -m pytest {quote(str(package))}")


def scaffold(name: str, into: Path) -> Path:
    """The new package; ``into`` is made if it is missing.

    Raises:
        StartupError: the name cannot be a package's, the target exists, or cannot be written.
    """
    package = into / name
    _check(name, package)
    texts = rendered(name)
    try:
        package.mkdir(parents=True)
        for path, text in texts.items():
            (package / path).write_text(text, encoding="utf-8")
    except OSError as exc:
        raise StartupError(f"cannot write {package}: {exc.strerror}", hint="see --into") from exc
    return package


def rendered(name: str) -> Mapping[str, str]:
    """The files of the package, by name."""
    words = {
        "name": name,
        "class_name": class_name(name),
        "title": name.replace("_", " ").capitalize(),
    }
    templates = files("agentcore.cli.env") / "scaffold"
    return {
        template.name.removesuffix(SUFFIX): Template(template.read_text("utf-8")).substitute(words)
        for template in sorted(templates.iterdir(), key=lambda each: each.name)
        if template.name.endswith(SUFFIX)
    }


def class_name(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_")) + "Env"


def _check(name: str, package: Path) -> None:
    if not NAME.fullmatch(name) or keyword.iskeyword(name):
        raise StartupError(
            f"{name!r} cannot be the name of a package",
            hint="at most 40 lower-case letters and digits, words joined by _: light_switch",
        )
    if package.exists() or package.is_symlink():
        raise StartupError(f"{package} exists", hint="choose another name or directory")
    if importlib.util.find_spec(name) is not None:
        raise StartupError(
            f"{name!r} is already the name of a module here",
            hint="a package of that name would hide it: choose another",
        )
