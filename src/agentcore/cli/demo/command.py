"""The demo as the user sees it: progress, then a table of what improved and what it cost."""

from __future__ import annotations

import asyncio
import re
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import NoReturn

import aiohttp
from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from agentcore.cli.demo.peers import AgentCoreApi
from agentcore.cli.demo.processes import START_SECONDS, Running, died, running
from agentcore.cli.demo.report import scale, summary, table
from agentcore.cli.demo.rounds import Learners, Round
from agentcore.kit.clock import SYSTEM_CLOCK
from agentcore.kit.errors import StartupError
from agentcore.kit.http import open_http
from agentcore.settings import load_settings, token_authority

# Fewer than the episodes that play at once, so that some calls overflow to the API.
CLUSTER_CAPACITY = 8
POLL_SECONDS = 0.05
TITLE = "python3 dev.py demo"
# The picture shall show the same without a network: no font of another server's.
PICTURE = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoPlan:
    rounds: int = 5
    episodes: int = 12
    agents: int = 2
    seed: int = 7
    stay: bool = False
    picture: Path | None = None


def run_demo(plan: DemoPlan) -> int:
    console = Console(record=plan.picture is not None)
    signal.signal(signal.SIGTERM, _leave)
    with _home() as home:
        port = 8001 if plan.stay else 0
        with running(home, port=port, capacity=CLUSTER_CAPACITY) as started:
            asyncio.run(_demo(plan, started, console))
            if plan.picture is not None:
                console.save_svg(str(plan.picture), title=TITLE, code_format=PICTURE)
            if plan.stay:
                _stay(started, console)
    return 0


def _leave(number: int, _: FrameType | None) -> NoReturn:
    """End as by Ctrl-C, so that nothing stays behind; what takes things down is not disturbed."""
    signal.signal(number, signal.SIG_IGN)
    raise SystemExit(128 + number)


@contextmanager
def _home() -> Iterator[Path]:
    """A directory for the time of the demo; kept where an error names a log in it."""
    home = Path(tempfile.mkdtemp(prefix="agentcore-demo-"))
    with ExitStack() as cleanup:
        cleanup.callback(shutil.rmtree, home, ignore_errors=True)
        try:
            yield home
        except StartupError:
            cleanup.pop_all()
            raise


async def _demo(plan: DemoPlan, started: Running, console: Console) -> None:
    console.print(
        f"[bold]AgentCore demo[/bold]  service {started.url}, a simulated Parallax cluster of "
        f"{CLUSTER_CAPACITY} slots and a simulated API behind it",
        highlight=False,
    )
    async with open_http() as http, _ready(started, http) as service:
        learners = Learners(
            service, agents=plan.agents, episodes=plan.episodes, seed=plan.seed, clock=SYSTEM_CLOCK
        )
        rounds = await _learn(plan, learners, console)
    console.print(table(rounds))
    for line in [*summary(rounds), scale(range(plan.seed, plan.seed + plan.episodes))]:
        console.print(line, highlight=False)


async def _learn(plan: DemoPlan, learners: Learners, console: Console) -> list[Round]:
    await learners.register()
    rounds: list[Round] = []
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("episodes"),
        TimeElapsedColumn(),
    )
    # A recording would keep every state of the bar.
    still = plan.picture is not None
    with Progress(*columns, console=console, transient=True, disable=still) as progress:
        bar = progress.add_task("", total=plan.rounds * plan.agents * plan.episodes)
        for number in range(1, plan.rounds + 1):
            progress.update(bar, description=f"round {number} of {plan.rounds}: playing")
            played = await learners.play(number, lambda: progress.advance(bar))
            rounds.append(played)
            console.print(
                f"round {number}: reward {played.mean:6.2f} ± {played.half_width:.2f}, "
                f"playbook v{max(played.versions)}",
                highlight=False,
            )
            if number < plan.rounds:
                progress.update(bar, description=f"round {number} of {plan.rounds}: learning")
                await learners.evolve()
    return rounds


@asynccontextmanager
async def _ready(started: Running, http: aiohttp.ClientSession) -> AsyncIterator[AgentCoreApi]:
    """The service once ``/health/ready`` says so; a process that died says why."""
    try:
        async with asyncio.timeout(START_SECONDS):
            while not await _answers(http, f"{started.url}/health/ready"):
                if (error := died(started)) is not None:
                    raise error
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError as exc:
        raise StartupError(f"the service was not ready after {START_SECONDS:.0f} s") from exc
    settings = load_settings(started.config)
    token = token_authority(settings).issue(
        subject="demo", tenant="demo", scopes=["admin"], lifetime=timedelta(hours=1)
    )
    yield AgentCoreApi(http, started.url, token)


async def _answers(http: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with http.get(url) as response:
            return response.status == 200
    except aiohttp.ClientError:
        return False


def _stay(started: Running, console: Console) -> None:
    console.print(
        f"\nThe service stays up at [bold]{started.url}[/bold] "
        f"(API: {started.url}/docs). Stop it with Ctrl-C.\n"
        f"A token: agentcore token --config {started.config} --subject me --scope admin"
    )
    try:
        started.processes[-1].wait()
    except KeyboardInterrupt:
        console.print("stopping")
