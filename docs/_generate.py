"""Writes the pages of docs/reference that code knows best: ``python docs/_generate.py``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from agentcore.settings import ALIASES, PREFIX, Settings
from agentcore.training.openenv.conformance.suite import CHECKS

REFERENCE = Path(__file__).parent / "reference"
PAGE = REFERENCE / "settings.md"
CHECKS_PAGE = REFERENCE / "conformance.md"
CHECKS_HEAD = """\
# Conformance checks

What [`agentcore env validate`](../how-to/validate-a-server.md) asks of an OpenEnv server, in the
order in which it does. What breaks a *must* fails; what breaks a *should* is a warning; an *extra*
is AgentCore's own, fails when broken, and is skipped where the server does not offer it.

| id | asks that | part of the protocol | severity |
|---|---|---|---|
"""
CHECKS_FOOT = """
This page is generated: `python3 dev.py run python docs/_generate.py`.
"""
HEAD = """\
# Settings

Each setting is a key of `agentcore.toml` (named by `--config FILE` or `AGENTCORE_CONFIG`, else
looked for in the working directory) and an environment variable, which wins. Lists and tables
are JSON in a variable. A secret may be a reference: `env:NAME` or `file:PATH`. A name that is
not on this page is an error at start.

This page is generated: `python3 dev.py run python docs/_generate.py`.
"""
BOUNDS = {"ge": "≥ {}", "gt": "> {}", "le": "≤ {}", "lt": "< {}"}
KINDS = {
    "bool": "true or false",
    "int": "integer",
    "float": "number",
    "str": "text",
    "SecretStr": "secret",
    "Path": "path",
    "Decimal": "decimal",
    "AnyHttpUrl": "URL",
    "HttpUrl": "URL",
}


@dataclass(frozen=True)
class Setting:
    """``key`` is dotted and starts at the root; ``variables`` is empty inside lists of tables."""

    key: str
    variables: tuple[str, ...]
    kind: str
    default: str
    description: str

    @property
    def row(self) -> str:
        names = "<br>".join(f"`{name}`" for name in self.variables)
        name = f"`{self.key.rpartition('.')[2]}`" + (f"<br>{names}" if names else "")
        cells = (name, self.kind, self.default, self.description)
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


@dataclass(frozen=True)
class Section:
    """One TOML table: ``[key]``, or ``[[key]]`` where it repeats."""

    title: str
    settings: tuple[Setting, ...]

    def __str__(self) -> str:
        head = "| setting | type | default | meaning |\n|---|---|---|---|"
        rows = "\n".join(setting.row for setting in self.settings)
        return f"## {self.title}\n\n{head}\n{rows}\n"


def sections(root: type[BaseModel], variables: Mapping[str, tuple[str, ...]]) -> Iterator[Section]:
    """``variables`` gives each dotted key of the root the environment variables that set it."""
    return _sections(root, "", "At the top", variables)


def _sections(
    model: type[BaseModel], key: str, title: str, variables: Mapping[str, tuple[str, ...]]
) -> Iterator[Section]:
    plain: list[Setting] = []
    nested: list[tuple[type[BaseModel], str, str]] = []
    for name, field in model.model_fields.items():
        dotted = f"{key}.{name}" if key else name
        inner, form = _tables(field.annotation)
        if inner is not None:
            nested.append((inner, dotted, form.format(dotted)))
        if inner is None or form != "`[{}]`":
            known = variables.get(dotted, ())
            plain.append(
                Setting(dotted, known, _kind(field), _default(field), field.description or "")
            )
    if plain:
        yield Section(title, tuple(plain))
    for inner, dotted, heading in nested:
        yield from _sections(inner, dotted, heading, variables)


def _tables(annotation: Any) -> tuple[type[BaseModel] | None, str]:
    """The model of the tables that a field holds, and how their headings are written in TOML."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, "`[{}]`"
    origin = get_origin(annotation)
    if origin is None or origin is Literal:
        return None, ""
    for argument in get_args(annotation):
        inner, _ = _tables(argument)
        if inner is not None:
            union = origin in {Union, UnionType}
            mapping = "`[{}.NAME]`" if issubclass(_class(origin), dict) else "`[[{}]]`"
            return inner, "`[{}]`" if union else mapping
    return None, ""


def _class(origin: Any) -> type:
    return origin if isinstance(origin, type) else object


def _kind(field: FieldInfo) -> str:
    bounds = [
        text.format(getattr(limit, name))
        for limit in field.metadata
        for name, text in BOUNDS.items()
        if getattr(limit, name, None) is not None
    ]
    return ", ".join([_name(field.annotation), *bounds])


def _name(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _name(arguments[0])
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin in {Union, UnionType}:
        names = [_name(part) for part in arguments if part is not NoneType]
        return " or ".join(names) + (", optional" if NoneType in arguments else "")
    if origin is not None:
        if issubclass(_class(origin), dict):
            return f"table of {_name(arguments[-1])}"
        return f"list of {_name(arguments[0])}" if arguments else "list"
    name = getattr(annotation, "__name__", str(annotation))
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "table"
    return KINDS.get(name, name)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, SecretStr):
        return "hidden" if value.get_secret_value() else "–"
    if isinstance(value, Path):
        return "the platform's data directory" if value.is_absolute() else f"`{value}`"
    if value is None or value == "" or value in ((), [], {}):
        return "–"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(
            f"`{item}`" for item in (value if isinstance(value, list | tuple) else sorted(value))
        )
    return f"`{value}`"


def page(root: type[BaseModel], variables: Mapping[str, tuple[str, ...]]) -> str:
    return HEAD + "\n" + "\n".join(str(section) for section in sections(root, variables))


def keys(model: type[BaseModel], key: str = "") -> Iterator[str]:
    """Every dotted key that one environment variable can set."""
    for name, field in model.model_fields.items():
        dotted = f"{key}.{name}" if key else name
        inner, form = _tables(field.annotation)
        if inner is not None and form == "`[{}]`":
            yield from keys(inner, dotted)
        else:
            yield dotted


def variables_of(root: type[BaseModel]) -> dict[str, tuple[str, ...]]:
    short = {".".join(steps): name for name, steps in ALIASES.items()}
    found: dict[str, tuple[str, ...]] = {}
    for dotted in keys(root):
        full = PREFIX + dotted.upper().replace(".", "__")
        last = dotted.rpartition(".")[2]
        seed = (last.upper(),) if dotted.startswith("ace.ace_") else ()
        found[dotted] = tuple(dict.fromkeys([*filter(None, [short.get(dotted)]), full, *seed]))
    return found


def settings_page() -> str:
    return page(Settings, variables_of(Settings))


def checks_page() -> str:
    rows = (
        f"| `{check.id}` | {check.title} | {check.section} | {check.severity} |\n"
        for check in CHECKS
    )
    return CHECKS_HEAD + "".join(rows) + CHECKS_FOOT


if __name__ == "__main__":
    REFERENCE.mkdir(exist_ok=True)
    for path, text in ((PAGE, settings_page()), (CHECKS_PAGE, checks_page())):
        path.write_text(text, encoding="utf-8")
        print(f"wrote {path}")
