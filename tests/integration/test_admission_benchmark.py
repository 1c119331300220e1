"""The harness measures what it says, on an upstream that answers at once or not at all."""

from __future__ import annotations

from dataclasses import asdict

from benchmarks import admission
from benchmarks.admission import Run, Way, measure, mixed
from tests.fakes.llm_upstream import delta, fails, llm_upstream, says, streams


async def test_a_run_counts_what_callers_saw() -> None:
    async with llm_upstream() as upstream:
        way = Way("direct", upstream.v1, "m")
        upstream.behaviours = [fails(429), streams(delta("half"))]
        upstream.behaviour = says("well done")
        run = await measure(way, "at once", mixed("at once"), pace=1.0)
    assert len(upstream.bodies) == admission.BULK + admission.INTERACTIVE
    assert (run.refused, run.failed) == (1, 1)
    assert 0 < run.first_p50 <= run.first_worst <= run.seconds
    assert {body["max_tokens"] for body in upstream.bodies} == {150, 8}


def test_interactive_calls_are_spread_or_not() -> None:
    spread = [each.after for each in mixed("spread") if each.kind == "interactive"]
    assert spread[1] == admission.SPREAD_SECONDS
    assert len(set(spread)) == admission.INTERACTIVE
    assert {each.after for each in mixed("at once")} == {0.0}


def test_a_report_says_which_goals_are_kept() -> None:
    def run(pace: float, pattern: admission.Pattern, way: str, first: float, all_of: float) -> Run:
        return Run(pace, way, pattern, 0.0, first, first, all_of, refused=0, failed=0)

    runs = [
        run(pace, pattern, way, first, seconds)
        for pace in admission.PACES
        for pattern in admission.PATTERNS
        for way, first, seconds in (("direct", 9.0, 10.0), ("agentcore", 0.05, 12.0))
    ]
    told = admission.verdicts({"runs": [asdict(each) for each in runs]})
    assert "at once: first content p50: 0.050 s, goal 0.1 s: kept" in told[0]
    assert "all, of direct: 1.20, goal 1.10: MISSED" in told[1]
    assert len(told) == 3 * len(admission.PACES) * len(admission.PATTERNS)
