from __future__ import annotations

import stat
from datetime import timedelta
from multiprocessing.pool import ThreadPool
from pathlib import Path

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcore.kit.clock import SystemClock
from agentcore.kit.errors import Forbidden, InvalidInput, StartupError, Unauthenticated
from agentcore.kit.security import (
    MOST_KEPT_TOKENS,
    CredentialAuthenticator,
    OpenDoor,
    Principal,
    TokenAuthority,
    generated_secret,
    principal_of,
)
from tests.fakes.clock import ManualClock

SECRET = "s" * 48
HOUR = timedelta(hours=1)


class OneKey:
    async def find(self, presented: str) -> Principal | None:
        if presented != "ac_known":
            return None
        return Principal(subject="key", tenant="t", scopes=frozenset({"llm"}), key_id="k1")


@pytest.fixture
def authority() -> TokenAuthority:
    return TokenAuthority(SECRET, SystemClock())


@pytest.fixture
def authenticator(authority: TokenAuthority) -> CredentialAuthenticator:
    return CredentialAuthenticator(authority, OneKey())


def bearer(credential: str) -> dict[bytes, bytes]:
    return {b"authorization": f"Bearer {credential}".encode()}


async def test_an_issued_token_names_its_owner(
    authority: TokenAuthority, authenticator: CredentialAuthenticator
) -> None:
    token = authority.issue(subject="ann", tenant="acme", scopes=["llm", "a2a"], lifetime=HOUR)
    found = await authenticator.authenticate(bearer(token))
    assert (found.subject, found.tenant, found.scopes) == ("ann", "acme", {"llm", "a2a"})
    assert found.may("llm")
    assert not found.may("admin")
    with pytest.raises(Forbidden, match="'ann' lacks the scope 'metrics'"):
        found.require("metrics")


@pytest.mark.parametrize("name", [b"x-api-key", b"authorization"])
async def test_an_api_key_works_in_both_headers(
    authenticator: CredentialAuthenticator, name: bytes
) -> None:
    value = b"ac_known" if name == b"x-api-key" else b"Bearer ac_known"
    assert (await authenticator.authenticate({name: value})).key_id == "k1"


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({}, "carries no credential"),
        ({b"authorization": b"Basic YTpi"}, "scheme 'Basic' is not accepted"),
        ({b"authorization": b"Bearer "}, "scheme 'Bearer' is not accepted"),
        (bearer("ac_unknown"), "unknown or revoked"),
        (bearer("not-a-token"), "not valid"),
        ({b"x-api-key": b"not-a-key"}, "not valid"),
    ],
)
async def test_other_credentials_are_refused(
    authenticator: CredentialAuthenticator, headers: dict[bytes, bytes], message: str
) -> None:
    with pytest.raises(Unauthenticated, match=message):
        await authenticator.authenticate(headers)


def test_forged_and_stale_tokens_are_refused(authority: TokenAuthority) -> None:
    other = TokenAuthority("o" * 48, SystemClock())
    forged = other.issue(subject="x", tenant="t", scopes=["admin"], lifetime=HOUR)
    stale = authority.issue(subject="x", tenant="t", scopes=["llm"], lifetime=-HOUR)
    unsigned = jwt.encode({"sub": "x", "exp": 9999999999}, "", algorithm="none")
    timeless = jwt.encode({"sub": "x", "exp": "later"}, SECRET, algorithm="HS256")
    endless = jwt.encode({"sub": "x", "scope": "admin"}, SECRET, algorithm="HS256")
    for token, message in [
        (forged, "not valid"),
        (stale, "expired"),
        (unsigned, "not valid"),
        (endless, "not valid"),
        (timeless, "exp"),
    ]:
        with pytest.raises(Unauthenticated, match=message):
            authority.verify(token)


def test_a_token_that_was_accepted_expires_all_the_same() -> None:
    clock = ManualClock()
    authority = TokenAuthority(SECRET, clock)
    tokens = [
        authority.issue(subject=f"s{number}", tenant="t", scopes=["llm"], lifetime=HOUR)
        for number in range(MOST_KEPT_TOKENS + 2)
    ]
    for _ in range(2):
        subjects = [authority.verify(token).subject for token in tokens]
        assert subjects == [f"s{number}" for number in range(len(tokens))]
    clock.advance(HOUR.total_seconds())
    for token in (tokens[0], tokens[-1]):
        with pytest.raises(Unauthenticated, match="expired"):
            authority.verify(token)


@pytest.mark.parametrize(
    ("claims", "message"),
    [
        ({"exp": 9999999999}, "sub is no text"),
        ({"sub": 7, "exp": 9999999999}, "sub is no text"),
        ({"sub": "ann"}, "exp is no number"),
        ({"sub": "ann", "exp": True}, "exp is no number"),
        ({"sub": "ann", "exp": 9999999999, "nbf": 9999999998}, "not valid yet"),
        ({"sub": "ann", "exp": 9999999999, "nbf": "now"}, "nbf is no number"),
        ({"sub": "ann", "exp": 9999999999, "tenant": None}, "tenant is no text"),
        ({"sub": "ann", "exp": 9999999999, "tenant": ["t"]}, "tenant is no text"),
        ({"sub": "ann", "exp": 9999999999, "scope": ["admin"]}, "scope is no text"),
    ],
)
def test_what_a_token_must_say(
    claims: dict[str, object], message: str, authority: TokenAuthority
) -> None:
    with pytest.raises(Unauthenticated, match=message):
        authority.verify(jwt.encode(claims, SECRET, algorithm="HS256"))


def test_a_token_that_began_is_valid(authority: TokenAuthority) -> None:
    claims = {"sub": "ann", "exp": 9999999999, "nbf": 1, "aud": "anybody"}
    assert authority.verify(jwt.encode(claims, SECRET, algorithm="HS256")).subject == "ann"


@pytest.mark.parametrize("no", [False, "false", "0", 0, None], ids=repr)
def test_a_plain_no_is_not_private(authority: TokenAuthority, no: object) -> None:
    claims = {"sub": "ann", "exp": 9999999999, "private": no}
    assert not authority.verify(jwt.encode(claims, SECRET, algorithm="HS256")).private


@pytest.mark.parametrize("yes", [True, "true", "yes", 1, "nein", [], {}], ids=repr)
def test_anything_else_is_private(authority: TokenAuthority, yes: object) -> None:
    claims = {"sub": "ann", "exp": 9999999999, "private": yes}
    assert authority.verify(jwt.encode(claims, SECRET, algorithm="HS256")).private


@given(st.text(max_size=200))
def test_no_text_is_a_token_by_accident(text: str) -> None:
    with pytest.raises(Unauthenticated):
        TokenAuthority(SECRET, SystemClock()).verify(text)


def test_an_unknown_scope_is_named(authority: TokenAuthority) -> None:
    with pytest.raises(InvalidInput, match="'everything'"):
        authority.issue(subject="x", tenant="t", scopes=["everything"], lifetime=HOUR)


@pytest.mark.parametrize("name", ["", "x" * 129, "a\x00b", "line\nbreak"])
def test_names_that_no_row_could_hold_are_refused(authority: TokenAuthority, name: str) -> None:
    for owner in ({"subject": name, "tenant": "t"}, {"subject": "s", "tenant": name}):
        with pytest.raises(InvalidInput, match="cannot be used"):
            authority.issue(**owner, scopes=["llm"], lifetime=HOUR)
    foreign = jwt.encode({"sub": "s", "tenant": name, "exp": 9999999999}, SECRET, algorithm="HS256")
    with pytest.raises(Unauthenticated, match="cannot be used"):
        authority.verify(foreign)


def test_a_short_secret_is_refused() -> None:
    with pytest.raises(StartupError, match="5 characters"):
        TokenAuthority("short", SystemClock())


async def test_the_open_door_lets_everybody_in() -> None:
    assert (await OpenDoor().authenticate({})).may("metrics")


def test_a_request_without_principal_is_unauthenticated() -> None:
    with pytest.raises(Unauthenticated):
        principal_of({"type": "http"})


def test_the_generated_secret_is_private_and_the_same_for_everybody(tmp_path: Path) -> None:
    path = tmp_path / "home" / "secret"
    with ThreadPool(8) as pool:
        found = set(pool.map(generated_secret, [path] * 32))
    assert len(found) == 1
    assert len(found.pop()) >= 48
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["secret"]


def test_a_secret_that_cannot_be_kept_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StartupError, match="can neither be read nor made"):
        generated_secret(tmp_path / "file" / "secret")
