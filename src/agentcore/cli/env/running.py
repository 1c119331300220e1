"""``agentcore env run`` and ``env bench``: play, watch, and say how good that was."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agentcore.cli.env.reports import STDOUT, Json, check_writable

if TYPE_CHECKING:
    from agentcore.cli.env.targets import Target
    from agentcore.training.models import Episode, EvaluationReport, RolloutResult
    from agentcore.training.rollouts import EpisodeWatcher, RolloutPlan

    Reports = list[EvaluationReport]

INTERRUPTED = 130
# JSON has room for it and for those of more episodes than anybody plays.
LAST_SEED = 2**62
Episodes = Annotated[int, typer.Option(min=1, help="Episodes to play.")]
Seed = Annotated[
    int,
    typer.Option(min=0, max=LAST_SEED, help="Seed of the first episode; the next have the next."),
]
Sessions = Annotated[int, typer.Option(min=1, help="Sessions that play at once.")]
MaxSteps = Annotated[int | None, typer.Option(min=1, help="Steps after which an episode is cut.")]
Deadline = Annotated[
    float | None, typer.Option(min=0.0, help="Seconds after which everything is cut.")
]
SuccessReward = Annotated[
    float | None, typer.Option(help="Total reward from which on an episode is a success.")
]
StepSeconds = Annotated[float, typer.Option(min=0.001, help="Seconds that one step may take.")]
Token = Annotated[
    str, typer.Option(help="Bearer token for the server; env:NAME or file:PATH refer to it.")
]
Plot = Annotated[Path | None, typer.Option(help="Draw the rewards into this PNG file.")]


def run(
    environment: Annotated[
        str, typer.Argument(metavar="NAME|URL", help="A bundled or own environment, or a server.")
    ],
    policy: Annotated[
        str, typer.Option(help="random, naive, reference, or package.module:callable.")
    ] = "random",
    episodes: Episodes = 20,
    seed: Seed = 0,
    sessions: Sessions = 1,
    record: Annotated[
        Path | None, typer.Option(help="Record the episodes into this file (.jsonl.gz).")
    ] = None,
    json: Json = None,
    plot: Plot = None,
    max_steps: MaxSteps = None,
    deadline: Deadline = None,
    success_reward: SuccessReward = None,
    step_seconds: StepSeconds = 30.0,
    token: Token = "",
) -> None:
    """Play episodes and report the reward: exit 0, or 1 if an episode failed, 130 on Ctrl-C."""
    from agentcore.training.rollouts import RolloutPlan

    plan = RolloutPlan(concurrency=sessions, max_steps=max_steps, deadline=deadline)
    game = _Game(episodes, seed, plan, token, step_seconds, success_reward)
    _check_outputs(json, plot)
    reports: Reports = []
    _finish(_run_one(game, environment, policy, record, reports), reports, json, plot)


def bench(
    environments: Annotated[list[str], typer.Argument(metavar="NAME|URL...", help="What to play.")],
    policies: Annotated[
        str, typer.Option(help="Names or package.module:callable, separated by commas.")
    ] = "",
    episodes: Episodes = 100,
    seed: Seed = 0,
    sessions: Sessions = 1,
    json: Json = None,
    plot: Plot = None,
    max_steps: MaxSteps = None,
    deadline: Deadline = None,
    success_reward: SuccessReward = None,
    step_seconds: StepSeconds = 30.0,
    token: Token = "",
) -> None:
    """Compare policies on the same seeds; the first is the baseline. Default: all known."""
    from agentcore.training.rollouts import RolloutPlan

    plan = RolloutPlan(concurrency=sessions, max_steps=max_steps, deadline=deadline)
    game = _Game(episodes, seed, plan, token, step_seconds, success_reward)
    _check_outputs(json, plot)
    reports: Reports = []
    named = list(dict.fromkeys(name.strip() for name in policies.split(",") if name.strip()))
    _finish(_run_all(game, environments, named, reports), reports, json, plot)


@dataclass(frozen=True, slots=True)
class _Game:
    """What all rollouts of one command have in common."""

    episodes: int
    seed: int
    plan: RolloutPlan
    token: str
    step_seconds: float
    success_reward: float | None

    def judged(self, played: RolloutResult, policy: str, environment: str) -> EvaluationReport:
        from agentcore.training.evaluation import evaluate, reaching, told_success

        wanted = self.success_reward
        success = told_success if wanted is None else reaching(wanted)
        return evaluate(played, policy=policy, environment=environment, success=success)


def _check_outputs(json: Path | None, plot: Path | None) -> None:
    check_writable(json, plot)
    if plot is not None:
        from agentcore.cli.env.plotting import require_matplotlib

        require_matplotlib()


async def _run_one(
    game: _Game, environment: str, policy: str, record: Path | None, reports: Reports
) -> None:
    from agentcore.cli.env.targets import opened

    async with opened(environment, game.token, game.step_seconds) as target:
        with _recorder(record, target, policy) as watchers:
            await _play(game, target, policy, watchers, reports)


async def _run_all(
    game: _Game, environments: Sequence[str], named: Sequence[str], reports: Reports
) -> None:
    from agentcore.cli.env.targets import opened
    from agentcore.training.players import known_policies, load_policy

    for environment in environments:
        async with opened(environment, game.token, game.step_seconds) as target:
            chosen = named or list(known_policies(target.info))
            # All of them first: a misspelt name must not cost the others' episodes.
            for policy in chosen:
                load_policy(policy, target.info)
            for policy in chosen:
                await _play(game, target, policy, (), reports)


async def _play(
    game: _Game, target: Target, policy: str, watchers: Sequence[EpisodeWatcher], reports: Reports
) -> None:
    """One rollout with its progress bar; what ended is reported also when it is interrupted."""
    from agentcore.cli.env.showing import progress_bar
    from agentcore.kit.clock import SYSTEM_CLOCK
    from agentcore.training.models import RolloutResult
    from agentcore.training.players import load_policy
    from agentcore.training.rollouts import Progress, rollout

    player = load_policy(policy, target.info)
    ended: list[Episode] = []
    began = SYSTEM_CLOCK.monotonic()
    with progress_bar(f"{target.name} · {policy}", game.episodes) as advance:
        watching = [*watchers, Progress(ended.append), Progress(advance)]
        try:
            await rollout(
                player, target.sessions, game.episodes, game.seed, plan=game.plan, watchers=watching
            )
        finally:
            if ended:
                ended.sort(key=lambda episode: episode.index)
                result = RolloutResult(tuple(ended), SYSTEM_CLOCK.monotonic() - began)
                reports.append(game.judged(result, policy, target.name))


@contextmanager
def _recorder(path: Path | None, target: Target, policy: str) -> Iterator[Sequence[EpisodeWatcher]]:
    if path is None:
        yield ()
        return
    from agentcore.kit.clock import SYSTEM_CLOCK
    from agentcore.training.recording import Recorder, header_of

    header = header_of(target.info, url=target.url, policy=policy, at=SYSTEM_CLOCK.now())
    with Recorder(path, header) as recorder:
        yield (recorder,)


def _finish(
    work: Coroutine[None, None, None], reports: Reports, json: Path | None, plot: Path | None
) -> None:
    """Run, then show what there is: an interruption loses nothing that has ended."""
    from agentcore.cli.env.showing import show_reports, write_json
    from agentcore.cli.serving import loop_factory

    code = 0
    try:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(work)
    except KeyboardInterrupt:
        code = INTERRUPTED
    if reports:
        # What goes to the output is for a program: the tables go beside it.
        show_reports(reports, to_errors=json == STDOUT)
        if json is not None:
            write_json(reports, json)
        if plot is not None:
            from agentcore.cli.env.plotting import draw

            draw(reports, plot)
            typer.echo(f"plot: {plot}", err=True)
    if any(report.failed for report in reports):
        code = code or 1
    raise typer.Exit(code)
