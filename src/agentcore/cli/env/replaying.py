"""``agentcore env replay`` and ``env export``: what was recorded, once more or for a trainer."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agentcore.cli.env.running import INTERRUPTED, Token
from agentcore.cli.foreign import shown

if TYPE_CHECKING:
    from agentcore.training.recording import Recording, RecordingHeader
    from agentcore.training.replaying import ReplayedEpisode

File = Annotated[Path, typer.Argument(metavar="FILE", help="A recording (env run --record).")]


def replay(
    file: File,
    url: Annotated[
        str,
        typer.Option(
            metavar="URL|NAME",
            help="The environment to replay against; default: the bundled one of the recording.",
        ),
    ] = "",
    ignore: Annotated[
        list[str] | None,
        typer.Option(help="JSON pointer of what never repeats, e.g. /observation/now."),
    ] = None,
    step_seconds: Annotated[float, typer.Option(min=0.001, help="Seconds one step may take.")] = 30,
    token: Token = "",
) -> None:
    """Repeat recorded actions, report the first divergence: exit 0 if all is the same, else 1."""
    from agentcore.cli.serving import loop_factory
    from agentcore.training.recording import read_recording

    recording = read_recording(file)
    where = url or _bundled(recording.header)
    found: list[ReplayedEpisode] = []
    try:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(_replay(recording, where, (token, step_seconds), ignore or [], found))
    except KeyboardInterrupt:
        _show(recording, found)
        raise typer.Exit(INTERRUPTED) from None
    _show(recording, found)
    if not found:
        typer.echo("the recording holds no episode: nothing was repeated", err=True)
    same = bool(found) and all(each.verdict == "same" for each in found)
    raise typer.Exit(0 if same else 1)


def export(
    file: File,
    form: Annotated[
        str, typer.Option("--format", help="trl-messages, trl-steps or verifiers.")
    ] = "trl-steps",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Default: the output.")
    ] = None,
) -> None:
    """Write recorded episodes as JSON lines in the columns of an RL trainer."""
    import sys

    from agentcore.kit.errors import InvalidInput
    from agentcore.training.exporting import export_lines, export_rows
    from agentcore.training.recording import read_recording

    lines = export_lines(export_rows(read_recording(file), form))
    if output is None:
        for line in lines:
            sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()
        return
    try:
        with output.open("wb") as written:
            count = sum(1 for line in lines if written.write(line))
    except OSError as exc:
        raise InvalidInput(f"cannot write {output}: {exc.strerror}") from exc
    typer.echo(f"{count} rows: {output}", err=True)


def _bundled(header: RecordingHeader) -> str:
    """The bundled environment that a recording names.

    A recording is shared data: whoever wrote it must not choose which code is imported here, or
    which server is contacted (with the caller's token).

    Raises:
        InvalidInput: it names something else, which only the caller may do.
    """
    from agentcore.kit.errors import InvalidInput
    from agentcore.training.openenv.environments.catalog import BUNDLED

    if not header.url and header.environment in BUNDLED:
        return header.environment
    made = f"at {header.url!r}" if header.url else f"with {header.environment!r}"
    raise InvalidInput(
        f"the recording was made {shown(made)}, which is not used unasked",
        hint="if you trust it, name the environment to replay against: --url URL|NAME",
    )


async def _replay(
    recording: Recording,
    where: str,
    access: tuple[str, float],
    ignoring: list[str],
    found: list[ReplayedEpisode],
) -> None:
    from agentcore.cli.env.targets import opened
    from agentcore.training.recording import schema_hash
    from agentcore.training.replaying import replay as play_again

    async with opened(where, *access) as target:
        header = recording.header
        if header.version != target.info.version:
            told = f"recorded with version {header.version or '?'}, this is {target.info.version}"
            typer.echo(shown(told), err=True)
        if header.schema_sha256 and header.schema_sha256 != schema_hash(target.info):
            typer.echo("the environment's schemas have changed since the recording", err=True)
        session = target.sessions(0)
        try:
            await play_again(recording.episodes, session, ignoring=ignoring, progress=found.append)
        finally:
            await session.close()


def _show(recording: Recording, found: list[ReplayedEpisode]) -> None:
    if not recording.complete:
        typer.echo("the recording is cut off; its complete steps were taken", err=True)
    for each in found:
        label = f"episode {each.index} (seed {each.seed})"
        if each.divergence is not None:
            gap = each.divergence
            typer.echo(
                f"{label}: diverged at step {gap.step}, {shown(gap.path)}: "
                f"recorded {_json(gap.recorded)}, found {_json(gap.found)}"
            )
        elif each.verdict == "failed":
            typer.echo(f"{label}: failed after {each.steps} steps: {shown(each.error)}")
    same = sum(each.verdict == "same" for each in found)
    steps = sum(each.steps for each in found)
    typer.echo(f"{same} of {len(recording.episodes)} episodes the same, {steps} steps repeated")


def _json(value: object) -> str:
    from agentcore.kit.jsonvalue import dumps

    return shown(dumps(value).decode(), most=200)
