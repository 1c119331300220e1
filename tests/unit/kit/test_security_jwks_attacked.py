"""What an attacker, or a key server in trouble, might try against `security.jwks`."""

from __future__ import annotations

import asyncio
import json
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from typing import Any

import pytest
import structlog

from agentcore.kit.errors import Unauthenticated
from agentcore.kit.key_sets import FRESH_SECONDS, PAUSE_SECONDS, KeyAddress
from agentcore.kit.security import SKEW_SECONDS, CredentialAuthenticator, Principal, TokenAuthority
from agentcore.kit.security_jwks import IdentityProvider, identity_provider
from tests.fakes.clock import ManualClock
from tests.fakes.identity_provider import FakeIdentityProvider, key_set, signing_key
from tests.fakes.waiting import eventually


class NoKeys:
    async def find(self, presented: str) -> Principal | None:
        return None


class Door:
    """A provider over real HTTP, whose keys everybody may use who can make it sign."""

    def __init__(self, url: str, fake: FakeIdentityProvider, clock: ManualClock) -> None:
        self.fake = fake
        self.clock = clock
        self.provider = IdentityProvider(KeyAddress(url, 60.0), clock=clock)
        self.own = TokenAuthority("s" * 32, clock)
        self._authenticator = CredentialAuthenticator(self.own, NoKeys(), self.provider)

    async def opens(self, token: str) -> bool:
        headers = {b"authorization": b"Bearer " + token.encode("latin-1")}
        try:
            await self._authenticator.authenticate(headers)
        except Unauthenticated:
            return False
        return True


@pytest.fixture
async def door(clock: ManualClock) -> AsyncIterator[Door]:
    fake = FakeIdentityProvider(keys=[signing_key()])
    async with fake.running() as url:
        yield Door(url, fake, clock)


def encoded(value: object) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return urlsafe_b64encode(data).rstrip(b"=").decode()


CLAIMS = encoded({"sub": "eve", "scope": "admin", "exp": 9999999999})


async def test_signatures_of_nothing_fit_no_key(door: Door) -> None:
    header = encoded({"alg": "ES256", "kid": "k1"})
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    for r, s in ((0, 0), (0, 1), (1, 0), (order, order), (order, 1)):
        signature = encoded(r.to_bytes(32, "big") + s.to_bytes(32, "big"))
        assert not await door.opens(f"{header}.{CLAIMS}.{signature}")
    for rest in ("", ".", f".{CLAIMS}", f".{CLAIMS}.", f".{CLAIMS}.."):
        assert not await door.opens(header + rest)


async def test_a_header_that_says_two_things_is_read_in_one_way(door: Door) -> None:
    (key,) = door.fake.keys
    head, _, rest = key.token().partition(".")
    assert await door.opens(f"{head}.{rest}")
    for twice in (
        b'{"alg":"ES256","alg":"none","kid":"k1"}',
        b'{"alg":"none","alg":"ES256","kid":"k1"}',
        b'{"alg":"HS256","kid":"k1","alg":"ES256"}',
    ):
        assert not await door.opens(f"{encoded(twice)}.{rest}")
        assert not await door.opens(f"{encoded(twice)}.{CLAIMS}.")


async def test_what_is_not_quite_the_token_is_not_the_token(door: Door) -> None:
    (key,) = door.fake.keys
    token = key.token()
    assert await door.opens(token)
    head, claims, signature = token.split(".")
    for other in (
        f"{head}.{claims}.{signature}=",
        f"{head}=.{claims}.{signature}",
        f"{head}.{claims} .{signature}",
        f"{head}.{claims}.{signature}.{signature}",
        f"{head}.{claims}.{signature[:-1]}",
        f"{head}.{claims}\u00ff.{signature}",
    ):
        assert not await door.opens(other)


@pytest.mark.parametrize("kid", ["", "../../etc/passwd", "k1\u0000", "k" * 8000, "k2' OR '1'='1"])
async def test_no_kid_leads_anywhere_else(door: Door, kid: str) -> None:
    eve = signing_key("ES256", kid)
    assert not await door.opens(eve.token())


async def test_a_flood_of_unknown_kids_asks_once_and_holds_up_nobody(door: Door) -> None:
    (key,) = door.fake.keys
    good = key.token()
    assert await door.opens(good)
    door.clock.advance(PAUSE_SECONDS)
    gate = asyncio.Event()
    door.fake.waiting_for = gate
    eve = signing_key("ES256", "unknown").token()
    flood = [asyncio.create_task(door.opens(eve)) for _ in range(200)]
    await eventually(lambda: door.fake.asked == 2, 20.0)
    # The server keeps them waiting: callers whose keys are known do not notice.
    assert await door.opens(good)
    assert await door.opens(key.token(sub="bob"))
    gate.set()
    assert not any(await asyncio.gather(*flood))
    assert door.fake.asked == 2


async def test_a_withdrawn_key_is_refused_though_its_token_was_accepted(door: Door) -> None:
    (old,) = door.fake.keys
    token = old.token()
    assert await door.opens(token)
    new = signing_key("ES256", "k2")
    door.fake.keys = [new]
    door.clock.advance(PAUSE_SECONDS)
    assert await door.opens(new.token()), "an unknown key is asked for"
    assert not await door.opens(token)


async def test_a_key_that_comes_back_under_its_name_is_the_new_one(door: Door) -> None:
    (old,) = door.fake.keys
    token = old.token()
    assert await door.opens(token)
    again = signing_key("ES256", old.kid)
    door.fake.keys = [again]
    door.clock.advance(FRESH_SECONDS)
    async with asyncio.timeout(20):
        while not await door.opens(again.token()):
            await asyncio.sleep(0.005)
    assert not await door.opens(token)


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 200_000,
        b'{"keys":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"keys": [{"kty": "oct", "k": "c2VjcmV0", "alg": "HS256", "kid": "k1"}]}',
        b'{"keys": [{"kty": ["EC"], "crv": {}, "kid": "k1"}]}',
        b'{"keys": [{"kty": "EC", "crv": "P-256", "x": "AQ", "y": "AQ", "kid": "k1"}]}',
        json.dumps(
            {"keys": [{"kty": "RSA", "n": encoded(b"\xff" * 150_000), "e": "AQAB", "kid": "k1"}]}
        ).encode(),
    ],
    ids=["deep", "deep keys", "a secret", "odd types", "no point", "huge"],
)
async def test_bad_news_do_not_replace_good_keys(door: Door, body: bytes) -> None:
    (key,) = door.fake.keys
    assert await door.opens(key.token())
    door.fake.body = body
    door.clock.advance(FRESH_SECONDS)
    assert await door.opens(key.token(sub="bob"))
    await eventually(lambda: door.fake.asked == 2, 20.0)
    assert await door.opens(key.token(sub="cleo"))
    door.fake.body = key_set(signing_key())


async def test_an_issuer_whose_clock_is_ahead_is_believed_for_half_a_minute(door: Door) -> None:
    (key,) = door.fake.keys
    now = door.clock.now().timestamp()
    assert await door.opens(key.token(nbf=now + SKEW_SECONDS))
    assert not await door.opens(key.token(nbf=now + SKEW_SECONDS + 1))
    assert not await door.opens(key.token(exp=now))


async def test_a_provider_for_everybody_s_applications_is_warned_of(clock: ManualClock) -> None:
    def made(**asked: Any) -> list[Any]:
        with structlog.testing.capture_logs() as logged:
            identity_provider("https://login.example/keys", issuer="x", clock=clock, **asked)
        return [line["hint"] for line in logged]

    assert made(audience="") == ["set security.jwt_audience"]
    assert made(audience="ours") == []
