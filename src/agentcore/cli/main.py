"""The ``agentcore`` command: how it is called and how it ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import typer

from agentcore.cli.foreign import shown


def run(arguments: Sequence[str]) -> int:
    """The exit code: 0 done, 1 refused, 2 wrong usage or configuration, 130 interrupted."""
    from agentcore.kit.errors import AgentCoreError, StartupError

    try:
        _command(serving=arguments[:1] == ["serve"])(list(arguments))
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else 0
    except AgentCoreError as error:
        hint = f"\n  hint: {shown(error.hint)}" if error.hint else ""
        typer.echo(f"agentcore: {shown(error.detail)}{hint}", err=True)
        return 2 if isinstance(error, StartupError) else 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return 0
    except OSError as error:
        _forget_output()
        where = f"{error.filename}: " if error.filename else ""
        typer.echo(f"agentcore: {shown(f'{where}{error.strerror or error}')}", err=True)
        return 1
    return 0


@cache
def _command(*, serving: bool) -> Callable[[list[str]], object]:
    """Made once: reading the signatures of all commands takes longer than most of them."""
    if serving:
        from agentcore.cli.starting import app
    else:
        from agentcore.cli.commands import app
    return typer.main.get_command(app)


def _forget_output() -> None:
    """What a full disk did not take stays buffered, and would fail again when Python ends."""
    import os
    import sys

    try:
        sys.stdout.flush()
    except OSError:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
