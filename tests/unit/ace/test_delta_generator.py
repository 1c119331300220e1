from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from agentcore.ace.delta_generator import DeltaGenerator
from agentcore.ace.errors import (
    EvolutionBudgetExhausted,
    EvolutionModelUnknown,
    EvolutionRateLimited,
)
from agentcore.ace.models import ACEConfig, ContextPlaybook, ExecutionTrace
from agentcore.kit.errors import AgentCoreError, DeadlineExceeded, InvalidInput, Unavailable
from agentcore.kit.resilience import CircuitOpen
from agentcore.llm_gateway.errors import (
    PrivacyViolationError,
    PrivateProviderUnavailable,
    UpstreamRateLimited,
)
from tests.fakes.context import ContextWorld
from tests.fakes.language_model import ScriptedModel, adding, proposing, reflecting


@pytest.fixture
def traces(world: ContextWorld, playbook: ContextPlaybook) -> list[ExecutionTrace]:
    return [world.trace(error_message="missing field 'to'") for _ in range(3)]


async def test_generate_delta_valid_response(
    world: ContextWorld, playbook: ContextPlaybook, traces: list[ExecutionTrace]
) -> None:
    world.model.answers = [
        proposing(
            adding("Name the receiver.", quote="missing field", confidence=0.8),
            adding("Be careful.", quote="nowhere", confidence=0.75),
        )
    ]
    generation = await world.generator.generate(playbook, traces)
    first, second = generation.deltas
    assert first.changes == {
        "ops": [
            {
                "op": "ADD",
                "section": "strategies",
                "text": "Name the receiver.",
                "evidence": [trace.trace_id for trace in reversed(traces)],
            }
        ],
        "evidence_required": True,
    }
    assert (first.confidence, first.reasoning) == (0.8, "seen twice")
    assert '"evidence": []' in str(second.changes).replace("'", '"')
    assert generation.provenance.model == "gpt-4o-mini"
    best = await world.generator.generate_delta(playbook, traces)
    assert best is not None
    assert best.confidence == 0.8


async def test_the_call_asks_for_what_is_configured(
    world: ContextWorld, playbook: ContextPlaybook, traces: list[ExecutionTrace]
) -> None:
    await world.generator.generate(playbook, traces)
    asked = world.model.asked[0]
    assert (asked.model, asked.max_tokens) == ("gpt-4o-mini", 1024)
    assert len(asked.prompt) / 4 + asked.max_tokens <= 4096
    booking = await world.store.run(lambda unit: unit.deltas.get(asked.trace_id))
    assert booking is not None
    assert booking.kind == "call"


async def test_token_usage_tracking(
    world: ContextWorld, playbook: ContextPlaybook, traces: list[ExecutionTrace]
) -> None:
    await world.generator.generate(playbook, traces)
    prompt = len(world.model.asked[0].prompt) // 4
    assert world.sample("ace_llm_requests_total") == 1
    assert world.sample("ace_llm_tokens_used_total", type="prompt") == prompt
    assert world.sample("ace_llm_tokens_used_total", type="completion") == 3
    assert world.sample("ace_llm_cost_usd_total") == 0.001
    status = await world.contexts.evolution_status("agent-123")
    assert status.total_cost == 0.001


async def test_without_a_bill_the_configured_price_counts(
    world: ContextWorld, playbook: ContextPlaybook, traces: list[ExecutionTrace]
) -> None:
    world.model.cost_usd = None
    generation = await world.generator.generate(playbook, traces)
    prompt = len(world.model.asked[0].prompt) // 4
    expected = Decimal("0.15") * (prompt + 4 * 3) / 1_000_000
    assert generation.provenance.cost_usd == expected


async def test_circuit_breaker_opens_on_failures(
    world: ContextWorld, playbook: ContextPlaybook, traces: list[ExecutionTrace]
) -> None:
    world.model.answers = [Unavailable("down")]
    for _ in range(5):
        with pytest.raises(Unavailable):
            await world.generator.generate(playbook, traces)
    with pytest.raises(CircuitOpen):
        await world.generator.generate(playbook, traces)
    assert len(world.model.asked) == 5
    assert world.sample("ace_circuit_breaker_state") == 1
    assert world.sample("ace_llm_errors_total") == 5


async def test_circuit_breaker_half_open_after_recovery_timeout(
    world: ContextWorld, playbook: ContextPlaybook, traces: list[ExecutionTrace]
) -> None:
    world.model.answers = [*[Unavailable("down")] * 5, proposing()]
    for _ in range(5):
        with pytest.raises(Unavailable):
            await world.generator.generate(playbook, traces)
    world.clock.advance(60)
    assert world.sample("ace_circuit_breaker_state") == 2
    await world.generator.generate(playbook, traces)
    assert world.sample("ace_circuit_breaker_state") == 0


@pytest.mark.parametrize(
    "error",
    [
        InvalidInput("too long"),
        EvolutionModelUnknown("m"),
        PrivacyViolationError("nobody may see it"),
        PrivateProviderUnavailable("not now"),
        UpstreamRateLimited("too often"),
    ],
    ids=lambda error: error.code,
)
async def test_what_one_playbook_asks_in_vain_does_not_close_the_door_to_all_others(
    world: ContextWorld,
    playbook: ContextPlaybook,
    traces: list[ExecutionTrace],
    error: AgentCoreError,
) -> None:
    world.model.answers = [error]
    for _ in range(6):
        with pytest.raises(type(error)):
            await world.generator.generate(playbook, traces)
    assert world.sample("ace_circuit_breaker_state") == 0


async def test_failed_calls_cost_nothing_but_those_that_may_have_been_billed(
    world: ContextWorld, playbook: ContextPlaybook, traces: list[ExecutionTrace]
) -> None:
    async def spent() -> Decimal:
        return await world.store.run(lambda unit: unit.bookings.spent_since(playbook.created_at))

    world.model.answers = [Unavailable("down")]
    with pytest.raises(Unavailable):
        await world.generator.generate(playbook, traces)
    assert await spent() == 0
    world.model.answers = [DeadlineExceeded("slow")]
    with pytest.raises(DeadlineExceeded):
        await world.generator.generate(playbook, traces)
    assert await spent() > 0


async def test_monthly_budget_stops_requests(
    world: ContextWorld, playbook: ContextPlaybook, traces: list[ExecutionTrace]
) -> None:
    poor = ACEConfig(ace_monthly_budget_usd=0.0025)
    model = ScriptedModel(cost_usd=Decimal("0.0005"))
    rest = (world.database, world.cache, world.supervisor, world.clock, poor, model)
    replicas = [ContextWorld(*rest) for _ in range(3)]
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(_paid(replicas[n % 3].generator, playbook, traces)) for n in range(12)
        ]
    paid = sum(task.result() for task in tasks)
    assert paid == len(model.asked)
    assert 0 < paid < 12
    assert paid * Decimal("0.0005") <= Decimal("0.0025")


async def _paid(
    generator: DeltaGenerator, playbook: ContextPlaybook, traces: list[ExecutionTrace]
) -> bool:
    try:
        await generator.generate(playbook, traces)
    except EvolutionBudgetExhausted:
        return False
    return True


async def test_a_dearer_call_than_expected_raises_later_bookings(
    world: ContextWorld, playbook: ContextPlaybook, traces: list[ExecutionTrace]
) -> None:
    world.model.cost_usd = Decimal(60)
    await world.generator.generate(playbook, traces)
    with pytest.raises(EvolutionBudgetExhausted):
        await world.generator.generate(playbook, traces)
    assert len(world.model.asked) == 1


@pytest.mark.parametrize("answer", ["no idea", '{"deltas": [{"changes": {"ops": [{"op": "A'])
async def test_an_unreadable_answer_is_no_delta_and_no_failure(
    world: ContextWorld, playbook: ContextPlaybook, traces: list[ExecutionTrace], answer: str
) -> None:
    world.model.answers = [answer]
    generation = await world.generator.generate(playbook, traces)
    assert generation.deltas == ()
    assert generation.readable is (answer[0] == "{")
    assert await world.generator.generate_delta(playbook, traces) is None


@pytest.mark.parametrize(
    ("given", "confidence"),
    [("0.9", 0.9), ("high", 0.0), (85, 0.0), (None, 0.0), (True, 0.0), (1, 1.0)],
)
async def test_confidence_is_taken_only_where_it_is_one(
    world: ContextWorld,
    playbook: ContextPlaybook,
    traces: list[ExecutionTrace],
    given: float,
    confidence: float,
) -> None:
    world.model.answers = [proposing(adding("x") | {"confidence": given})]
    generation = await world.generator.generate(playbook, traces)
    assert generation.deltas[0].confidence == confidence


async def test_no_more_deltas_than_configured_and_none_that_cannot_be_stored(
    world: ContextWorld, playbook: ContextPlaybook, traces: list[ExecutionTrace]
) -> None:
    world.model.answers = [proposing(*[adding(f"x{n}") for n in range(9)])]
    assert len((await world.generator.generate(playbook, traces)).deltas) == 5
    world.model.answers = [proposing(adding("nul \x00"), adding("good"))]
    assert len((await world.generator.generate(playbook, traces)).deltas) == 1


async def test_a_silent_model_is_given_up(
    world: ContextWorld, playbook: ContextPlaybook, traces: list[ExecutionTrace]
) -> None:
    world.model.answers = [TimeoutError()]
    with pytest.raises(DeadlineExceeded, match="60 seconds"):
        await world.generator.generate(playbook, traces)


async def test_a_finding_is_turned_into_operations_by_a_second_call(
    world: ContextWorld, playbook: ContextPlaybook, traces: list[ExecutionTrace]
) -> None:
    insight = "The receiver is left out; write to jane@example.com."
    world.model.answers = [
        reflecting(insight, quote="missing field", neutral="b9"),
        proposing(adding("Name the receiver.", quote="missing field")),
    ]
    generation = await world.generator.generate(playbook, traces)
    assert [delta.confidence for delta in generation.deltas] == [0.9]
    first, second = world.model.asked
    assert '"deltas"' not in first.prompt
    assert "The receiver is left out; write to [e-mail address]." in second.prompt
    assert "missing field 'to'" in second.prompt
    assert first.trace_id == second.trace_id
    for asked in world.model.asked:
        assert len(asked.prompt) / 4 + asked.max_tokens <= 4096
    assert generation.provenance.cost_usd == Decimal("0.002")
    status = await world.contexts.evolution_status("agent-123")
    assert status.total_cost == 0.002
    # A bullet that no trace was shown cannot be tagged.
    assert generation.neutral == frozenset()


@pytest.mark.parametrize("quote", ["", "said nowhere"])
async def test_a_finding_that_no_trace_bears_out_costs_no_second_call(
    world: ContextWorld, playbook: ContextPlaybook, traces: list[ExecutionTrace], quote: str
) -> None:
    world.model.answers = [reflecting("Trust me.", quote=quote)]
    generation = await world.generator.generate(playbook, traces)
    assert (generation.deltas, generation.readable) == ((), True)
    assert len(world.model.asked) == 1


async def test_a_second_call_that_fails_leaves_the_first_one_paid(
    world: ContextWorld, playbook: ContextPlaybook, traces: list[ExecutionTrace]
) -> None:
    world.model.answers = [reflecting("x", quote="missing field"), Unavailable("down")]
    with pytest.raises(Unavailable):
        await world.generator.generate(playbook, traces)
    spent = await world.store.run(lambda unit: unit.bookings.spent_since(playbook.created_at))
    assert spent == Decimal("0.001")


async def test_no_two_processes_together_call_more_often_than_allowed(
    world: ContextWorld, playbook: ContextPlaybook, traces: list[ExecutionTrace]
) -> None:
    slow = ACEConfig(ace_max_llm_calls_per_minute=6)
    worlds = [
        ContextWorld(world.database, world.cache, world.supervisor, world.clock, slow)
        for _ in range(2)
    ]

    async def called(generator: DeltaGenerator) -> bool:
        try:
            await generator.generate(playbook, traces)
        except EvolutionRateLimited:
            return False
        return True

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(called(worlds[n % 2].generator)) for n in range(8)]
    assert sum(task.result() for task in tasks) == 3
    assert sum(len(one.model.asked) for one in worlds) == 3
    with pytest.raises(EvolutionRateLimited) as limited:
        await worlds[0].generator.generate(playbook, traces)
    assert limited.value.retry_after == 60
    world.clock.advance(60)
    assert await called(worlds[0].generator)
