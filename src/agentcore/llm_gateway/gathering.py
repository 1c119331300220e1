"""An endpoint whose server always streams; who asked for a plain answer gets it put together."""

from __future__ import annotations

from agentcore.llm_gateway.admission import Pass
from agentcore.llm_gateway.endpoint import AFTERMATH_SECONDS, Endpoint, Limits, Reply
from agentcore.llm_gateway.errors import UpstreamMalformed, UpstreamTimeout
from agentcore.llm_gateway.models import ChatCall
from agentcore.llm_gateway.transport import LARGEST_ANSWER, Exchange
from agentcore.llm_gateway.wire import Wire
from agentcore.llm_gateway.wires.streamed_chat import GatheringScanner


class GatheringEndpoint(Endpoint):
    """Its wires ask for streams (``StreamedChatWire``) and answer from plain documents."""

    def _limited(self, call: ChatCall) -> Limits:
        return super()._limited(call._replace(stream=True))

    async def _answer(
        self, call: ChatCall, wire: Wire, exchange: Exchange, limits: Limits, place: Pass
    ) -> Reply:
        scanner = GatheringScanner(self._provider)
        read = 0
        ended = False
        while not ended:
            try:
                data = await exchange.chunk(_patience(scanner, limits))
            except UpstreamTimeout as error:
                if not scanner.done:
                    raise limits.blame(error) from error.__cause__
                data = b""
            ended = not data
            read += len(data)
            if read > LARGEST_ANSWER:
                raise UpstreamMalformed(
                    f"{self._provider} answers with more than {LARGEST_ANSWER} bytes",
                    provider=self._provider,
                )
            begun = scanner.committed
            _take(scanner, data)
            if scanner.committed and not begun:
                place.began(size=call.prompt_bytes)
        return wire.answer(scanner.body, call)


def _take(scanner: GatheringScanner, data: bytes) -> None:
    """What arrived, nothing at the end.

    Raises:
        UpstreamError: it is a failure, or the end before the answer's.
    """
    if data:
        scanner.feed(data)
    else:
        scanner.end()
    if scanner.failure is not None:
        raise scanner.failure


def _patience(scanner: GatheringScanner, limits: Limits) -> float:
    if scanner.done:
        return AFTERMATH_SECONDS
    return limits.silence() if scanner.committed else limits.beginning()
