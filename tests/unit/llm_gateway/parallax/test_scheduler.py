from __future__ import annotations

import pytest
from aiohttp import web

from agentcore.llm_gateway.errors import UpstreamMalformed, UpstreamUnavailable
from agentcore.llm_gateway.parallax.scheduler import Scheduler
from agentcore.llm_gateway.transport import ConnectionPool, Transport
from tests.fakes.llm_upstream import Upstream, answers
from tests.fakes.parallax_scheduler import NEW, OLD, parallax_scheduler


def at(url: str, pool: ConnectionPool) -> Scheduler:
    transport = Transport(pool, url, provider="cluster", connect_seconds=1, headers={})
    return Scheduler(transport, "cluster")


async def test_its_own_routes(pool: ConnectionPool) -> None:
    async with parallax_scheduler() as fake:
        scheduler = at(fake.url, pool)
        assert await scheduler.catalogue() == (OLD, NEW)
        assert (await scheduler.status()).init_nodes_num == 2
        await scheduler.init(NEW, 2)
        assert fake.model == NEW
        fake.refuses_init = True
        with pytest.raises(UpstreamUnavailable, match="answers 500: no"):
            await scheduler.init(OLD, 2)


async def test_reports_come_as_the_status_changes(upstream: Upstream, pool: ConnectionPool) -> None:
    reports = at(upstream.url, pool).reports()
    assert (await anext(reports)).serving
    upstream.tell(status="waiting")
    assert not (await anext(reports)).serving


async def test_who_is_no_scheduler_is_told_from_one(
    upstream: Upstream, pool: ConnectionPool
) -> None:
    scheduler = at(upstream.url, pool)
    with pytest.raises(UpstreamUnavailable, match="answers 404"):
        await scheduler.catalogue()
    upstream.reporting = answers(b"[]")
    with pytest.raises(UpstreamMalformed, match="no cluster status"):
        await scheduler.status()

    async def missing(request: web.Request) -> web.StreamResponse:
        return web.Response(status=404)

    upstream.reporting = missing
    with pytest.raises(UpstreamMalformed, match="base_url must be the scheduler's"):
        await scheduler.status()
