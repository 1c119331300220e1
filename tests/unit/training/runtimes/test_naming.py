from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcore.training.openenv.errors import InvalidDeployment
from agentcore.training.openenv.models import ENVIRONMENT_NAME
from agentcore.training.openenv.runtimes.naming import check_name, object_name

LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


@given(st.from_regex(ENVIRONMENT_NAME, fullmatch=True).filter(lambda name: len(name) < 60))
def test_what_may_be_deployed_has_a_name_in_dns(name: str) -> None:
    check_name(name)
    assert LABEL.fullmatch(object_name(name))


def test_names_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InvalidDeployment, match="too long"):
        check_name("a" * 60)


def test_names_follow_those_of_the_specification() -> None:
    assert object_name("a2a_protocol_test") == "a2a-protocol-test-env"
