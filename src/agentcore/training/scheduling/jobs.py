"""What a scheduled job does: play, evaluate, compare."""

from __future__ import annotations

from agentcore.kit.jsonvalue import JsonObject
from agentcore.training.errors import RolloutsFailed
from agentcore.training.evaluation import benchmark, compare
from agentcore.training.models import EvaluationReport, JobSpec
from agentcore.training.openenv.models import EnvironmentInfo
from agentcore.training.players import find_policy
from agentcore.training.reward_registry import RewardRegistry
from agentcore.training.rollouts import RolloutPlan
from agentcore.training.scheduling.ports import EnvironmentSource


class RolloutJobs:
    """Runs jobs in the environments of ``source``; the same seeds whenever one is run again."""

    def __init__(self, source: EnvironmentSource, rewards: RewardRegistry) -> None:
        self._source = source
        self._rewards = rewards

    async def check(self, job: JobSpec) -> None:
        """Raises ``EnvironmentNotFoundError``, ``PolicyNotFound`` or ``RewardInvalid``."""
        if job.reward is not None:
            self._rewards.build(job.reward)
        info = await self._source.info(job.environment)
        for name in (job.policy, job.baseline):
            if name is not None:
                find_policy(name, info)

    async def run(self, job: JobSpec) -> JsonObject:
        """``report``, and with a baseline its ``baseline`` and ``comparison``.

        Raises:
            RolloutsFailed: no episode came to its end.
        """
        info = await self._source.info(job.environment)
        report = await self._benchmark(job, job.policy, info)
        result: JsonObject = {"report": report.model_dump(mode="json")}
        if job.baseline is not None:
            baseline = await self._benchmark(job, job.baseline, info)
            result["baseline"] = baseline.model_dump(mode="json")
            result["comparison"] = compare(report, baseline).model_dump(mode="json")
        return result

    async def _benchmark(
        self, job: JobSpec, policy: str, info: EnvironmentInfo
    ) -> EvaluationReport:
        plan = RolloutPlan(
            concurrency=job.sessions,
            deadline=job.deadline_seconds,
            max_steps=job.max_steps,
            reward=None if job.reward is None else self._rewards.build(job.reward),
        )
        report = await benchmark(
            find_policy(policy, info),
            await self._source.sessions(job.environment, job.sessions),
            job.episodes,
            job.seed,
            plan=plan,
            titles=(policy, job.environment),
        )
        if report.failed == report.episodes:
            codes = ", ".join(sorted(report.failures))
            raise RolloutsFailed(f"all {report.episodes} episodes of {policy} failed: {codes}")
        return report
