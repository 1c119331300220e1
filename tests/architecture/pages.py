"""Pages: the commands they show exist, and decisions are short and name what enforces them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click

SHELLS = r"(?:console|bash|sh|shell)"
FENCE = re.compile(
    rf"^(?P<indent> *)```{SHELLS}\b[^\n]*\n(?P<body>.*?)^(?P=indent)```", re.MULTILINE | re.DOTALL
)
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


def unknown_dev_command(words: list[str], known: set[str]) -> str:
    """What is wrong with ``python3 dev.py ...``; empty where nothing is."""
    command = words[2] if len(words) > 2 else ""
    return "" if command in known else f"dev.py has no command {command!r}"


def unknown_cli_command(words: list[str], root: click.Command) -> str:
    """What is wrong with ``agentcore ...``; values are not judged, names are."""
    command, rest = root, words[1:]
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        child = command.commands.get(rest[0])
        if child is None:
            return f"{command.name} has no command {rest[0]!r}"
        command, rest = child, rest[1:]
    if isinstance(command, click.Group) and not rest:
        return f"{command.name} needs a command"
    known = {
        name
        for parameter in command.params
        for name in (*parameter.opts, *parameter.secondary_opts)
    }
    for word in rest:
        name = word.partition("=")[0]
        if name.startswith("--") and name not in known | {"--help"}:
            return f"{' '.join(words)}: no option {name}"
    return ""


def judge(words: list[str], dev_commands: set[str], root: click.Command) -> str:
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
