from __future__ import annotations

from hashlib import blake2b

_SCALE = float(1 << 64)


class Dice:
    """Chances that depend on nothing but a seed, a situation and a name.

    Two prompts that show the same situation under different rules roll the same dice, so that
    what differs between their replies is what the rules changed.
    """

    def __init__(self, seed: int, situation: bytes) -> None:
        self._hash = blake2b(situation, digest_size=8, salt=seed.to_bytes(8, "big", signed=True))

    def number(self, name: str) -> int:
        rolled = self._hash.copy()
        rolled.update(name.encode())
        return int.from_bytes(rolled.digest(), "big")

    def chance(self, name: str) -> float:
        """In [0, 1)."""
        return self.number(name) / _SCALE
