from __future__ import annotations

from agentcore.kit.db import Database
from agentcore.llm_gateway.rates.models import Rates
from agentcore.llm_gateway.rates.store import RateStore
from tests.fakes.clock import ManualClock


async def test_rates_are_set_replaced_and_deleted(database: Database, clock: ManualClock) -> None:
    store = RateStore(lambda: database)
    assert await store.all() == {}
    await store.set("acme", Rates(5, None), now=clock.now())
    await store.set("rival", Rates(), now=clock.now())
    await store.set("acme", Rates(None, 700), now=clock.now())
    assert await store.all() == {"acme": Rates(None, 700), "rival": Rates()}
    assert await store.delete("rival")
    assert not await store.delete("rival")
    assert list(await store.all()) == ["acme"]
