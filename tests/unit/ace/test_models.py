from __future__ import annotations

from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from agentcore.ace.models import ACEConfig, ContextDelta, ContextPlaybook, EvolutionStatus

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SPECIFIED = {
    "ace_llm_model": "gpt-4o-mini",
    "ace_confidence_threshold": 0.7,
    "ace_max_deltas_per_evolution": 5,
    "ace_worker_queue_size": 1000,
    "ace_worker_batch_size": 10,
    "ace_worker_batch_timeout": 5.0,
    "ace_evolution_interval": 100,
    "ace_min_traces_for_evolution": 10,
    "ace_monthly_budget_usd": 100.0,
    "ace_cost_per_1m_tokens": 0.15,
    "ace_max_tokens_per_request": 4096,
    "ace_cache_ttl_seconds": 300,
    "ace_enable_cache": True,
    "ace_cb_failure_threshold": 5,
    "ace_cb_recovery_timeout": 60,
}
OURS = {
    "ace_max_llm_calls_per_minute": 600,
    "ace_gate": "auto",
    "ace_environments": {},
    "ace_trial_pairs": 48,
    "ace_canary_stage_outcomes": 20,
    "ace_canary_max_outcomes": 2000,
    "ace_max_candidates": 20,
}


def test_the_settings_and_defaults_are_those_specified() -> None:
    assert ACEConfig().model_dump() == SPECIFIED | OURS


def test_settings_are_known_by_the_short_name_too() -> None:
    assert ACEConfig.model_validate({"llm_model": "m"}).ace_llm_model == "m"
    assert ACEConfig.model_validate({"ace_llm_model": "m"}).ace_llm_model == "m"
    with pytest.raises(ValidationError):
        ACEConfig.model_validate({"ace_llm_modell": "m"})


def test_the_models_of_the_specification_take_its_values() -> None:
    delta = ContextDelta(
        delta_id="delta-789",
        playbook_id="pb-456",
        changes={"goals": ["solve customer issues", "proactive engagement"]},
        confidence=0.85,
        reasoning="",
        generated_at=NOW,
    )
    assert (delta.applied, delta.applied_at) == (False, None)
    playbook = ContextPlaybook(
        playbook_id="pb-456",
        agent_id="agent-123",
        version=1,
        content={},
        created_at=NOW,
        updated_at=NOW,
    )
    assert playbook.metadata == {}
    assert EvolutionStatus(agent_id="agent-123").model_dump() == {
        "agent_id": "agent-123",
        "last_evolution": None,
        "pending_traces": 0,
        "deltas_generated": 0,
        "deltas_applied": 0,
        "total_cost": 0.0,
        "status": "idle",
    }


@pytest.mark.parametrize("confidence", [-0.1, 1.1, float("nan")])
def test_confidence_is_a_probability(confidence: float) -> None:
    with pytest.raises(ValidationError):
        ContextDelta(
            delta_id="d",
            playbook_id="p",
            changes={},
            confidence=confidence,
            reasoning="",
            generated_at=NOW,
        )
