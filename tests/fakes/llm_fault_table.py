"""What goes wrong at providers: a table of faults, each as a script for a raw upstream."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.fakes.llm_faults import (
    LAST_CHUNK,
    STREAM,
    Script,
    Step,
    begun,
    chunk,
    document,
    head,
    written,
)
from tests.fakes.llm_speech import Speech

WORDS = ("one ", "two ", "three ", "four ", "five ")


def same(script: Script) -> Callable[[Speech], Script]:
    return lambda speech: script


def after(
    *tail: Step | Callable[[Speech], bytes], end: Step = LAST_CHUNK
) -> Callable[[Speech], Script]:
    """Five words, then ``tail`` as events, then ``end``."""

    def script(speech: Speech) -> Script:
        events = [chunk(each(speech)) if callable(each) else each for each in tail]
        return [*begun(speech, WORDS), *events, end]

    return script


def whole(speech: Speech) -> bytes:
    return written(speech.whole("".join(WORDS)))


def saying(kind: Any) -> Callable[[Speech], bytes]:
    return lambda speech: written(speech.fault(kind, "boom"))


def failing(kind: Any) -> Callable[[Speech], bytes]:
    return lambda speech: speech.failing(kind, "boom")


def listed(kind: Any) -> Callable[[Speech], bytes]:
    return lambda speech: b"[%b]" % saying(kind)(speech)


def sending(body: Callable[[Speech], bytes], status: int = 200) -> Callable[[Speech], Script]:
    return lambda speech: [document(body(speech), status)]


def lying(by: int) -> Callable[[Speech], Script]:
    """A length that is wrong ``by`` so many bytes."""

    def script(speech: Speech) -> Script:
        body = whole(speech)
        return [head(content_length=len(body) + by) + body, "close"]

    return script


def opened(*tail: Step | Callable[[Speech], bytes], end: Step = LAST_CHUNK) -> Any:
    """A stream that has said nothing yet, then ``tail`` as events, then ``end``."""

    def script(speech: Speech) -> Script:
        events = [chunk(each(speech)) if callable(each) else each for each in tail]
        return [STREAM, chunk(speech.opening), *events, end]

    return script


@dataclass(frozen=True)
class Fault:
    """``says`` is the error's code. What happens: to ``both`` kinds of callers, those of ``plain``
    answers, those of ``stream``s, which may have begun; or nobody gets as far as asking ``where``.
    ``only``: the kind of provider that does so.
    """

    says: str
    both: Callable[[Speech], Script] | None = None
    plain: Callable[[Speech], Script] | None = None
    stream: Callable[[Speech], Script] | None = None
    begins: bool = False
    status: int = 502
    ours: bool = True
    where: str = ""
    only: str = ""

    @property
    def stalls(self) -> bool:
        return self.says == "upstream_timeout"

    def script(self, speech: Speech, *, stream: bool) -> Script:
        chosen = (self.stream if stream else self.plain) or self.both
        assert chosen is not None, "nobody gets as far as asking"
        return chosen(speech)

    def met_by(self, kind: str, *, stream: bool) -> bool:
        """``stream``: whether a provider of ``kind`` is asked for one."""
        met = self.stream if stream else self.plain
        return self.only in ("", kind) and bool(met or self.both or self.where)


def down(**more: Any) -> Fault:
    return Fault("upstream_unavailable", **more)


def late(**more: Any) -> Fault:
    return Fault("upstream_timeout", status=504, **more)


def busy(**more: Any) -> Fault:
    return Fault("upstream_rate_limited", status=429, **more)


def odd(**more: Any) -> Fault:
    return Fault("upstream_malformed", **more)


def cut(**more: Any) -> Fault:
    return Fault("upstream_truncated", **more)


def wrong(status: int) -> Fault:
    refused = sending(saying("theirs"), status)
    return Fault("upstream_rejected", refused, status=status, ours=False)


def raw(event: bytes) -> Callable[[Speech], bytes]:
    return lambda speech: event


GARBAGE = raw(b"data: {broken\n\n")
HALF = raw(b'data: {"id": "x", ')
LARGE = raw(b"data: " + b"x" * 40_000)
PAGE = b"<html><body>502 Bad Gateway</body></html>"
BAD_KEY = (
    b'{"error": {"code": 400, "message": "API key not valid.", "status": "INVALID_ARGUMENT",'
    b' "details": [{"reason": "API_KEY_INVALID", "domain": "googleapis.com"}]}}'
)
FAULTS: dict[str, Fault] = {
    # Nobody is reached.
    "refused": down(where="refused"),
    "no such host": down(where="nowhere"),
    "TLS handshake fails": down(where="no TLS"),
    "a certificate that nobody signed": down(where="unknown"),
    "TLS handshake stalls": late(where="silent"),
    "stalls at connect": late(where="deaf"),
    # No answer begins.
    "dropped before the head": down(both=same(["close"])),
    "reset before the head": down(both=same(["reset"])),
    "dropped in the head": down(both=same([b"HTTP/1.1 200 OK\r\nContent-Ty", "close"])),
    "stalls before the head": late(both=same(["stall"])),
    "the head drips": late(both=same([b"HTTP/1.1 200", "pause", b" OK\r\n", "pause", "stall"])),
    "an endless head": odd(both=same([b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n" * 2000, "stall"])),
    "no HTTP": odd(both=same([b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "close"])),
    # Refusals.
    "500": down(both=sending(saying("down"), 500)),
    "503 as a page": down(both=same([document(PAGE, 503, "text/html")])),
    "500 cut in its body": cut(both=same([head(500, content_length=99) + b"{", "close"])),
    "429": busy(both=sending(saying("busy"), 429)),
    "429 with a time": busy(both=same([document(b"{}", 429, retry_after=7)])),
    "529": busy(both=sending(saying("busy"), 529)),
    "401": Fault("upstream_credential_refused", sending(saying("down"), 401)),
    "400": wrong(400),
    "413": wrong(413),
    "422": wrong(422),
    # A head that promises an answer, and none.
    "a page behind 200": odd(both=same([document(PAGE, 200, "text/html")])),
    "empty 200": odd(plain=same([document(b"")])),
    "an empty stream": cut(stream=same([document(b"", kind="text/event-stream")])),
    "an error behind 200": down(both=sending(saying("down"))),
    "a rate limit behind 200": busy(both=sending(saying("busy"))),
    "a rejection behind 200": Fault(
        "upstream_rejected", sending(saying("theirs")), status=400, ours=False
    ),
    "half a document": odd(plain=lambda speech: [document(whole(speech)[:-9])]),
    "a length too long": cut(plain=lying(9)),
    "a length too short": odd(plain=lying(-9)),
    "stalls before its first content": late(
        plain=same([head(content_length=99), "stall"]), stream=opened(end="stall")
    ),
    "cut before its first content": cut(
        plain=lambda speech: [head(content_length=9999) + whole(speech), "reset"],
        stream=opened(end="close"),
    ),
    "an error as first event": down(stream=opened(failing("down"))),
    "a rejection as first event": Fault(
        "upstream_rejected", stream=opened(failing("theirs")), status=400, ours=False
    ),
    "a malformed first event": odd(stream=opened(GARBAGE)),
    "ends without content": cut(stream=opened()),
    "the end without content": cut(stream=opened(lambda speech: speech.last or b": x\n\n")),
    # The caller has five words.
    "cut": cut(stream=after(end="close"), begins=True),
    "reset": cut(stream=after(end="reset"), begins=True),
    "ends early": cut(stream=after(), begins=True),
    "the end without a finish": cut(
        stream=after(lambda speech: speech.last or b": bye\n\n"), begins=True
    ),
    "an error": down(stream=after(failing("down")), begins=True),
    "an error and an end": down(
        stream=after(failing("down"), lambda speech: speech.ending + speech.last), begins=True
    ),
    # Who asked for a plain answer of a provider that streams is refused all the same.
    "a rejection": Fault(
        "upstream_rejected",
        stream=after(failing("theirs")),
        begins=True,
        status=400,
        ours=False,
    ),
    "stalls": late(stream=after(end="stall"), begins=True),
    "a malformed event": odd(
        stream=after(GARBAGE, lambda speech: speech.ending + speech.last), begins=True
    ),
    "half an event": odd(stream=after(HALF), begins=True),
    "an event too large": odd(stream=after(LARGE, end="stall"), begins=True),
    "no chunk": odd(stream=after(b"zz\r\n"), begins=True),
    # As only a Parallax scheduler does it: no event before the first chunk, and after it an end
    # behind the error; a node that dies is silence.
    "a bare error as a stream": down(
        stream=lambda speech: [document(saying("down")(speech), kind="text/event-stream")],
        only="parallax",
    ),
    "a bare rate limit as a stream": busy(
        stream=lambda speech: [document(saying("busy")(speech), kind="text/event-stream")],
        only="parallax",
    ),
    "an error and [DONE]": down(
        stream=after(failing("down"), lambda speech: speech.last), begins=True, only="parallax"
    ),
    "signs of life, then silence": late(
        stream=opened(raw(b": keepalive 1/2\n\n"), end="stall"), only="parallax"
    ),
    # As only Google does it.
    "500 in a list": down(both=sending(listed("down"), 500), only="gemini"),
    "a bare error in a list as a stream": down(
        stream=lambda speech: [document(listed("down")(speech))], only="gemini"
    ),
    "400 for the gateway's key": Fault(
        "upstream_credential_refused", sending(lambda speech: BAD_KEY, 400), only="gemini"
    ),
    "a bare error among the events": down(
        stream=after(lambda speech: saying("down")(speech) + b"\n\n"), begins=True, only="gemini"
    ),
    "no candidates": odd(plain=sending(lambda speech: b"{}"), only="gemini"),
}
