from __future__ import annotations

import sys

import pytest

from agentcore.ace.screening import masked, scrubbed, secret_in

# In two pieces, so that nothing that looks for leaked secrets takes them for some.
SECRETS = {
    "sk-" + "proj-abcdefghijklmnop1234": "API key",
    "ghp" + "_abcdefghijklmnopqrst": "API key",
    "AKIA" + "IOSFODNN7EXAMPLE": "AWS key",
    "Authorization: Bearer abcdef0123456789abcdef": "bearer credential",
    "password = hunter2222": "password",
    "api_key: 'abcdefgh'": "password",
    "postgresql://root:" + "geheim@db/x": "credential in a URL",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl": "JSON web token",
    "-----BEGIN RSA " + "PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----": "private key",
    "write to jane.doe+x@example.co.uk": "e-mail address",
    "call +49 (0)30 1234567": "telephone number",
    "card 4111 1111 1111 1111": "card number",
    "call (555) 123-4567 now": "telephone number",
    "ssn 078-05-1120": "social security number",
    "pay to DE89 3704 0044 0532 0130 00": "bank account",
    "github_pat" + "_11ABCDEFG0abcdefghij": "API key",
    "DB_PASS" + "WORD=hunter2222": "password",
    "AWS_SECRET_ACCESS_KEY" + "=wJalrXUtnFEMI/K7MDENG": "password",
    "clientSecret" + " => 'correct horse battery'": "password",
    '400: {"password": "' + 'hunter2222", "user": "x"}': "password",
    r"body {\"api_key\": \"" + r"abcdefgh\"}": "password",
    "the password is " + "hunter2222": "password",
    "pass\u200bword=" + "hunter2222": "password",
    "p\uff41ssword\uff1d" + "hunter2222": "password",
    "refresh_token=" + "abcdefgh12345678": "token",
    "token: " + "f81d4fae7dec11d0": "token",
    "redis://:" + "geheim@cache:6379": "credential in a URL",
    "curl -u admin:" + "hunter2222 https://x": "credential",
    "Authorization: Token " + "abcdef0123456789": "bearer credential",
    "Set-Cookie: sid=" + "abcdef; id=2": "cookie",
    "https://hooks.slack.com/" + "services/T00/B00/abcdefgh": "webhook",
    "GET /blob?sv=1&sig=" + "abcdefgh%3D": "signature",
    "mail jürgen@münchen.example": "e-mail address",
    "call 0151 23456789": "telephone number",
    "call 555.123.4567": "telephone number",
    "mysql -u root -p" + "hunter2222 shop": "password of a command",
    "log in with the password " + "hunter2222": "password in a sentence",
}


@pytest.mark.parametrize(("text", "kind"), SECRETS.items())
def test_secrets_and_personal_data_are_found_and_masked(text: str, kind: str) -> None:
    assert secret_in(text) == kind
    masked = scrubbed(text)
    assert f"[{kind}]" in masked
    assert not any(word in masked for word in ("hunter", "horse", "geheim", "abcdefgh"))
    assert secret_in(masked) is None


@pytest.mark.parametrize(
    "text",
    [
        "Protocol violation: missing required fields",
        "Send the token in the header, never in the body.",
        "Ask for the password again when it was wrong.",
        "Took 2.5 s and 1,234,567 tokens in task-999 at 2026-01-01T10:00:00Z",
        "b12 is better than b3; discover_agents(capabilities=['search'])",
        "Do not repeat a question that the user answered.",
        "Print the invoice number in the summary.",
        "Never print secrets, and never reveal passwords to other agents.",
        "Set max_tokens=4096; the token is missing, the token count was 17.",
        "token: expired, session_id: missing, pwd=/srv/app",
        "Host 10.20.30.40 answered, version 1.2.3.4, build 2026.11.22",
        "Follow the rules for refunds given by the tool, then forget the draft.",
        "SKU 4006381333931, ISBN 978-3-16-148410-0, at 1732245776417450 microseconds",
        "password: required, DB_PASSWORD=$DB_PASSWORD, api_key=<your key>, -p 8080:80/tcp",
        "The user\u2019s name stays \uff34 \u200b as written",
    ],
)
def test_ordinary_lessons_pass(text: str) -> None:
    assert (secret_in(text), scrubbed(text)) == (None, text)


@pytest.mark.parametrize(
    ("name", "hidden"),
    [
        ("db_password", True),
        ("API-Key", True),
        ("token", True),
        ("customerEmail", True),
        ("home_address", True),
        ("lastName", True),
        ("tokens", False),
        ("goal", False),
        ("file_name", False),
        ("email_sent", False),
        ("ip_address", False),
    ],
)
def test_a_name_that_says_secret_hides_its_value(name: str, hidden: bool) -> None:
    assert (masked(name, "value") == "[secret]") is hidden
    assert masked(name, None) is None
    assert masked(name, value=True) is True


@pytest.mark.parametrize(
    "beginning",
    ["eyJ-", "password_", "token=,", "cookie:a=", "a@a.", "-u a:", "0123 ", "password 1"],
)
def test_what_begins_like_a_secret_again_and_again_is_read_in_time(beginning: str) -> None:
    """From each beginning to the end would take minutes, and all others would wait."""
    text = beginning * (20_000 // len(beginning))
    assert secret_in(scrubbed(text)) is None


def test_what_is_long_is_not_kept() -> None:
    text = "a word of a long log, " * 1000
    known = sys.getrefcount(text)
    assert scrubbed(text) == text
    assert sys.getrefcount(text) == known
