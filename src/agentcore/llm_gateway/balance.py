"""Which of several own clusters or nodes takes a call: the least busy, with a liking for the one
that has probably read the beginning of the prompt before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import blake2b

from agentcore.kit.jsonvalue import JsonValue
from agentcore.llm_gateway.candidates import ProviderState
from agentcore.llm_gateway.models import ChatCall

# What is not this much busier than the least busy may be preferred for its cache.
SLACK = 2.0
PREFIX_BYTES = 1024
ASSUMED_SECONDS = 1.0
# Members that hold a prompt, in the order in which models read them.
PROMPTS = ("system", "instructions", "messages", "input")


def balanced(call: ChatCall, own: Sequence[ProviderState]) -> list[ProviderState]:
    """The order of trial: by latency times calls outstanding, the new one included.

    Of those within ``SLACK`` of the least, the prompt's beginning chooses the order, always the
    same one for the same beginning (rendezvous hashing: who comes or goes moves only its own).
    """
    if len(own) < 2:
        return list(own)
    known = [each.pace.first_seconds for each in own if each.pace.first_seconds]
    # Who has not answered yet is tried as if it were the best.
    unknown = min(known, default=ASSUMED_SECONDS)
    busy = {
        each.name: (each.pace.first_seconds or unknown) * (each.outstanding + 1) for each in own
    }
    most = SLACK * min(busy.values())
    near = [each for each in own if busy[each.name] <= most]
    if len(near) > 1:
        prefix = prefix_of(call)
        near.sort(key=lambda each: _liking(prefix, each.name), reverse=True)
    far = [each for each in own if busy[each.name] > most]
    return [*near, *sorted(far, key=lambda each: busy[each.name])]


def prefix_of(call: ChatCall) -> bytes:
    """The beginning of what the model is to read, however the caller speaks."""
    parts: list[bytes] = []
    size = 0
    for text in _texts([call.body.get(name) for name in PROMPTS]):
        # Longer texts are cut before they are encoded: some are files.
        parts.append(text[:PREFIX_BYTES].encode(errors="replace"))
        size += len(parts[-1])
        if size >= PREFIX_BYTES:
            break
    return b"\0".join(parts)[:PREFIX_BYTES]


def _texts(value: JsonValue) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
    elif isinstance(value, dict):
        for name in ("role", "text", "content"):
            yield from _texts(value.get(name))


def _liking(prefix: bytes, name: str) -> bytes:
    return blake2b(prefix, digest_size=8, person=b"agentcore", salt=_salt(name)).digest()


def _salt(name: str) -> bytes:
    return blake2b(name.encode(), digest_size=16).digest()
