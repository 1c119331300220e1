from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from agentcore.a2a_protocol.errors import AgentIdOfNoTenant
from agentcore.a2a_protocol.naming import AgentNames
from agentcore.kit.ids import Ids

FREE, BOUND = AgentNames(Ids()), AgentNames(Ids(), by_tenant=True)
TEXTS = st.text("ab.", max_size=6)


def test_who_chooses_none_gets_one() -> None:
    assert len({names.of(None, "acme") for names in (FREE, BOUND, BOUND)}) == 3
    assert FREE.of("poet", "acme") == "poet"


@given(TEXTS, TEXTS, TEXTS)
def test_no_id_is_of_two_tenants(chosen: str, one: str, other: str) -> None:
    assume(one != other)
    taken = 0
    for tenant in (one, other):
        try:
            assert BOUND.of(chosen, tenant) == chosen
        except AgentIdOfNoTenant:
            continue
        taken += 1
    assert taken < 2


@pytest.mark.parametrize("chosen", ["poet", ".acme", "poet.", "poet.evil", "x.poet.acme", ""])
def test_an_id_without_its_tenant_is_refused_with_one_that_is_right(chosen: str) -> None:
    with pytest.raises(AgentIdOfNoTenant) as refused:
        BOUND.of(chosen, "acme")
    assert ".acme" in refused.value.hint
    assert BOUND.of("poet.acme", "acme") == "poet.acme"
