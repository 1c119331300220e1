from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcore.training.openenv.models import RegistryConfig
from agentcore.training.openenv.registration.errors import (
    EnvironmentValidationError,
    TokenReferenceInvalid,
)
from agentcore.training.openenv.registration.health import (
    LONGEST_PAUSE,
    MORE_BY_VALIDATE,
    HealthChecks,
)
from agentcore.training.openenv.registration.records import EnvironmentHealth
from tests.fakes.clock import ManualClock
from tests.fakes.environment_registry import ScriptedProbe, secret_of

URL = "http://far.example/"


def checks(probe: ScriptedProbe, monitor_seconds: float = 300.0) -> HealthChecks:
    config = RegistryConfig(monitor_seconds=monitor_seconds)
    return HealthChecks(config, probe, secrets=secret_of, clock=ManualClock())


@given(failures=st.integers(0, 10_000), usual=st.floats(1, 1e6))
def test_the_pause_grows_with_failures_and_has_an_end(failures: int, usual: float) -> None:
    clock, of = ManualClock(), checks(ScriptedProbe(), usual)
    pause = of.next_check(EnvironmentHealth(failures=failures)) - clock.now()
    more = of.next_check(EnvironmentHealth(failures=failures + 1)) - clock.now()
    assert timedelta(seconds=usual * 0.999) <= pause <= more
    assert more <= timedelta(seconds=max(usual, LONGEST_PAUSE) * 1.001)


def test_a_token_is_looked_up_when_it_is_used() -> None:
    assert checks(ScriptedProbe()).token("env:FAR_TOKEN") == "far-secret"
    assert checks(ScriptedProbe()).token(None) == ""
    with pytest.raises(TokenReferenceInvalid, match="env:ABSENT"):
        checks(ScriptedProbe()).token("env:ABSENT")


def test_a_token_that_no_header_takes_is_not_quoted() -> None:
    with pytest.raises(TokenReferenceInvalid) as caught:
        checks(ScriptedProbe()).token("env:TWO_LINES")
    assert "'env:TWO_LINES' has characters" in caught.value.detail
    assert "secret" not in caught.value.detail


@pytest.mark.parametrize("status", ["healthy", "degraded", "busy"])
async def test_what_answers_was_seen(status: str) -> None:
    probe = ScriptedProbe({URL: {"status": status, "info": None, "detail": "x" * 1000}})
    before = EnvironmentHealth(status="failed", failures=3, mode="production")
    health = await checks(probe).check(URL, "", before)
    assert (health.status, health.failures, health.mode) == (status, 0, "production")
    assert health.last_seen_at == health.checked_at is not None
    assert len(health.detail) == 500


async def test_what_fails_keeps_what_was_known() -> None:
    before = EnvironmentHealth(status="healthy", mode="production", failures=0)
    health = await checks(ScriptedProbe()).check(URL, "", before)
    assert (health.status, health.mode, health.failures) == ("failed", "production", 1)
    assert health.detail == "pages: nobody answers"


@pytest.mark.parametrize("hint", ["check the token", ""])
async def test_who_is_not_admitted_is_told_the_cause_and_what_to_do(hint: str) -> None:
    away = {"status": "failed", "stage": "pages", "code": "openenv_http_error", "hint": hint}
    with pytest.raises(EnvironmentValidationError) as caught:
        await checks(ScriptedProbe({URL: away})).admitted(f"{URL}?key=1", "")
    refused = caught.value
    assert refused.detail == f"{URL} gives no episode: pages: openenv_http_error"
    assert refused.context == {"stage": "pages", "cause": "openenv_http_error"}
    assert refused.hint == "; ".join(filter(None, [hint, MORE_BY_VALIDATE]))


async def test_who_is_full_is_admitted() -> None:
    health = await checks(ScriptedProbe({URL: {"status": "busy"}})).admitted(URL, "")
    assert (health.status, health.failures) == ("busy", 0)
