"""What must neither leave in a prompt nor enter a playbook: secrets and personal data."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from agentcore.kit.jsonvalue import JsonValue

MOST_KEPT, LONGEST_KEPT = 4096, 2000
# What stands behind a name: in quotes, also those of a JSON text within a text, or up to a space.
# What is masked already is not a value, nor is what stands for one or tells how one is.
_NONE = (
    r"""(?!["'\\]{0,5}(?:\$\{?\w+\}?|<[\w -]+>|\{\{?[\w. -]+\}\}?|\*+"""
    r"""|required|optional|missing|expired|invalid|incorrect|unknown|changed)["'\\]{0,5}(?:[\s,;.)]|$))"""
)
_VALUE = (
    r"(?!\[[A-Za-z -]{5,40}\])[\[({]?"
    r"""(?:\\{0,4}"[^"]{4,200}"|\\{0,4}'[^']{4,200}'|[^\s"',;&]{6,})"""
)
# What hardly any word is: letters and digits together.
_MIXED = r"""["'`]?(?=[^\s"'`]{0,60}\d)(?=[^\s"'`]{0,60}[A-Za-z])[^\s"'`,;:/]{6,60}"""
_IS = r"""[\\"'\])]{0,5}\s{0,3}(?:=>|:=|[=:])\s{0,3}"""
_SECRETS = {
    "private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?"
    r"(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
    # Not \b: it would begin anew behind each hyphen of what it reads to the end.
    "JSON web token": r"(?<![\w-])eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*",
    "API key": r"\b(?:sk|pk|rk|ac|xox[abprs]|gh[pousr]|github_pat|glpat|npm|hf|dop_v1|shpat)[-_]"
    r"[A-Za-z0-9_-]{16,}|\bSG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}",
    "AWS key": r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b",
    "Google key": r"\bAIza[A-Za-z0-9_-]{30,}",
    "webhook": r"(?i)\bhttps://(?:hooks\.slack\.com|discord(?:app)?\.com/api/webhooks)/\S{16,}",
    "signature": r"(?i)[?&](?:sig|signature|x-amz-signature|x-goog-signature)=[^\s&\"']{8,}",
    "cookie": r"(?i)\bcookie[\"']?\s{0,3}:\s{0,3}[\"']?[\w.-]{1,64}=[^\s;,\"']+"
    r"(?:;\s{0,3}[\w.-]{1,64}=[^\s;,\"']+)*",
    "bearer credential": r"(?i)\b(?:bearer|basic)\s+[A-Za-z0-9+/_=.-]{16,}"
    r"|\bauthorization[\"']?\s{0,3}[=:]\s{0,3}[\"']?(?:[\w-]{1,20}\s+)?(?!\[)[^\s\"',;]{16,}",
    # Wherever the word stands in a name, as in DB_PASSWORD, clientSecret or AWS_SECRET_ACCESS_KEY.
    "password": r"(?i)(?:pass(?:word|wd|phrase)|(?<![a-z])pwd(?!\W{0,4}[=:]\s{0,3}[\"']?[./~])"
    r"|secret|credential|(?:api|access|account|private|encryption|signing|auth)[_-]?key)"
    rf"[\w.-]{{0,20}}{_IS}{_NONE}{_VALUE}"
    r"|\bpass(?:word|phrase)\s+(?:is|was)\s+(?=\S{0,40}\d)\S{6,}",
    # Of tokens and sessions one also says how many there are, or that one is missing.
    "token": r"(?i)(?:token(?!s)|session[_-]?id)[\w-]{0,20}"
    rf"{_IS}(?=[^\s,;]{{0,200}}[0-9])(?=[^\s,;]{{8}}){_VALUE}",
    "credential in a URL": r"\b[a-z][a-z0-9+.-]{0,20}://[^\s/:@]*:[^\s/@]+@",
    "credential": r"(?<![\w-])(?:-u|--user)[= ]\s{0,3}[^\s:]{1,64}:[^\s:]{4,}"
    rf"|(?i:\blogin|\bcredentials?|\buser(?:name)?):\s{{0,3}}[\w.@-]{{1,64}}\s/\s{_MIXED}",
    "password of a command": r"(?i)\b(?:mysql|mariadb)[\w-]{0,20}\b[^\n|;]{0,120}?\s-p"
    rf"{_NONE}[^\s-]\S{{3,60}}|\bsshpass\s+-p\s?{_NONE}\S{{4,60}}"
    r"|\b(?:redis-cli|docker|podman|helm|oc|az|sqlcmd|bcp|ldap\w{3,9}|mongo\w{0,9}|openssl|7z|zip)"
    rf"\b[^\n|;]{{0,120}}?\s-[apkw]\s{{0,2}}{_MIXED}(?![^\s\"'`])"
    r"|\bhtpasswd\s+-\w*b\w*\s+\S{1,60}\s+\S{1,60}\s+\S{4,60}|\s-U\s?[^\s%]{1,60}%[^\s%]{4,60}"
    rf"|--(?:pass(?:word|wd|phrase)?|secret|token|api-key)\s{{1,3}}{_MIXED}",
    "password in a sentence": r"(?i)\b(?:password|passphrase|api[ -](?:key|token))s?"
    rf"(?:\s+(?:(?:is|was)\s+)?|\s[^.:\n]{{0,30}}:\s{{0,3}}){_MIXED}"
    r"|\bPIN\b[^.\n\d]{0,40}\b(?:is|:|=)\s*\d{4,8}\b",
    "password as told": r"(?i)(?<!\S)(?=\S{0,60}\d)\S{6,60}\s+as\s+(?:the\s+|its\s+|a\s+)?"
    r"(?:password|passphrase|pin)\b",
}
_PERSONAL = {
    "e-mail address": r"[\w.%+-]{1,64}@[\w.-]+\.[^\W\d_]{2,}\b",
    "bank account": r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?\b",
    "social security number": r"(?<![\d-])\d{3}-\d{2}-\d{4}(?![\d-])",
    "telephone number": r"(?<![\w.])\+\d[\d ()/.-]{7,}\d\b"
    r"|(?<![\w.+-])0\d{2,4}[ /-]\d{6,9}\b"
    r"|(?<![\d.-])(?:\(\d{3}\) ?|\d{3}[-.])\d{3}[-.]\d{4}(?![\d.-]\d)",
    "card number": r"(?<![\d-])[2-6](?:[ -]?\d){13,18}\b",
}
_SECRET_NAME = re.compile(
    r"(?i)pass(?:word|wd|phrase|port)|^pwd|secret|credential|authori[sz]ation$|cookie"
    r"|(?:api|access|account|private|encryption|signing)[_-]?key"
    r"|(?:access|auth|refresh|bearer|session|id)[_-]?token|session[_-]?id|^token$|^pin$|^cv[cv]$"
    r"|e-?mail(?:$|[_-]?addr)|phone|^mobile|^ssn|social[_-]?security|iban|(?:card|account)[_-]?number"
    r"|credit[_-]?card|birth(?:day|date)?$|date[_-]?of[_-]?birth|^dob$"
    r"|(?:first|last|family|maiden|middle|full|customer|patient)[_-]?name|^surname$"
    r"|(?:home|street|postal|billing|shipping)[_-]?address"
)
# Characters that nobody sees, and the wide forms of ASCII: they hide a word from a pattern only.
_UNSEEN = dict.fromkeys(
    [0xAD, 0x34F, 0x180E, *range(0x200B, 0x2010), *range(0x2060, 0x2065), 0xFEFF]
)
_WIDE = {wide: wide - 0xFEE0 for wide in range(0xFF01, 0xFF5F)}
_FOLDING = {**_UNSEEN, **_WIDE}
_PATTERNS = {name: re.compile(pattern) for name, pattern in (_SECRETS | _PERSONAL).items()}
# One of these stands in whatever the pattern matches: most texts are done with by looking for them.
_DIGITS = tuple("0123456789")
_SIGNS = {
    "private key": ("-----begin",),
    "JSON web token": ("eyj",),
    "webhook": ("https://",),
    "signature": ("signature=", "sig="),
    "cookie": ("cookie",),
    "bearer credential": ("bearer", "basic", "authorization"),
    "password": ("pass", "pwd", "secret", "credential", "key"),
    "token": ("token", "session"),
    "credential in a URL": ("://",),
    "credential": ("-u", "login:", "credential", "user:", "username:"),
    "password of a command": (
        *("mysql", "mariadb", "sshpass", "redis-cli", "docker", "podman", "helm", "oc ", "az "),
        *("sqlcmd", "bcp", "ldap", "mongo", "openssl", "7z", "zip", "htpasswd", "-u ", "--"),
    ),
    "password in a sentence": ("pass", "api", "pin"),
    "password as told": (" as ",),
    "e-mail address": ("@",),
    "bank account": _DIGITS,
    "social security number": _DIGITS,
    "telephone number": _DIGITS,
    "card number": _DIGITS,
}


def secret_in(text: str) -> str | None:
    """The kind of the first secret or personal datum in ``text``; never the thing itself."""
    plain = folded(text)
    return next((kind for kind, found in _likely(plain) if found.search(plain)), None)


def folded(text: str) -> str:
    """``text`` without what only hides its words from a pattern."""
    return text if text.isascii() else text.translate(_FOLDING)


def masked(name: str, value: JsonValue) -> JsonValue:
    """``value``, unless its ``name`` says that it is nobody's business; flags and gaps are."""
    if value is None or isinstance(value, bool) or not _SECRET_NAME.search(name):
        return value
    return "[secret]"


def scrubbed(text: str) -> str:
    """``text`` with every secret and personal datum replaced by its kind."""
    return _scrubbed_once(text) if len(text) <= LONGEST_KEPT else _scrubbed(text)


def _scrubbed(text: str) -> str:
    plain = folded(text)
    clean = plain
    for kind, pattern in _likely(plain):
        clean = pattern.sub(f"[{kind}]", clean)
    # Where there is nothing to mask it stays as it was written.
    return text if clean == plain else clean


# The same lessons stand in each prompt about a playbook.
_scrubbed_once = lru_cache(maxsize=MOST_KEPT)(_scrubbed)


def _likely(text: str) -> Iterator[tuple[str, re.Pattern[str]]]:
    """The patterns that may match, in their order."""
    folded = text.casefold()
    for kind, pattern in _PATTERNS.items():
        signs = _SIGNS.get(kind)
        if signs is None or any(sign in folded for sign in signs):
            yield kind, pattern
