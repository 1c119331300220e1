"""A process that is killed loses what it had not written yet, and nothing else."""

from __future__ import annotations

import subprocess
import sys

from sqlalchemy import func, select

from agentcore.kit.db import Database
from agentcore.llm_gateway.store import llm_calls, llm_usage_daily

WRITER = """
import asyncio, sys
from prometheus_client import CollectorRegistry
from agentcore.kit.clock import SYSTEM_CLOCK
from agentcore.kit.db import open_database
from agentcore.kit.ids import Ids
from agentcore.kit.models import DatabaseConfig
from agentcore.llm_gateway.ledger import Ledger
from agentcore.llm_gateway.metrics import GatewayMetrics
from agentcore.llm_gateway.store import CallStore
from tests.unit.llm_gateway.conftest import call_record

async def main():
    async with open_database(DatabaseConfig(pool_size=1), sys.argv[1]) as database:
        ledger = Ledger(
            CallStore(lambda: database).write, clock=SYSTEM_CLOCK,
            metrics=GatewayMetrics(CollectorRegistry()), flush_seconds=0.001, buffer=10_000,
        )
        written = 0
        while True:
            for _ in range(50):
                ledger.add(call_record())
            await ledger.flush()
            written += 50
            print(written, flush=True)

asyncio.run(main())
"""


async def test_what_was_written_survives_kill_9_and_the_totals_agree(
    database: Database, database_url: str
) -> None:
    told = 0
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, database_url], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                told = int(line)
                if told >= 500:
                    break
        finally:
            process.kill()
        rest = process.stdout.read().split()
    told = int(rest[-1]) if rest else told
    async with database.begin() as connection:
        kept = await connection.scalar(select(func.count()).select_from(llm_calls))
        summed = await connection.scalar(select(func.sum(llm_usage_daily.c.calls)))
    # At most the batch that was under way is there beyond what was told.
    assert told <= (kept or 0) <= told + 50
    assert kept == summed
