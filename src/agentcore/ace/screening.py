"""What must neither leave in a prompt nor enter a playbook: secrets, and orders to the reader."""

from __future__ import annotations

import re

_SECRETS = {
    "private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?"
    r"(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
    "JSON web token": r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*",
    "API key": r"\b(?:sk|pk|rk|ac|xox[abprs]|gh[pousr]|glpat|hf)[-_][A-Za-z0-9_-]{16,}",
    "AWS key": r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b",
    "Google key": r"\bAIza[A-Za-z0-9_-]{30,}",
    "bearer credential": r"(?i)\b(?:bearer|basic)\s+[A-Za-z0-9+/_=.-]{16,}",
    "password": r"(?i)\b(?:password|passwd|secret|api[_-]?key|access[_-]?token)\b\s*[=:]\s*"
    r"[\"']?[^\s\"',;]{6,}",
    "credential in a URL": r"\b[a-z][a-z0-9+.-]*://[^\s/:@]+:[^\s/@]+@",
}
_PERSONAL = {
    "e-mail address": r"\b[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}\b",
    "card number": r"\b(?:\d[ -]?){13,19}\b",
    "telephone number": r"(?<![\w.])\+\d[\d ()/-]{7,}\d\b",
}
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


def scrubbed(text: str) -> str:
    """``text`` with every secret and personal datum replaced by its kind."""
    for kind, pattern in _PATTERNS.items():
        text = pattern.sub(f"[{kind}]", text)
    return text
