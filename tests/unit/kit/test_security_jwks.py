"""Tokens of an identity provider, by keys and signatures as they are in the wild."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from agentcore.kit.errors import StartupError, Unauthenticated, Unavailable
from agentcore.kit.key_sets import PAUSE_SECONDS, KeyAddress, KeyFile
from agentcore.kit.security import (
    MOST_KEPT_TOKENS,
    CredentialAuthenticator,
    Principal,
    TokenAuthority,
    TokensOnly,
)
from agentcore.kit.security_jwks import (
    ALGORITHMS,
    LONGEST_TOKEN,
    IdentityProvider,
    identity_provider,
    verification_keys,
)
from tests.fakes.clock import ManualClock
from tests.fakes.identity_provider import (
    FakeIdentityProvider,
    SigningKey,
    key_set,
    rsa_key,
    signing_key,
)

SECRET = "s" * 48
ISSUER = "https://login.example"
NOBODY = IdentityProvider(KeyFile(Path("nowhere")), clock=ManualClock())


class NoKeys:
    async def find(self, presented: str) -> Principal | None:
        return None


class Fixed:
    """A source that has what it was given."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.reads = 0

    def mark(self) -> object:
        return 0

    def read(self) -> bytes:
        self.reads += 1
        return self.data


def provider(*keys: SigningKey, **asks: str) -> IdentityProvider:
    return IdentityProvider(Fixed(key_set(*keys)), clock=ManualClock(), **asks)


def authenticator(foreign: IdentityProvider) -> CredentialAuthenticator:
    return CredentialAuthenticator(TokenAuthority(SECRET, ManualClock()), NoKeys(), foreign)


async def authenticated(foreign: IdentityProvider, token: str) -> Principal:
    return await authenticator(foreign).authenticate(
        {b"authorization": b"Bearer " + token.encode()}
    )


@pytest.fixture(scope="module")
def key() -> SigningKey:
    return signing_key()


@pytest.fixture
async def away() -> AsyncIterator[tuple[FakeIdentityProvider, str]]:
    fake = FakeIdentityProvider()
    async with fake.running() as url:
        yield fake, url


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
async def test_each_algorithm_is_verified_and_gives_what_an_own_token_gives(algorithm: str) -> None:
    key = signing_key(algorithm)
    found = await authenticated(provider(key), key.token(private="yes"))
    assert found == Principal(
        subject="ann", tenant="acme", scopes=frozenset({"llm", "a2a"}), private=True
    )
    own = TokenAuthority(SECRET, ManualClock()).issue(
        subject="ann", tenant="acme", scopes=["llm", "a2a"], lifetime=timedelta(hours=1)
    )
    assert (await authenticated(provider(key), own)).scopes == found.scopes


def test_the_algorithms_are_those_of_public_keys() -> None:
    assert {
        *("RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA"),
    } == ALGORITHMS


async def test_scopes_of_others_give_nothing(key: SigningKey) -> None:
    found = await authenticated(provider(key), key.token(scope="openid profile llm:all"))
    assert not any(found.may(scope) for scope in ("llm", "a2a", "admin", "metrics"))
    none = await authenticated(provider(key), key.token(scope=None))
    assert none.scopes == frozenset()


def encoded(value: object) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def confusions(key: SigningKey) -> list[str]:
    """Signed by HMAC, by nothing, or by another algorithm, with what everybody can know."""
    public = key.private.public_key()
    claims = encoded({"sub": "eve", "scope": "admin", "exp": 9999999999})
    secrets = [
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        json.dumps(key.public).encode(),
        b"",
    ]
    made = []
    for algorithm in ("HS256", "HS384", "HS512"):
        signed = f"{encoded({'alg': algorithm, 'kid': key.kid})}.{claims}"
        digest = getattr(hashlib, f"sha{algorithm[2:]}")
        made += [
            f"{signed}.{encoded(hmac.digest(each, signed.encode(), digest))}" for each in secrets
        ]
    # The header says what is allowed, the signature is of another kind.
    for algorithm in (*sorted(ALGORITHMS), "none", "None", "ES256K", "ES512", ""):
        signed = f"{encoded({'alg': algorithm, 'kid': key.kid})}.{claims}"
        made += [f"{signed}.", *(f"{signed}.{encoded(each)}" for each in (b"x" * 64, b"0" * 256))]
        made += [
            f"{signed}.{encoded(hmac.digest(each, signed.encode(), 'sha256'))}" for each in secrets
        ]
    return made


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
async def test_what_a_token_says_of_its_algorithm_opens_nothing(algorithm: str) -> None:
    key = signing_key(algorithm)
    door = provider(key)
    for token in confusions(key):
        with pytest.raises(Unauthenticated, match="the token is not valid"):
            await authenticated(door, token)
        with pytest.raises(Unauthenticated, match="the token is not valid"):
            await door.verify(token)


async def test_a_key_verifies_by_the_algorithms_of_its_own_kind_alone() -> None:
    elliptic, other = signing_key("ES256", "same"), signing_key("RS256", "same")
    with pytest.raises(Unauthenticated, match="its key is not for 'RS256'"):
        await provider(elliptic).verify(other.token())
    # Two of one name are told apart by their kinds.
    both = provider(elliptic, other)
    assert (await both.verify(elliptic.token())).subject == "ann"
    assert (await both.verify(other.token())).subject == "ann"


async def test_a_key_that_names_its_algorithm_keeps_to_it() -> None:
    key = signing_key("RS256")
    shown = json.dumps({"keys": [{**key.public, "alg": "PS256"}]}).encode()
    door = IdentityProvider(Fixed(shown), clock=ManualClock())
    with pytest.raises(Unauthenticated, match="its key is not for 'RS256'"):
        await door.verify(key.token())
    fitting = SigningKey("k1", key.private, "PS256")
    assert (await door.verify(fitting.token())).subject == "ann"


@pytest.mark.parametrize(
    "headers",
    [{"crit": ["exp"], "exp": 1}, {"b64": True, "crit": ["b64"]}, {"crit": []}],
)
async def test_headers_that_change_the_meaning_are_refused(
    key: SigningKey, headers: dict[str, Any]
) -> None:
    signed = f"{encoded({'alg': 'ES256', 'kid': 'k1', **headers})}.{encoded({'sub': 'a'})}"
    with pytest.raises(Unauthenticated, match="more than a signature"):
        await provider(key).verify(f"{signed}.{encoded(b'x' * 64)}")


async def test_keys_inside_a_token_are_not_looked_at(key: SigningKey) -> None:
    eve = signing_key("ES256", "k1")
    for headers in ({"jwk": eve.public}, {"jku": "http://127.0.0.1:1/x"}, {"x5c": ["MII"]}):
        with pytest.raises(Unauthenticated, match="its signature does not fit"):
            await provider(key).verify(eve.token(headers=headers))


@pytest.mark.parametrize(
    ("claims", "message"),
    [
        ({"exp": 1}, "the token has expired"),
        ({"exp": None}, "exp is no number"),
        ({"exp": True}, "exp is no number"),
        ({"nbf": 9999999998}, "not valid yet"),
        ({"sub": None}, "sub is no text"),
        ({"sub": "x" * 129}, "cannot be used"),
        ({"tenant": ["acme"]}, "tenant is no text"),
        ({"scope": ["admin"]}, "scope is no text"),
        ({"iss": "https://evil.example"}, "its issuer .* 'https://evil.example'"),
        ({"iss": None}, "its issuer .* None"),
        ({"aud": "others"}, "its audience .* 'others'"),
        ({"aud": None}, "its audience .* None"),
        ({"aud": []}, "its audience"),
        ({"aud": {"agentcore": 1}}, "its audience"),
        ({"tenant": "agentcore"}, "the service's own"),
        ({"tenant": "agentcore", "sub": "agentcore"}, "the service's own"),
    ],
)
async def test_what_a_token_must_say(key: SigningKey, claims: dict[str, Any], message: str) -> None:
    door = provider(key, issuer=ISSUER, audience="our-api")
    token = key.token(**{"iss": ISSUER, "aud": "our-api", **claims})
    with pytest.raises(Unauthenticated, match=message):
        await authenticated(door, token)


@pytest.mark.parametrize("audience", ["our-api", ["others", "our-api"]])
async def test_issuer_and_audience_that_fit(key: SigningKey, audience: object) -> None:
    door = provider(key, issuer=ISSUER, audience="our-api")
    token = key.token(iss=ISSUER, aud=audience, nbf=1)
    assert (await door.verify(token)).subject == "ann"
    # Who asks for neither takes both.
    assert (await provider(key).verify(token)).subject == "ann"


async def test_a_token_that_was_accepted_expires_by_the_clock(key: SigningKey) -> None:
    clock = ManualClock()
    door = IdentityProvider(Fixed(key_set(key)), clock=clock)
    token = key.token(exp=int(clock.time()) + 30)
    assert (await door.verify(token)).subject == "ann"
    clock.advance(30)
    with pytest.raises(Unauthenticated, match="expired"):
        await door.verify(token)


async def test_accepted_tokens_are_remembered_up_to_a_bound() -> None:
    key = signing_key("EdDSA")
    door = provider(key)
    tokens = [key.token(sub=f"s{number}") for number in range(MOST_KEPT_TOKENS + 2)]
    for token in tokens:
        await door.verify(token)
    for number in (0, 1, 2, len(tokens) - 1):
        assert (await door.verify(tokens[number])).subject == f"s{number}"


async def test_an_algorithm_that_is_no_text_is_refused(key: SigningKey) -> None:
    signed = f"{encoded({'alg': ['ES256'], 'kid': 'k1'})}.{encoded({'sub': 'a'})}"
    door, token = provider(key), f"{signed}.{encoded(b'x' * 64)}"
    assert not door.signs(token)
    with pytest.raises(Unauthenticated, match="its key is not for"):
        await door.verify(token)


async def test_a_token_without_kid_is_for_the_only_key() -> None:
    nameless = signing_key("ES256", None)
    for shown in (nameless, SigningKey("k1", nameless.private, "ES256")):
        assert (await provider(shown).verify(nameless.token())).subject == "ann"
    with pytest.raises(Unauthenticated, match=r"names no key .* has 2"):
        await provider(nameless, signing_key("ES256", "k2")).verify(nameless.token())


async def test_a_kid_that_is_no_text_is_refused(key: SigningKey) -> None:
    signed = f"{encoded({'alg': 'ES256', 'kid': 7})}.{encoded({'sub': 'a'})}"
    with pytest.raises(Unauthenticated, match="kid is no text"):
        await provider(key).verify(f"{signed}.{encoded(b'x' * 64)}")


@given(st.text(max_size=60))
def test_no_text_is_a_token_by_accident(text: str) -> None:
    assert not NOBODY.signs(text)


@pytest.mark.parametrize("text", ["", ".", "..", "e30", "e30.e30.", "W10.e30.x", "ÿ.ÿ.ÿ", "a" * 9])
async def test_what_is_no_token_is_refused(key: SigningKey, text: str) -> None:
    with pytest.raises(Unauthenticated, match="the token is not valid"):
        await provider(key).verify(text)


async def test_a_token_of_any_length_is_refused_before_it_is_read(key: SigningKey) -> None:
    with pytest.raises(Unauthenticated, match="characters"):
        await provider(key).verify(key.token() + "x" * LONGEST_TOKEN)


async def test_new_keys_are_fetched_once_a_minute_at_most() -> None:
    old, new = signing_key("ES256", "old"), signing_key("ES384", "new")
    clock, fake = ManualClock(), FakeIdentityProvider([old])
    async with fake.running() as url:
        door = IdentityProvider(KeyAddress(url), clock=clock)
        accepted = old.token()
        assert (await authenticated(door, accepted)).subject == "ann"
        fake.keys = [new]
        for _ in range(5):
            with pytest.raises(Unauthenticated, match="'new' is not one of its issuer's"):
                await authenticated(door, new.token())
        assert fake.asked == 1
        clock.advance(PAUSE_SECONDS)
        assert (await authenticated(door, new.token())).subject == "ann"
        with pytest.raises(Unauthenticated, match="'old' is not one"):
            await authenticated(door, accepted)
        assert fake.asked == 2


async def test_a_provider_that_is_away_is_no_fault_of_the_token(
    away: tuple[FakeIdentityProvider, str], key: SigningKey
) -> None:
    fake, url = away
    fake.status = 500
    clock = ManualClock()
    door = IdentityProvider(KeyAddress(url), clock=clock)
    with pytest.raises(Unavailable, match="cannot be read now") as caught:
        await authenticated(door, key.token())
    assert caught.value.retry_after == PAUSE_SECONDS
    own = TokenAuthority(SECRET, clock).issue(
        subject="me", tenant="t", scopes=[], lifetime=timedelta(hours=1)
    )
    assert (await authenticated(door, own)).subject == "me"
    fake.status, fake.keys = 200, [key]
    clock.advance(PAUSE_SECONDS)
    assert (await authenticated(door, key.token())).subject == "ann"


async def test_a_server_without_api_keys_accepts_them_too(key: SigningKey) -> None:
    door = TokensOnly(TokenAuthority(SECRET, ManualClock()), provider(key))
    headers = {b"authorization": b"Bearer " + key.token().encode()}
    assert (await door.authenticate(headers)).tenant == "acme"


def test_keys_that_do_not_verify_are_left_out() -> None:
    good = signing_key("EdDSA", "good").public
    weak = SigningKey("weak", rsa_key(bits=1024), "RS256").public
    wrong: list[Any] = [
        weak,
        signing_key("ES512").public,
        {"kty": "oct", "k": encoded(b"k" * 32), "kid": "shared"},
        {**good, "use": "enc"},
        {**good, "key_ops": ["sign"]},
        {**good, "alg": "HS256"},
        {**good, "alg": "none"},
        {**good, "alg": ["EdDSA"]},
        {**good, "kid": 7},
        {**good, "x": "AAAA"},
        {**good, "x": 7},
        {**good, "crv": "P-256"},
        {"kty": ["OKP"], "crv": "Ed25519"},
        {"kty": "RSA", "n": "", "e": ""},
        {"kty": "RSA"},
        {"kty": "EC", "crv": "P-256", "x": "!!!!", "y": "AA"},
        {},
        "text",
    ]
    found = verification_keys(json.dumps({"keys": [*wrong, good]}).encode())
    assert [(each.kid, each.algorithms) for each in found] == [("good", {"EdDSA"})]
    for each in wrong:
        with pytest.raises(Unavailable, match="no key that verifies"):
            verification_keys(json.dumps({"keys": [each]}).encode())


def test_a_private_key_that_was_published_is_used_as_a_public_one() -> None:
    key = signing_key("RS256")
    shown = jwt.algorithms.RSAAlgorithm.to_jwk(key.private, as_dict=True)
    shown.pop("key_ops")
    (found,) = verification_keys(json.dumps({"keys": [shown]}).encode())
    assert not hasattr(found.material, "private_numbers")


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"keys": {}}', b"\xff", b"<html>"])
def test_what_is_no_key_set_is_said_to_be_none(data: bytes) -> None:
    with pytest.raises(Unavailable, match="no JSON object with a list"):
        verification_keys(data)


def test_too_many_keys_are_refused() -> None:
    with pytest.raises(Unavailable, match="101 keys"):
        verification_keys(json.dumps({"keys": [{}] * 101}).encode())


def of_settings(jwks: str, issuer: str = "", audience: str = "") -> IdentityProvider | None:
    return identity_provider(jwks, issuer=issuer, audience=audience, clock=ManualClock())


async def test_a_file_of_keys_is_read_again_when_it_changes(tmp_path: Path) -> None:
    first, second = signing_key("ES256", "a"), signing_key("ES384", "b")
    path = tmp_path / "keys.json"
    path.write_bytes(key_set(first))
    door = of_settings(str(path))
    assert door is not None
    assert (await door.verify(first.token())).subject == "ann"
    path.write_bytes(key_set(second, signing_key("RS256", "c")))
    assert (await door.verify(second.token())).subject == "ann"
    with pytest.raises(Unauthenticated, match="'a' is not one"):
        await door.verify(first.token())


def test_without_keys_there_is_no_provider() -> None:
    assert of_settings("") is None
    for asks in ({"issuer": ISSUER}, {"audience": "our-api"}):
        with pytest.raises(StartupError, match=r"without security\.jwks"):
            of_settings("", **asks)


def test_a_file_that_holds_no_keys_is_an_error_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text("{}")
    (tmp_path / "folder").mkdir()
    for name, message in [
        ("nowhere.json", "nowhere.json cannot be read: No such file"),
        ("folder", "cannot be read: Is a directory"),
        ("bad.json", "no JSON object with a list of keys"),
    ]:
        with pytest.raises(StartupError, match=message) as caught:
            of_settings(str(tmp_path / name))
        assert "\n" not in caught.value.detail


def test_a_missing_library_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(StartupError, match="needs a library that is not there") as caught:
        IdentityProvider(KeyFile(Path("x")), clock=ManualClock())
    assert caught.value.hint == "pip install 'agentcore[jwks]'"


def test_nothing_is_loaded_before_a_provider_is_configured() -> None:
    program = (
        "import sys\n"
        "from agentcore.settings import foreign_tokens, load_settings, token_authority\n"
        f"settings = load_settings(environ={{'AGENTCORE_SECURITY__JWT_SECRET': {SECRET!r}}})\n"
        "assert foreign_tokens(settings) is None\n"
        "from datetime import timedelta\n"
        "own = token_authority(settings)\n"
        "own.verify(own.issue(subject='a', tenant='t', scopes=[], lifetime=timedelta(hours=1)))\n"
        "print(*sorted({'jwt', 'cryptography', 'httpx2'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.split()) == (0, []), done.stderr
