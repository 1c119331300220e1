from __future__ import annotations

import os
from collections.abc import Callable
from uuid import UUID, SafeUUID, uuid5

from agentcore.kit.clock import SYSTEM_CLOCK, Clock

UNKNOWN = SafeUUID.unknown
NAMESPACE = UUID("6f1c2f0e-4a53-5d0c-9a50-5c0b8e6f3a11")


def _randbits(bits: int) -> int:
    """``secrets.randbits`` for whole bytes."""
    return int.from_bytes(os.urandom(bits // 8), "big")


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
        milliseconds = int(self._clock.now().timestamp() * 1000)
        value = (milliseconds & ((1 << 48) - 1)) << 80 | self._randbits(80)
        value = value & ~(0xF << 76) | 0x7 << 76
        value = value & ~(0x3 << 62) | 0x2 << 62
        return _uuid(value)


def _uuid(value: int) -> UUID:
    """``UUID(int=value)`` for a value of 128 bits, without the checks of all that UUID takes."""
    made = UUID.__new__(UUID)
    object.__setattr__(made, "int", value)
    object.__setattr__(made, "is_safe", UNKNOWN)
    return made


def stable_uuid(text: str) -> UUID:
    """``text`` where it is a UUID, else its UUIDv5: callers may use names of their own as ids."""
    try:
        return UUID(text)
    except ValueError:
        return uuid5(NAMESPACE, text)
