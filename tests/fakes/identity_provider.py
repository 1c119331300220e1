"""An identity provider: real keys, real tokens, and its JWKS on a loopback port."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from tests.fakes.listening import listening

PATH = "/keys.json"


@dataclass(frozen=True)
class SigningKey:
    kid: str | None
    private: Any
    algorithm: str

    @property
    def public(self) -> dict[str, Any]:
        """As the provider shows it."""
        makers: Any = {"E": OKPAlgorithm, "R": RSAAlgorithm, "P": RSAAlgorithm}
        maker = ECAlgorithm if self.algorithm.startswith("ES") else makers[self.algorithm[0]]
        shown: dict[str, Any] = maker.to_jwk(self.private.public_key(), as_dict=True)
        shown.pop("key_ops", None)
        return shown if self.kid is None else {**shown, "kid": self.kid}

    def token(self, /, headers: dict[str, Any] | None = None, **claims: Any) -> str:
        """A member that is given as None is left out."""
        said = {"sub": "ann", "tenant": "acme", "scope": "llm a2a", "exp": 9999999999, **claims}
        kid = {} if self.kid is None else {"kid": self.kid}
        return jwt.encode(
            {name: value for name, value in said.items() if value is not None},
            self.private,
            algorithm=self.algorithm,
            headers={**kid, **(headers or {})},
        )


@cache
def rsa_key(number: int = 0, bits: int = 2048) -> rsa.RSAPrivateKey:
    """Kept: making one takes a tenth of a second."""
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def signing_key(algorithm: str = "ES256", kid: str | None = "k1") -> SigningKey:
    curves = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}
    if algorithm == "EdDSA":
        return SigningKey(kid, ed25519.Ed25519PrivateKey.generate(), algorithm)
    if algorithm in curves:
        return SigningKey(kid, ec.generate_private_key(curves[algorithm]), algorithm)
    return SigningKey(kid, rsa_key(), algorithm)


def key_set(*keys: SigningKey) -> bytes:
    return json.dumps({"keys": [key.public for key in keys]}).encode()


@dataclass
class FakeIdentityProvider:
    keys: Sequence[SigningKey] = ()
    status: int = 200
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    asked: int = 0
    waiting_for: asyncio.Event | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        """Gives the address of its keys."""
        app = web.Application()
        app.router.add_get(PATH, self._answer)
        async with listening(app) as url:
            yield url + PATH

    async def _answer(self, request: web.Request) -> web.Response:
        self.asked += 1
        if self.waiting_for is not None:
            await self.waiting_for.wait()
        body = key_set(*self.keys) if self.body is None else self.body
        return web.Response(
            body=body, status=self.status, headers=self.headers, content_type="application/json"
        )
