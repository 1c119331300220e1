"""What must neither leave in a prompt nor enter a playbook: secrets, and orders to the reader."""

from __future__ import annotations

import re
from functools import lru_cache

from agentcore.kit.jsonvalue import JsonValue

_SECRETS = {
    "private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?"
    r"(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
    # Not \b: it would begin anew behind each hyphen of what it reads to the end.
    "JSON web token": r"(?<![\w-])eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*",
    "API key": r"\b(?:sk|pk|rk|ac|xox[abprs]|gh[pousr]|github_pat|glpat|npm|hf)[-_]"
    r"[A-Za-z0-9_-]{16,}",
    "AWS key": r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b",
    "Google key": r"\bAIza[A-Za-z0-9_-]{30,}",
    "bearer credential": r"(?i)\b(?:bearer|basic)\s+[A-Za-z0-9+/_=.-]{16,}",
    "password": r"(?i)\b(?:password|passwd|secret|api[_-]?key|access[_-]?token)\b\s*[=:]\s*"
    r"[\"']?[^\s\"',;]{6,}",
    "credential in a URL": r"\b[a-z][a-z0-9+.-]{0,20}://[^\s/:@]+:[^\s/@]+@",
}
_PERSONAL = {
    "e-mail address": r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9.-]+\.[A-Za-z]{2,}\b",
    "bank account": r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?\b",
    "social security number": r"(?<![\d-])\d{3}-\d{2}-\d{4}(?![\d-])",
    "card number": r"\b(?:\d[ -]?){13,19}\b",
    "telephone number": r"(?<![\w.])\+\d[\d ()/-]{7,}\d\b"
    r"|(?<![\d-])(?:\(\d{3}\) ?|\d{3}-)\d{3}-\d{4}(?![\d-])",
}
_SECRET_NAME = re.compile(
    r"(?i)pass(?:word|wd|phrase)|secret|credential|authori[sz]ation$|cookie|private[_-]?key"
    r"|(?:api|access|account)[_-]?key|(?:access|auth|refresh|bearer|session|id)[_-]?token|^token$"
    r"|^(?:e-?mail|phone|ssn|iban|card[_-]?number)"
)
_ORDERS = (
    (
        r"(?i)\b(?:ignore|disregard|forget|override)\b[^.]{0,40}"
        r"\b(?:previous|prior|above|earlier|all|your)\b[^.]{0,30}"
        r"\b(?:instructions?|rules?|prompts?|directions?|playbook)\b"
    ),
    r"(?i)\byou are now\b",
    r"(?i)\b(?:system|developer) (?:prompt|message)\b",
    (
        r"(?i)\b(?:reveal|print|repeat|leak|exfiltrate)\b[^.]{0,40}"
        r"\b(?:prompt|instructions?|secrets?|keys?|passwords?)\b"
    ),
    r"(?i)</?\s*(?:system|assistant|user|tool|instructions?)\s*>|<\|[a-z_]+\|>|\[/?INST\]",
    r"(?i)\bdo not (?:tell|inform|mention)\b[^.]{0,30}\b(?:user|human|operator)\b",
)
_PATTERNS = {name: re.compile(pattern) for name, pattern in (_SECRETS | _PERSONAL).items()}
_ORDER_PATTERNS = tuple(re.compile(pattern) for pattern in _ORDERS)


def secret_in(text: str) -> str | None:
    """The kind of the first secret or personal datum in ``text``; never the thing itself."""
    return next((kind for kind, found in _PATTERNS.items() if found.search(text)), None)


def order_in(text: str) -> str | None:
    """The words in ``text`` that address the reading model rather than describe the work."""
    for pattern in _ORDER_PATTERNS:
        if found := pattern.search(text):
            return found.group()[:80]
    return None


def masked(name: str, value: JsonValue) -> JsonValue:
    """``value``, unless its ``name`` says that it is nobody's business; flags and gaps are."""
    if value is None or isinstance(value, bool) or not _SECRET_NAME.search(name):
        return value
    return "[secret]"


@lru_cache(maxsize=8192)
def scrubbed(text: str) -> str:
    """``text`` with every secret and personal datum replaced by its kind."""
    for kind, pattern in _PATTERNS.items():
        text = pattern.sub(f"[{kind}]", text)
    return text
