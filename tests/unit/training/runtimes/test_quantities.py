from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcore.training.openenv.errors import InvalidDeployment
from agentcore.training.openenv.runtimes.quantities import amount, check_resources
from agentcore.training.openenv.specs import Resources


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("500m", "0.5"),
        ("2", "2"),
        ("1.5", "1.5"),
        (".5", "0.5"),
        ("250000n", "0.00025"),
        ("12u", "0.000012"),
        ("512Mi", 512 * 2**20),
        ("2Gi", 2**31),
        ("1k", 1000),
        ("3Ti", 3 * 2**40),
    ],
)
def test_amounts_mean_what_they_mean_in_kubernetes(text: str, value: str | int) -> None:
    assert amount(text) == Decimal(value)


@pytest.mark.parametrize("text", ["", "two", "1 Gi", "-1", "1e3", "1KiB", "1.", "0x10", "१"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(InvalidDeployment):
        amount(text)


@given(st.integers(0, 10**6))
def test_thousandths_add_up(number: int) -> None:
    assert amount(f"{number}m") * 1000 == number


@pytest.mark.parametrize(
    ("resources", "why"),
    [
        ({"cpu": "3"}, "cpu 3 is more than its limit 2000m"),
        ({"memory": "3Gi"}, "memory 3Gi is more than its limit 2Gi"),
        ({"cpu": "0", "cpu_limit": "0"}, "0 processors"),
        ({"memory": "0", "memory_limit": "512"}, "512 memory"),
    ],
)
def test_resources_that_start_nowhere_are_refused(resources: dict[str, str], why: str) -> None:
    with pytest.raises(InvalidDeployment, match=why):
        check_resources(Resources.model_validate(resources))


def test_those_of_the_specification_are_the_default() -> None:
    usual = Resources()
    check_resources(usual)
    assert (usual.cpu, usual.memory) == ("500m", "512Mi")
    assert (usual.cpu_limit, usual.memory_limit) == ("2000m", "2Gi")
