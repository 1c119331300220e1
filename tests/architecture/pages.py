"""Pages: the commands they show exist, and decisions are short and name what enforces them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import typer

SHELLS = r"(?:console|bash|sh|shell)"
FENCE = re.compile(
    rf"^(?P<indent> *)```{SHELLS}\b[^\n]*\n(?P<body>.*?)^(?P=indent)```", re.MULTILINE | re.DOTALL
)
LINK = re.compile(r"\]\((?!\w+:)(?P<target>[^)\s]+)\)")
HEADING = re.compile(r"^#+ +(?P<text>.+?) *$", re.MULTILINE)
SEPARATORS = frozenset({"|", "||", "&&", "&", ";", ">", ">>", "<", "2>", "2>&1"})
ADR_WORDS = 250


def command_lines(markdown: str) -> Iterator[list[str]]:
    """The words of each command in a shell block; in ``console`` blocks only lines with a ``$``."""
    for block in FENCE.finditer(markdown):
        body = block.group("body").replace("\\\n", " ")
        prompted = re.search(r"^\s*\$ ", body, re.MULTILINE) is not None
        for line in body.splitlines():
            text = line.strip()
            if prompted and not text.startswith("$ "):
                continue
            yield from _commands(text.removeprefix("$ "))


def _commands(line: str) -> Iterator[list[str]]:
    words: list[str] = []
    for word in [*shlex.split(line, comments=True), ";"]:
        if word in SEPARATORS or word.endswith(";"):
            words += [word.rstrip(";")] if word.rstrip(";") and word not in SEPARATORS else []
            if words:
                yield words
            words = []
        elif words or not re.match(r"\w+=", word):
            words.append(word)


def dead_links(page: Path, markdown: str) -> Iterator[str]:
    """Relative links of a page whose file, or heading in it, is not there."""
    for link in LINK.finditer(markdown):
        name, _, anchor = link["target"].partition("#")
        target = page.parent / name if name else page
        if not target.exists():
            yield f"{page.name}: {link['target']}: no such file"
        elif anchor and anchor not in _anchors(target.read_text(encoding="utf-8")):
            yield f"{page.name}: {link['target']}: no such heading"


def _anchors(markdown: str) -> set[str]:
    plain = (re.sub(r"[^\w\- ]", "", found["text"].lower()) for found in HEADING.finditer(markdown))
    return {text.replace(" ", "-") for text in plain}


def unknown_dev_command(words: list[str], known: set[str]) -> str:
    """What is wrong with ``python3 dev.py ...``; empty where nothing is."""
    command = words[2] if len(words) > 2 else ""
    return "" if command in known else f"dev.py has no command {command!r}"


@dataclass(frozen=True)
class Cli:
    """A command's options and, where it is a group, its subcommands."""

    options: frozenset[str]
    commands: Mapping[str, Cli] = field(default_factory=dict)

    @classmethod
    def of(cls, app: typer.Typer) -> Cli:
        return cls._of(typer.main.get_command(app))

    @classmethod
    def _of(cls, command: object) -> Cli:
        parameters = getattr(command, "params", ())
        names = [(*each.opts, *each.secondary_opts) for each in parameters]
        options = frozenset(name for group in names for name in group) | {"--help"}
        below: Mapping[str, object] = getattr(command, "commands", {})
        return cls(options, {name: cls._of(child) for name, child in below.items()})


def unknown_cli_command(words: list[str], root: Cli) -> str:
    """What is wrong with ``agentcore ...``; values are not judged, names are."""
    command, rest = root, words[1:]
    while command.commands and rest and not rest[0].startswith("-"):
        if rest[0] not in command.commands:
            return f"{' '.join(words)}: no command {rest[0]!r}"
        command, rest = command.commands[rest[0]], rest[1:]
    if command.commands and not rest:
        return f"{' '.join(words)}: needs a command"
    for word in rest:
        name = word.partition("=")[0]
        if name.startswith("--") and name not in command.options:
            return f"{' '.join(words)}: no option {name}"
    return ""


def judge(words: list[str], dev_commands: set[str], root: Cli) -> str:
    if words[:2] == ["python3", "dev.py"]:
        if words[2:4] == ["run", "agentcore"]:
            return unknown_cli_command(words[3:], root)
        return unknown_dev_command(words, dev_commands)
    return unknown_cli_command(words, root) if words[0] == "agentcore" else ""


def weak_decision(path: Path, text: str) -> Iterator[str]:
    """An ADR has at most 250 words and says what enforces it."""
    words = len(text.split())
    if words > ADR_WORDS:
        yield f"{path.name} has {words} words, the cap is {ADR_WORDS}"
    if "enforced by" not in text.lower():
        yield f"{path.name} does not say what it is enforced by"
