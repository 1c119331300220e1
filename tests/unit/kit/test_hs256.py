"""Held to PyJWT: what it signs is accepted, and nothing is accepted that it would refuse."""

from __future__ import annotations

import base64
import hmac
import json
from typing import Any

import jwt
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from jwt.types import Options

from agentcore.kit.hs256 import sign, verified

SECRET = "s" * 48
SECRETS = st.text(st.characters(codec="utf-8"), min_size=32, max_size=64)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc"), inner, max_size=3),
    max_leaves=5,
)
CLAIMS = st.dictionaries(st.text("scope", min_size=1), VALUES, max_size=4)
LENIENT: Options = {
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_aud": False,
}


def by_pyjwt(token: str, secret: str = SECRET) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(token, secret, algorithms=["HS256"], options=LENIENT)
    return claims


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signed(header: object, claims: object, secret: str = SECRET, digest: str = "sha256") -> str:
    """A token of these parts, with a signature that fits whatever they are."""
    parts = [
        part if isinstance(part, str) else encoded(json.dumps(part).encode())
        for part in (header, claims)
    ]
    text = ".".join(parts)
    return f"{text}.{encoded(hmac.digest(secret.encode(), text.encode(), digest))}"


HEADER = {"alg": "HS256", "typ": "JWT"}


@given(claims=CLAIMS, secret=SECRETS)
def test_both_read_what_either_signs(claims: dict[str, Any], secret: str) -> None:
    assert by_pyjwt(sign(claims, secret), secret) == claims
    assert verified(jwt.encode(claims, secret, algorithm="HS256"), secret) == claims


def test_spaces_and_line_ends_inside_are_somebodys_style() -> None:
    """Header and claims of RFC 7515, appendix A.1."""
    header = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9"
    claims = (
        "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt"
        "cGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
    )
    assert verified(signed(header, claims), SECRET)["iss"] == "joe"


GOOD = sign({"sub": "ann", "exp": 9999999999}, SECRET)


@given(st.data())
def test_no_change_of_a_token_is_accepted(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(GOOD) - 1))
    put = data.draw(
        st.sampled_from(["", ".", "=", "A", "-", "_", "+", "/", " ", "\n", "\x00", "é"])
    )
    cut = data.draw(st.integers(0, 2))
    changed = GOOD[:at] + put + GOOD[at + cut :]
    assume(changed != GOOD)
    with pytest.raises(ValueError):  # noqa: PT011 - which one is not the point
        verified(changed, SECRET)


def test_every_last_character_but_one_is_refused() -> None:
    """The last character of a signature has two bits that decoders ignore."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    accepted = []
    for last in alphabet:
        try:
            verified(GOOD[:-1] + last, SECRET)
        except ValueError:
            continue
        accepted.append(last)
    assert accepted == [GOOD[-1]]


@pytest.mark.parametrize(
    "token",
    [
        jwt.encode({"sub": "ann"}, "", algorithm="none"),
        jwt.encode({"sub": "ann"}, SECRET * 2, algorithm="HS256"),
        jwt.encode({"sub": "ann"}, SECRET, algorithm="HS384"),
        jwt.encode({"sub": "ann"}, SECRET * 2, algorithm="HS512"),
        signed({"alg": "none"}, {"sub": "ann"}),
        signed({"alg": "hs256"}, {"sub": "ann"}),
        signed({"alg": "RS256"}, {"sub": "ann"}),
        signed({"alg": ["HS256"]}, {"sub": "ann"}),
        signed({"typ": "JWT"}, {"sub": "ann"}),
        signed({**HEADER, "crit": ["exp"]}, {"sub": "ann"}),
        signed({**HEADER, "b64": False}, {"sub": "ann"}),
        signed(["HS256"], {"sub": "ann"}),
        signed(HEADER, ["sub"]),
        signed(HEADER, "ann"),
        signed(HEADER, "e30="),
        signed(HEADER, "e3 0"),
        signed(HEADER, encoded(b'{"sub": NaN}')),
        signed(HEADER, encoded(b'{"sub": "\xff"}')),
        signed(HEADER, ""),
        signed("", ""),
        signed(HEADER, "e30.e30"),
        signed(HEADER, {"sub": "ann"}, digest="sha512"),
        "..",
        "",
    ],
)
def test_what_is_no_token_of_this_secret_is_refused(token: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - which one is not the point
        verified(token, SECRET)
    assert SECRET not in str(caught.value)


@given(
    header=st.dictionaries(st.sampled_from(["alg", "typ", "crit", "b64", "kid", "x"]), VALUES)
    | st.just(HEADER),
    claims=VALUES,
)
def test_nothing_is_accepted_that_pyjwt_refuses(header: dict[str, Any], claims: Any) -> None:
    token = signed(header, claims)
    try:
        ours = verified(token, SECRET)
    except ValueError:
        return
    # It also wants these to be of a kind, which is the caller's business here.
    assume(all(isinstance(ours.get(name, ""), str) for name in ("sub", "jti", "iss")))
    assume(isinstance(header.get("kid", ""), str))
    assert by_pyjwt(token) == ours
