"""What callers entrust to the database and nobody may read there: AES-256-GCM (NIST SP 800-38D).

The keys come from secrets outside the database, so that a copy of it tells nothing.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NONCE_BYTES = 12
KEY, NAME = b"agentcore sealing key 1", b"agentcore sealing name 1"


class Unsealable(ValueError):
    """It was sealed with another secret, for another place, or changed since."""


class Sealing:
    """The first of ``secrets`` seals, each of them opens: so that they can be exchanged.

    ``place`` is where a thing is kept; it cannot be opened elsewhere.
    """

    def __init__(self, secrets: Sequence[str]) -> None:
        """At least one secret; each has to be beyond guessing."""
        keys = [each.encode() for each in secrets]
        self._keys = {_derived(each, NAME)[:4].hex(): _derived(each, KEY) for each in keys}
        self._first = next(iter(self._keys))
        self._ciphers: dict[str, AESGCM] = {}

    async def seal(self, plain: bytes, place: str) -> str:
        cipher, nonce = await self._cipher(self._first), secrets.token_bytes(NONCE_BYTES)
        sealed = nonce + cipher.encrypt(nonce, plain, place.encode())
        return f"{self._first}.{urlsafe_b64encode(sealed).decode()}"

    async def opened(self, sealed: str, place: str) -> bytes:
        """Raises Unsealable."""
        name, _, text = sealed.partition(".")
        if name not in self._keys:
            raise Unsealable("it was sealed with a secret that is not known here")
        cipher = await self._cipher(name)
        from cryptography.exceptions import InvalidTag  # loaded with the cipher

        try:
            raw = b64decode(text, altchars=b"-_", validate=True)
            return cipher.decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], place.encode())
        except (InvalidTag, ValueError) as exc:
            raise Unsealable("it was sealed for another place, or changed") from exc

    async def _cipher(self, name: str) -> AESGCM:
        if name not in self._ciphers:
            # The library takes a while to load.
            self._ciphers[name] = await asyncio.to_thread(_cipher, self._keys[name])
        return self._ciphers[name]


def _derived(secret: bytes, purpose: bytes) -> bytes:
    return hmac.digest(secret, purpose, "sha256")


def _cipher(key: bytes) -> AESGCM:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(key)
