from __future__ import annotations

import pytest
from pydantic import ValidationError

from agentcore.simulators.models import ClusterConfig, Fault, parse_fault


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("stall", Fault(kind="stall")),
        ("stall:0.1", Fault(kind="stall", rate=0.1)),
        (
            "stall:0.5,seconds=2,times=3",
            Fault(kind="stall", rate=0.5, seconds=2, times=3),
        ),
        ("cut_stream,after_tokens=7", Fault(kind="cut_stream", after_tokens=7)),
        ("rate_limited, rate=0.25", Fault(kind="rate_limited", rate=0.25)),
    ],
)
def test_faults_of_the_command_line(text: str, fault: Fault) -> None:
    assert parse_fault(text) == fault


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("explode", "kind"),
        ("", "kind"),
        ("stall:2", "rate"),
        ("stall,seconds=-1", "seconds"),
        ("stall,colour=red", "colour"),
        ("stall,seconds", "seconds"),
        ("stall,times=0", "times"),
    ],
)
def test_a_wrong_fault_is_named(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint) as caught:
        parse_fault(text)
    assert "\n" not in str(caught.value)


def test_a_model_that_hides_its_nature_is_refused() -> None:
    with pytest.raises(ValidationError, match="simulated/"):
        ClusterConfig(model="Qwen/Qwen3-8B")


def test_every_setting_is_described() -> None:
    fields = [*ClusterConfig.model_fields.values(), *Fault.model_fields.values()]
    assert all(field.description for field in fields)
