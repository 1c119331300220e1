"""The agent that answers the official compatibility kits: they say by message ids what they test.

Both kits document their prefixes; everything else is answered as the 1.0 line expects it, or, for
callers of 0.3, kept open for a while and then asked back.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from agentcore.a2a_protocol.hosting import Hosting
from agentcore.a2a_protocol.models.task import Part
from agentcore.a2a_protocol.ports import InboundMessage, TaskHandle
from agentcore.kit.clock import Clock
from agentcore.kit.jsonvalue import JsonObject

AGENT_ID = "conformance"
DIRECT = {
    "tck-message-response": "Direct message response",
    "tck-stream-002": "Single message stream",
}
FILE = Part(raw=b"Generated file content", media_type="text/plain", filename="output.txt")
LINK = Part(url="https://example.com/output.txt", media_type="text/plain", filename="output.txt")
DATA: JsonObject = {"key": "value", "count": 42}
# The kits look at a task while it is open: for the first it is enough to see it so.
OPEN_SECONDS = 4.0
OLD_SECONDS = 3.0

Act = Callable[[TaskHandle], Awaitable[None]]


class ConformanceAgent:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._acts: tuple[tuple[str, Act], ...] = (
            ("tck-complete-task", _hello),
            ("tck-input-required", lambda task: task.ask("Input required")),
            ("tck-reject-task", lambda task: task.reject("Rejected")),
            ("tck-artifact-text", _making("Generated text content")),
            ("tck-artifact-file-url", _making(LINK)),
            ("tck-artifact-file", _making(FILE)),
            ("tck-artifact-data", _making(DATA)),
            ("tck-stream-artifact-text", _making("Streamed text content", working=True)),
            ("tck-stream-artifact-file", _making(FILE, working=True)),
            ("tck-stream-artifact-chunked", _chunked),
            ("tck-stream-001", _making("Stream hello from TCK", working=True)),
            ("tck-stream-003", _making("Stream task lifecycle", working=True)),
            ("tck-stream-ordering-001", _making("Ordered output", working=True)),
            ("test-resubscribe-message-id", self._open),
            ("tck-", _making("Done", working=True)),
        )

    def hosting(self) -> Hosting:
        return Hosting(
            agent_id=AGENT_ID,
            agent=self,
            name="Conformance agent",
            description="Answers the official A2A compatibility kits.",
            reply=self.reply,
            # The kits use an id for several messages that shall begin several tasks.
            repeats=True,
        )

    async def reply(self, message: InboundMessage) -> str | None:
        found = (text for start, text in DIRECT.items() if message.message_id.startswith(start))
        return next(found, None)

    async def handle(self, message: InboundMessage, task: TaskHandle) -> None:
        for start, act in self._acts:
            if message.message_id.startswith(start):
                await act(task)
                return
        await self._asked_back(task)

    async def _open(self, task: TaskHandle) -> None:
        await task.progress("Working")
        await self._clock.sleep(OPEN_SECONDS)
        await task.complete("Done")

    async def _asked_back(self, task: TaskHandle) -> None:
        await task.progress("Working")
        await self._clock.sleep(OLD_SECONDS)
        await task.ask("What else?")


def _making(content: Part | str | JsonObject, *, working: bool = False) -> Act:
    async def act(task: TaskHandle) -> None:
        if working:
            await task.progress("Working")
        await task.artifact("output", content)
        await task.complete()

    return act


async def _hello(task: TaskHandle) -> None:
    await task.complete("Hello from TCK")


async def _chunked(task: TaskHandle) -> None:
    await task.progress("Working")
    await task.append("output", "chunk-1 ")
    await task.append("output", "chunk-2", last=True)
    await task.complete()
