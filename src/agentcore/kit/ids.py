from __future__ import annotations

import os
from collections.abc import Callable
from uuid import UUID, SafeUUID, uuid5

from agentcore.kit.clock import SYSTEM_CLOCK, Clock

SIZE = 10
MILLISECONDS = (1 << 48) - 1
# The version and the variant, and where they are not.
FIXED = 0x7 << 76 | 0x2 << 62
RANDOM = ((1 << 80) - 1) & ~(0xF << 76 | 0x3 << 62)
PARTS = 256
UNKNOWN = SafeUUID.unknown
NAMESPACE = UUID("6f1c2f0e-4a53-5d0c-9a50-5c0b8e6f3a11")


class _Entropy:
    """Random bits of the operating system, asked for by the page: a call for each id costs more."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        # Two processes must not go on with the same page.
        os.register_at_fork(after_in_child=self._parts.clear)

    def bits(self, count: int) -> int:
        """``secrets.randbits`` for up to 80; from any thread."""
        try:
            part = self._parts.pop()
        except IndexError:
            page = os.urandom(SIZE * PARTS)
            self._parts += [page[at : at + SIZE] for at in range(SIZE, len(page), SIZE)]
            part = page[:SIZE]
        return int.from_bytes(part, "big") >> (8 * SIZE - count)


_randbits = _Entropy().bits


class Ids:
    """UUIDv7 (RFC 9562, section 5.7): 48 bits of Unix milliseconds, then 74 random bits.

    Generated here and not in SQL: PostgreSQL 14 has no ``uuidv7()``.
    """

    def __init__(
        self,
        clock: Clock = SYSTEM_CLOCK,
        randbits: Callable[[int], int] = _randbits,
    ) -> None:
        self._clock = clock
        self._randbits = randbits

    def new(self) -> UUID:
        return _uuid(self._value())

    def hex(self) -> str:
        """A new one as its 32 digits."""
        return f"{self._value():032x}"

    def _value(self) -> int:
        milliseconds = int(self._clock.time() * 1000)
        random = self._randbits(80) & RANDOM
        return (milliseconds & MILLISECONDS) << 80 | random | FIXED


def _uuid(value: int) -> UUID:
    """``UUID(int=value)`` for a value of 128 bits, without the checks of all that UUID takes."""
    made = UUID.__new__(UUID)
    object.__setattr__(made, "int", value)
    object.__setattr__(made, "is_safe", UNKNOWN)
    return made


def parsed_uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def stable_uuid(text: str, *, within: str = "") -> UUID:
    """``text`` where it is a UUID, else a UUIDv5: callers may use names of their own as ids.

    The same name means something else ``within`` something else.
    """
    return parsed_uuid(text) or uuid5(NAMESPACE, f"{within}/{text}" if within else text)
