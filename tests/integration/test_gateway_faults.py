"""What callers see of faults: one table, each row over every dialect, by real HTTP on both sides.

Each fault meets a caller in three places: where somebody healthy could take over, where nobody
else serves the model, and where the only healthy one may not see the request.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, NamedTuple

import aiohttp
import pytest

from agentcore.llm_gateway import connection, endpoint, sse
from agentcore.llm_gateway.accounts import CANCELLED, SUCCESS
from agentcore.llm_gateway.dialects.formats import FORMATS
from agentcore.llm_gateway.errors import (
    ParallaxCapacityError,
    ParallaxClusterUnavailableError,
    ParallaxTimeoutError,
    UpstreamRateLimited,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from agentcore.llm_gateway.models import PriceOverride, ProviderConfig, Timeouts
from tests.fakes.certificates import served_with, unknown_certificate
from tests.fakes.llm_apis import Heard
from tests.fakes.llm_door import Door, llm_door
from tests.fakes.llm_fault_table import FAULTS, WORDS, Fault, after, same
from tests.fakes.llm_faults import (
    RawUpstream,
    Script,
    deaf_port,
    raw_upstream,
    well,
)
from tests.fakes.llm_holds import CountingGuard
from tests.fakes.ports import free_port

RESCUE = ("all ", "is ", "well")
PATIENT = Timeouts(connect=60, first_byte=60, idle=60, total=60)
# Of a provider that stalls; where it is not at connecting, that has all the time it needs.
SHORT = Timeouts(connect=60, first_byte=0.25, idle=0.25, total=0.25)
SHORT_OF_WORDS = Timeouts(connect=60, first_byte=60, idle=0.25, total=60)
SHORT_OF_REACH = Timeouts(connect=0.1, first_byte=60, idle=60, total=60)
HANGING_SECONDS = 100.0
ENDS = (b"[DONE]", b"message_stop", b"response.completed")
FREE = PriceOverride(input=Decimal(0), output=Decimal(0))
SECRET = "only for our own ears"
# What a cluster's failures are called until its answer has begun.
PARALLAX = {
    UpstreamRateLimited.code: ParallaxCapacityError,
    UpstreamTimeout.code: ParallaxTimeoutError,
    UpstreamUnavailable.code: ParallaxClusterUnavailableError,
}

Place = Literal["fallback", "alone", "private"]
PLACES: tuple[Place, ...] = ("fallback", "alone", "private")


class Asked(NamedTuple):
    """How one caller asks, and of which kind of provider: the model's name says it all."""

    path: str
    kind: str
    stream: bool
    place: Place

    @property
    def model(self) -> str:
        way = "stream" if self.stream else "plain"
        return f"{self.path.rpartition('/')[2]}-{self.kind}-{way}-{self.place}"

    @property
    def streamed(self) -> bool:
        """The provider is asked for a stream; Parallax always is."""
        return self.stream or self.kind == "parallax"

    @property
    def body(self) -> dict[str, Any]:
        said = {"role": "user", "content": SECRET}
        asked: dict[str, Any] = {"model": self.model, "stream": self.stream}
        if self.path == "/v1/embeddings":
            return {"model": self.model, "input": SECRET}
        if self.path == "/v1/responses":
            return {**asked, "input": SECRET}
        return {**asked, "messages": [said], "max_tokens": 99}


# The caller's own API at the provider, and another one that is translated.
ROUTES = (
    ("/v1/chat/completions", "openai", (False, True)),
    ("/v1/chat/completions", "anthropic", (False, True)),
    ("/v1/chat/completions", "gemini", (False, True)),
    ("/v1/chat/completions", "parallax", (False, True)),
    ("/v1/responses", "openai", (False, True)),
    ("/v1/responses", "compatible", (False, True)),
    ("/v1/messages", "anthropic", (False, True)),
    ("/v1/messages", "compatible", (False, True)),
    ("/v1/embeddings", "openai", (False,)),
    ("/v1/embeddings", "gemini", (False,)),
)
ALL = [
    Asked(path, kind, stream, place)
    for path, kind, ways in ROUTES
    if path in FORMATS
    for stream in ways
    for place in PLACES
]


def meeting(fault: Fault) -> list[Asked]:
    return [each for each in ALL if fault.met_by(each.kind, stream=each.streamed)]


class Seen(NamedTuple):
    """What a caller got: ``broken`` where the answer's own framing was not kept."""

    status: int
    provider: str
    body: bytes
    broken: bool

    @property
    def documents(self) -> list[dict[str, Any]]:
        if not self.body.lstrip().startswith((b"data:", b"event:", b":")):
            return [json.loads(self.body)]
        lines = [line[5:].strip() for line in self.body.split(b"\n") if line.startswith(b"data:")]
        return [json.loads(line) for line in lines if line != b"[DONE]"]

    @property
    def said(self) -> str:
        return "".join(text for each in self.documents for text in texts(each))


def texts(document: dict[str, Any]) -> Iterator[str]:
    """The parts of an answer, of a stream's event or of the whole."""
    for choice in document.get("choices", ()):
        yield (choice.get("delta") or choice.get("message") or {}).get("content") or ""
    if document.get("type") == "response.output_text.delta":
        yield document["delta"]
    if document.get("type") == "content_block_delta":
        yield document["delta"]["text"]
    for item in document.get("output", ()):
        yield from (part["text"] for part in item["content"])
    if document.get("type") == "message":
        yield from (part["text"] for part in document["content"])


def failure_of(document: dict[str, Any]) -> bool:
    return isinstance(document.get("error"), dict) or document.get("type") == "error"


@dataclass
class Scene:
    """One fault at work: who broke, who is well, and who has asked."""

    fault: Fault
    door: Door
    broken: RawUpstream
    healthy: RawUpstream
    guard: CountingGuard
    seen: dict[Asked, Seen] = field(default_factory=dict)

    async def play(self) -> None:
        async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
            for asked in meeting(self.fault):
                group.create_task(self._ask(session, asked))

    async def _ask(self, session: aiohttp.ClientSession, asked: Asked) -> None:
        url = self.door.url + asked.path.removeprefix("/v1")
        private = {"x-agentcore-private": "yes"} if asked.place == "private" else {}
        body, broken = b"", False
        async with session.post(url, json=asked.body, headers=private) as answer:
            try:
                async for part in answer.content.iter_any():
                    body += part
            except aiohttp.ClientPayloadError:
                broken = True
            provider = answer.headers.get("x-agentcore-provider", "")
            self.seen[asked] = Seen(answer.status, provider, body, broken)


def providers(
    fault: Fault, *, reached: str, healthy: str, odd_port: int
) -> Iterator[ProviderConfig]:
    """For each way of asking providers of its own, so that no breaker knows of another's."""
    broken = {
        "": reached,
        "refused": f"http://127.0.0.1:{free_port()}",
        "nowhere": "http://nobody.invalid",
        "unknown": f"https://127.0.0.1:{odd_port}",
        "no TLS": f"https://127.0.0.1:{odd_port}",
        "silent": f"https://127.0.0.1:{odd_port}",
        "deaf": f"http://127.0.0.1:{odd_port}",
    }[fault.where]
    for asked in meeting(fault):
        version = "" if asked.kind == "parallax" else "/v1"
        base = ProviderConfig(
            name=f"broken-{asked.model}",
            kind=asked.kind,  # type: ignore[arg-type]  # of the table's few
            base_url=broken + version,
            self_hosted=True,
            private=True,
            models={asked.model: asked.model},
            timeouts=_timeouts(fault),
            price=FREE,
        )
        yield base
        if asked.place != "alone":
            named = {"name": f"healthy-{asked.model}", "base_url": f"{healthy}/v1"}
            api = {"self_hosted": False, "private": False, "timeouts": PATIENT}
            if asked.kind == "parallax":
                api["kind"] = "compatible"
            yield base.model_copy(update={**named, **api})


def _timeouts(fault: Fault) -> Timeouts:
    if not fault.stalls:
        return PATIENT
    if fault.begins:
        return SHORT_OF_WORDS
    return SHORT_OF_REACH if fault.where else SHORT


@asynccontextmanager
async def odd_port(where: str, folder: Path) -> AsyncIterator[int]:
    """Where one can connect and no further, or not even that."""

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1 if where == "no TLS" else -1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    if where == "deaf":
        with deaf_port() as port:
            yield port
        return
    tls = served_with(unknown_certificate(folder)) if where == "unknown" else None
    server = await asyncio.start_server(meet, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield server.sockets[0].getsockname()[1]


@asynccontextmanager
async def staged(fault: Fault, folder: Path) -> AsyncIterator[Scene]:
    def breaking(asked: Heard) -> Script:
        return fault.script(asked.speech, stream=asked.stream)

    def answering(asked: Heard) -> Script:
        return well(asked.speech, RESCUE, stream=asked.stream)

    async with (
        raw_upstream(breaking) as broken,
        raw_upstream(answering) as healthy,
        odd_port(fault.where, folder) as port,
    ):
        known = providers(fault, reached=broken.url, healthy=healthy.url, odd_port=port)
        async with llm_door(*known) as door:
            guard = CountingGuard()
            door.router.guarded_by(guard)
            yield Scene(fault, door, broken, healthy, guard)


@asynccontextmanager
async def playing(fault: Fault, folder: Path) -> AsyncIterator[Scene]:
    async with staged(fault, folder) as scene:
        async with asyncio.timeout(HANGING_SECONDS):
            await scene.play()
        yield scene


@pytest.fixture(autouse=True)
def low_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "LARGEST_HEAD", 8_192)
    monkeypatch.setattr(sse, "LARGEST_EVENT", 32_768)
    monkeypatch.setattr(endpoint, "LONGEST_PRELUDE", 32_768)


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
async def test_what_callers_see(fault: Fault, tmp_path: Path) -> None:
    async with playing(fault, tmp_path) as scene:
        wrong = {asked.model: found for asked in scene.seen if (found := judged(scene, asked))}
        assert wrong == {}
        assert scene.seen
        # Places are given back, and connections: those of broken answers are not kept.
        assert {each.gate.in_flight for each in scene.door.router.providers.values()} == {0}
        scene.door.pool.close()
        while scene.broken.open or scene.healthy.open:
            await asyncio.sleep(0.001)


def judged(scene: Scene, asked: Asked) -> list[str]:
    """What is wrong with what one caller saw; nothing, it is to be hoped."""
    found = [
        *_answer(scene, asked),
        *_elsewhere(scene, asked),
        *_line(scene, asked),
        *_money(scene, asked),
    ]
    return [f"{each}: {scene.seen[asked]}" for each in found]


def _begun(fault: Fault, asked: Asked) -> bool:
    return fault.begins and asked.stream


def _told(fault: Fault, asked: Asked) -> tuple[int, str]:
    """The status and the code of the failure."""
    own = None if asked.kind != "parallax" or _begun(fault, asked) else PARALLAX.get(fault.says)
    return (fault.status, fault.says) if own is None else (own.http_status, own.code)


def _rescued(scene: Scene, asked: Asked) -> bool:
    fault = scene.fault
    return asked.place == "fallback" and fault.ours and not _begun(fault, asked)


def _answer(scene: Scene, asked: Asked) -> Iterator[str]:
    seen, fault = scene.seen[asked], scene.fault
    if seen.broken:
        yield "its framing is broken"
    elif _rescued(scene, asked):
        yield from _whole(seen, asked)
    elif _begun(fault, asked):
        yield from _part(seen)
    else:
        yield from _refusal(seen, fault, asked)


def _whole(seen: Seen, asked: Asked) -> Iterator[str]:
    if seen.status != 200 or not seen.provider.startswith("healthy"):
        yield "nobody took over"
    elif any(failure_of(each) for each in seen.documents):
        yield "the fault was seen"
    elif asked.path != "/v1/embeddings" and seen.said != "".join(RESCUE):
        yield "it is not the answer"
    elif asked.stream and sum(seen.body.count(end) > 0 for end in ENDS) != 1:
        yield "it has not its end"


def _part(seen: Seen) -> Iterator[str]:
    if seen.status != 200 or not seen.provider.startswith("broken"):
        yield "the stream had not begun"
    elif seen.said != "".join(WORDS):
        yield "words are lost or doubled"
    elif [failure_of(each) for each in seen.documents][-1:] != [True]:
        yield "it does not end with an error"
    elif any(end in seen.body for end in ENDS):
        yield "it ends as if it were whole"


def _refusal(seen: Seen, fault: Fault, asked: Asked) -> Iterator[str]:
    # Who may go nowhere else is told so, where it is not for want of room or the caller's mistake.
    held = asked.place == "private" and fault.ours and fault.status != 429
    status, code = (503, "private_provider_unavailable") if held else _told(fault, asked)
    if seen.status != status:
        yield "another status was due"
    elif len(seen.documents) != 1 or not failure_of(seen.documents[0]):
        yield "it is no error of that API"
    elif asked.path == "/v1/messages" or not fault.ours:
        return  # Anthropic's errors have no code, and a provider's own words are passed on.
    elif seen.documents[0]["error"].get("code") != code:
        yield "another code was due"


def _elsewhere(scene: Scene, asked: Asked) -> Iterator[str]:
    times = scene.broken.asked[asked.model]
    # On a busy machine the time of who stalls may be over before it has read the request.
    if times != (0 if scene.fault.where else 1) and not (scene.fault.stalls and times == 0):
        yield f"the broken one was asked {times} times"
    if scene.healthy.asked[asked.model] != _rescued(scene, asked):
        yield f"the healthy one was asked {scene.healthy.asked[asked.model]} times"


def _line(scene: Scene, asked: Asked) -> Iterator[str]:
    lines = [line for line in scene.door.lines if line.model == asked.model]
    status = SUCCESS if _rescued(scene, asked) else _told(scene.fault, asked)[1]
    if [line.status for line in lines] != [status]:
        yield f"the ledger has {[line.status for line in lines]}"


def _money(scene: Scene, asked: Asked) -> Iterator[str]:
    """What is held for an attempt is let go once: by what was answered, or because nothing was."""
    first = ["settled"] if _begun(scene.fault, asked) else ["released"]
    due = [first, ["settled"]] if _rescued(scene, asked) else [first]
    if (ends := scene.guard.ends(asked.model)) != due:
        yield f"what was held became {ends}, not {due}"


async def test_where_nothing_is_wrong_nobody_takes_over(tmp_path: Path) -> None:
    """The table's own foundation: its speeches are whole answers to the gateway."""
    fine = Fault(
        SUCCESS,
        plain=lambda speech: well(speech, WORDS, stream=False),
        stream=lambda speech: well(speech, WORDS, stream=True),
    )
    async with playing(fine, tmp_path) as scene:
        for asked, seen in scene.seen.items():
            assert seen.provider == f"broken-{asked.model}"
            assert (seen.status, seen.broken) == (200, False)
            assert asked.path == "/v1/embeddings" or seen.said == "".join(WORDS)
        assert scene.healthy.asked.total() == 0
        assert {line.status for line in scene.door.lines} == {SUCCESS}
        assert len(scene.door.lines) == len(scene.seen)


async def test_who_leaves_takes_the_upstream_call_along(tmp_path: Path) -> None:
    """Each caller leaves when its answer has begun, or its call has arrived upstream."""
    endless = Fault("cancelled", plain=same(["stall"]), stream=after(end="stall"))

    async def leave(scene: Scene, session: aiohttp.ClientSession, asked: Asked) -> None:
        url = scene.door.url + asked.path.removeprefix("/v1")
        async with asyncio.TaskGroup() as group:
            call = group.create_task(begin(session, url, asked))
            while not (call.done() if asked.stream else scene.broken.asked[asked.model]):
                await asyncio.sleep(0.001)
            call.cancel()

    async def begin(session: aiohttp.ClientSession, url: str, asked: Asked) -> None:
        async with session.post(url, json=asked.body) as answer:
            await answer.content.readany()

    async with (
        staged(endless, tmp_path) as scene,
        asyncio.timeout(HANGING_SECONDS),
        aiohttp.ClientSession() as session,
    ):
        callers = [asked for asked in ALL if asked.place == "fallback"]
        await asyncio.gather(*(leave(scene, session, asked) for asked in callers))
        while scene.broken.open or len(scene.door.lines) < len(callers):
            await asyncio.sleep(0.001)
        assert {line.status for line in scene.door.lines} == {CANCELLED}
        assert sorted(line.model for line in scene.door.lines) == sorted(
            asked.model for asked in callers
        )
        assert {each.gate.in_flight for each in scene.door.router.providers.values()} == {0}
        assert scene.healthy.asked.total() == 0
        assert [held.ends for held in scene.guard.holds] == [["settled"]] * len(callers)
