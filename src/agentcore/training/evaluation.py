"""benchmark: how good a policy is, how sure that is, and which of several is better."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from statistics import fmean

from agentcore.kit.errors import InvalidInput
from agentcore.training.estimates import mean_interval, paired_tests, quantile, share_interval
from agentcore.training.models import (
    Episode,
    EvaluationReport,
    PairedComparison,
    RolloutResult,
    Standing,
)
from agentcore.training.openenv.playing import OpenSession
from agentcore.training.rollouts import (
    DEFAULT_PLAN,
    EpisodeWatcher,
    PlayerFactory,
    RolloutPlan,
    rollout,
)

# True, False, or None where the episode does not tell.
Success = Callable[[Episode], bool | None]


def told_success(episode: Episode) -> bool | None:
    """What the environment itself says in the last step's info: ``success`` or ``is_success``."""
    told = episode.info.get("success", episode.info.get("is_success"))
    return told if isinstance(told, bool) else None


async def benchmark(
    policy: PlayerFactory,
    env: OpenSession,
    episodes: int = 100,
    seeds: int | Iterable[int] = 0,
    *,
    plan: RolloutPlan = DEFAULT_PLAN,
    success: Success = told_success,
    watchers: Sequence[EpisodeWatcher] = (),
    titles: tuple[str, str] = ("policy", "environment"),
) -> EvaluationReport:
    """Play and evaluate; ``titles`` name the policy and the environment in the report."""
    played = await rollout(policy, env, episodes, seeds, plan=plan, watchers=watchers)
    return evaluate(played, policy=titles[0], environment=titles[1], success=success)


def reaching(total: float) -> Success:
    """Success is a total reward of at least ``total``."""
    return lambda episode: episode.reward >= total


def evaluate(
    result: RolloutResult,
    *,
    policy: str = "policy",
    environment: str = "environment",
    success: Success = told_success,
) -> EvaluationReport:
    """What episodes that were played say of the policy that played them."""
    completed = result.completed
    totals = [episode.reward for episode in completed]
    waits = sorted(wait for episode in completed for wait in episode.step_seconds)
    verdicts = [success(episode) for episode in completed]
    told = any(verdict is not None for verdict in verdicts)
    failures = [episode.failure for episode in result.episodes if episode.failure is not None]
    return EvaluationReport(
        policy=policy,
        environment=environment,
        seeds=tuple(episode.seed for episode in result.episodes),
        rewards=tuple(each.reward if each.complete else None for each in result.episodes),
        mean=fmean(totals) if totals else None,
        interval=mean_interval(totals),
        success=share_interval(verdicts.count(True), len(result.episodes)) if told else None,
        mean_length=fmean(episode.length for episode in completed) if completed else None,
        step_p50=quantile(waits, 0.5) if waits else None,
        step_p95=quantile(waits, 0.95) if waits else None,
        steps=sum(episode.length for episode in result.episodes),
        seconds=result.seconds,
        failures=dict(Counter(failure.code for failure in failures)),
        reasons={failure.code: failure.detail for failure in reversed(failures)},
        hints={failure.code: failure.hint for failure in reversed(failures) if failure.hint},
    )


def compare(
    policy: EvaluationReport, baseline: EvaluationReport, *, seed: int = 0
) -> PairedComparison:
    """Episode by episode on the same seeds: what both faced cancels out.

    A seed that was played several times makes as many pairs, in the order of playing.

    Raises:
        InvalidInput: there is no seed that both completed.
    """
    ours, theirs = _by_seed(policy), _by_seed(baseline)
    pairs = [
        pair
        for number, totals in ours.items()
        for pair in zip(totals, theirs.get(number, ()), strict=False)
    ]
    if not pairs:
        raise InvalidInput(
            f"{policy.policy!r} and {baseline.policy!r} completed no seed in common",
            hint="play both with the same seeds",
        )
    differences = [own - other for own, other in pairs]
    return PairedComparison(
        policy=policy.policy,
        baseline=baseline.policy,
        pairs=len(pairs),
        difference=fmean(differences),
        interval=mean_interval(differences, seed=seed),
        tests=paired_tests(differences, seed=seed),
    )


def _by_seed(report: EvaluationReport) -> dict[int, list[float]]:
    """The totals of its completed episodes."""
    found: dict[int, list[float]] = {}
    for number, total in zip(report.seeds, report.rewards, strict=True):
        if total is not None:
            found.setdefault(number, []).append(total)
    return found


def leaderboard(reports: Sequence[EvaluationReport]) -> tuple[Standing, ...]:
    """Best mean first; who overlaps with whom is said, and only who is surely better outranks."""
    ordered = sorted(reports, key=lambda report: (_reach(report)[0], report.policy))
    return tuple(
        Standing(
            rank=1 + sum(_above(other, report) for other in reports),
            policy=report.policy,
            mean=report.mean,
            interval=report.interval,
            success=report.success,
            episodes=report.episodes,
            failed=report.failed,
            tied_with=tuple(
                other.policy
                for other in ordered
                if other is not report and not _above(other, report) and not _above(report, other)
            ),
        )
        for report in ordered
    )


def _reach(report: EvaluationReport) -> tuple[float, float, float]:
    """Order, low and high end; without an interval anything is possible."""
    if report.interval is None:
        mean = report.mean
        return (float("inf") if mean is None else -mean), float("-inf"), float("inf")
    return -report.interval.mean, report.interval.low, report.interval.high


def _above(other: EvaluationReport, report: EvaluationReport) -> bool:
    return _reach(other)[1] > _reach(report)[2]
