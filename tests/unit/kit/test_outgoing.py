from __future__ import annotations

from starlette.types import Message

from agentcore.kit.outgoing import KEY, Outgoing, outgoing


async def test_it_knows_when_the_answer_began_and_adds_its_header() -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    out = Outgoing(send, (b"x-request-id", b"1"))
    assert not out.status
    await out.send({"type": "http.response.start", "status": 201})
    await out.send({"type": "http.response.body", "body": b"x"})
    assert out.status == 201
    assert sent == [
        {"type": "http.response.start", "status": 201, "headers": [(b"x-request-id", b"1")]},
        {"type": "http.response.body", "body": b"x"},
    ]
    # Whoever stands further in shares it, and what has been put around it meanwhile is kept.
    known, through = outgoing({KEY: out}, send)
    assert known is out
    assert through is send
    made, through = outgoing({}, send)
    await through({"type": "http.response.start", "status": 200, "headers": []})
    assert made.status == 200
