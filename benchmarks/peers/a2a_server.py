"""The official SDK's server as its samples build one, with its database store.

Runs in an environment of its own: ``a2a_server.py PORT DATABASE_URL``.
"""
# mypy: disable-error-code="import-not-found, misc"
# (the SDK's extras for its store are only in .venv-peers-a2a)

import asyncio
import sys
import time

import uvicorn
from a2a.server.agent_execution import AgentExecutor, RequestContext
from a2a.server.events import EventQueue
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.routes import create_agent_card_routes, create_jsonrpc_routes
from a2a.server.tasks import DatabaseTaskStore, TaskUpdater
from a2a.types import (
    AgentCapabilities,
    AgentCard,
    AgentInterface,
    Part,
    Task,
    TaskState,
    TaskStatus,
)
from sqlalchemy.ext.asyncio import create_async_engine
from starlette.applications import Starlette

CHUNKS = 400
TICK_SECONDS = 0.25


class Measured(AgentExecutor):
    """Does what the agent of benchmarks/a2a_service.py does, with the same events."""

    async def execute(self, context: RequestContext, event_queue: EventQueue) -> None:
        task_id, context_id = context.task_id or "", context.context_id or ""
        status = TaskStatus(state=TaskState.TASK_STATE_SUBMITTED)
        history = [context.message] if context.message else []
        await event_queue.enqueue_event(
            Task(id=task_id, context_id=context_id, status=status, history=history)
        )
        updater = TaskUpdater(event_queue, task_id, context_id)
        await updater.start_work()
        text = context.get_user_input()
        if text == "chunks":
            for number in range(CHUNKS):
                await updater.add_artifact(
                    [Part(text=f"line {number}")], artifact_id="log", append=number > 0
                )
        while text == "clock":
            await asyncio.sleep(TICK_SECONDS)
            said = updater.new_agent_message([Part(text=str(time.monotonic_ns()))])
            await updater.update_status(TaskState.TASK_STATE_WORKING, said)
        await updater.complete(updater.new_agent_message([Part(text="done")]))

    async def cancel(self, context: RequestContext, event_queue: EventQueue) -> None:
        updater = TaskUpdater(event_queue, context.task_id or "", context.context_id or "")
        await updater.cancel()


def main(port: int, url: str) -> None:
    card = AgentCard(
        name="Measured",
        description="Does nothing.",
        version="1",
        capabilities=AgentCapabilities(streaming=True),
        default_input_modes=["text/plain"],
        default_output_modes=["text/plain"],
        supported_interfaces=[
            AgentInterface(
                url=f"http://127.0.0.1:{port}/a2a",
                protocol_binding="JSONRPC",
                protocol_version="1.0",
            )
        ],
    )
    store = DatabaseTaskStore(create_async_engine(url, pool_size=10))
    handler = DefaultRequestHandler(Measured(), store, card)
    routes = [*create_agent_card_routes(card), *create_jsonrpc_routes(handler, "/a2a")]
    uvicorn.run(Starlette(routes=routes), port=port, access_log=False, log_level="warning")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
