"""What must neither leave in a prompt nor enter a playbook: secrets, and orders to the reader."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from agentcore.kit.jsonvalue import JsonValue

MOST_KEPT, LONGEST_KEPT = 4096, 2000
# What stands behind a name: in quotes, also those of a JSON text within a text, or up to a space.
# What is masked already is not a value.
_VALUE = (
    r"(?!\[[A-Za-z -]{5,40}\])[\[({]?"
    r"""(?:\\{0,4}"[^"]{4,200}"|\\{0,4}'[^']{4,200}'|[^\s"',;&]{6,})"""
)
_IS = r"""[\\"'\])]{0,5}\s{0,3}(?:=>|:=|[=:])\s{0,3}"""
_SECRETS = {
    "private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?"
    r"(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
    # Not \b: it would begin anew behind each hyphen of what it reads to the end.
    "JSON web token": r"(?<![\w-])eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*",
    "API key": r"\b(?:sk|pk|rk|ac|xox[abprs]|gh[pousr]|github_pat|glpat|npm|hf)[-_]"
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
    rf"[\w.-]{{0,20}}{_IS}{_VALUE}"
    r"|\bpass(?:word|phrase)\s+(?:is|was)\s+(?=\S{0,40}\d)\S{6,}",
    # Of tokens and sessions one also says how many there are, or that one is missing.
    "token": r"(?i)(?:token(?!s)|session[_-]?id)[\w-]{0,20}"
    rf"{_IS}(?=[^\s,;]{{0,200}}[0-9])(?=[^\s,;]{{8}}){_VALUE}",
    "credential in a URL": r"\b[a-z][a-z0-9+.-]{0,20}://[^\s/:@]*:[^\s/@]+@",
    "credential": r"(?<![\w-])(?:-u|--user)[= ]\s{0,3}[^\s:]{1,64}:[^\s:]{4,}",
}
_PERSONAL = {
    "e-mail address": r"[\w.%+-]{1,64}@[\w.-]+\.[^\W\d_]{2,}\b",
    "bank account": r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?\b",
    "social security number": r"(?<![\d-])\d{3}-\d{2}-\d{4}(?![\d-])",
    "telephone number": r"(?<![\w.])\+\d[\d ()/.-]{7,}\d\b"
    r"|(?<![\w.+-])0\d{2,4}[ /-]\d{6,9}\b"
    r"|(?<![\d.-])(?:\(\d{3}\) ?|\d{3}[-.])\d{3}[-.]\d{4}(?![\d.-]\d)",
    "card number": r"\b(?:\d[ -]?){13,19}\b",
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
_ORDERS = (
    (
        r"(?i)\b(?:ignore|disregard|forget|override)\b[^.]{0,40}"
        r"\b(?:previous|prior|above|earlier|all|your)\b[^.]{0,30}"
        r"\b(?:instructions?|rules?|prompts?|directions?|playbook)\b"
    ),
    (
        r"(?i)\b(?:ignore|disregard|forget|override)\b[^.]{0,40}"
        r"\b(?:instructions?|rules?|prompts?|directions?)\b[^.]{0,20}"
        r"\b(?:above|before|earlier|so far|given)\b"
    ),
    r"(?i)\b(?:forget|ignore|disregard) (?:everything|anything)\b",
    r"(?i)\bignorier\w*\b[^.]{0,40}\b(?:anweisung|regel|vorgabe)",
    (
        r"(?i)\bignor(?:a|e|ez|er|ad|en)\b[^.]{0,40}"
        r"\b(?:instrucciones|instructions|consignes|reglas|r[eè]gles)\b"
    ),
    r"忽略[^。]{0,12}(?:指令|指示|规则)",
    r"(?i)\byou are now\b|\bfrom now on,? (?:you|act|answer|obey)\b",
    (
        r"(?i)\b(?:act as|pretend (?:to be|you are)|behave as) (?:an? |the )?"
        r"(?:unrestricted|unfiltered|jailbroken|root\b|dan\b|administrator|developer mode)"
    ),
    r"(?i)\b(?:new|updated|additional) instructions?\s*:|^\W*(?:system|assistant|user|human)\s*:",
    r"(?i)\b(?:system|developer) (?:prompt|message)\b",
    (
        # Not where it is forbidden: "never print secrets" is a good rule.
        r"(?i)(?<!never )(?<!not )(?<!n't )\b(?:reveal|print|repeat|leak|exfiltrate)\b[^.]{0,40}"
        r"\b(?:prompt|instructions?|secrets?|keys?|passwords?)\b"
    ),
    r"(?i)</?\s*(?:system|assistant|user|tool|instructions?)\s*>|<\|[a-z_]+\|>|\[/?INST\]",
    r"(?i)\bdo not (?:tell|inform|mention)\b[^.]{0,30}\b(?:user|human|operator)\b",
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
    "credential": ("-u",),
    "e-mail address": ("@",),
    "bank account": _DIGITS,
    "social security number": _DIGITS,
    "telephone number": _DIGITS,
    "card number": _DIGITS,
}
_ORDER_PATTERNS = tuple(re.compile(pattern) for pattern in _ORDERS)


def secret_in(text: str) -> str | None:
    """The kind of the first secret or personal datum in ``text``; never the thing itself."""
    plain = _folded(text)
    return next((kind for kind, found in _likely(plain) if found.search(plain)), None)


def order_in(text: str) -> str | None:
    """The words in ``text`` that address the reading model rather than describe the work."""
    plain = _folded(text)
    for pattern in _ORDER_PATTERNS:
        if found := pattern.search(plain):
            return found.group()[:80]
    return None


def masked(name: str, value: JsonValue) -> JsonValue:
    """``value``, unless its ``name`` says that it is nobody's business; flags and gaps are."""
    if value is None or isinstance(value, bool) or not _SECRET_NAME.search(name):
        return value
    return "[secret]"


def scrubbed(text: str) -> str:
    """``text`` with every secret and personal datum replaced by its kind."""
    return _scrubbed_once(text) if len(text) <= LONGEST_KEPT else _scrubbed(text)


def _scrubbed(text: str) -> str:
    plain = _folded(text)
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


def _folded(text: str) -> str:
    return text if text.isascii() else text.translate(_FOLDING)
