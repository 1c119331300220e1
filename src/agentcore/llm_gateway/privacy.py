"""Which calls are private beyond those that say so: by model, by tenant, by what they hold.

A detector that fails keeps its call from being sent at all.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Protocol

from agentcore.kit.errors import StartupError
from agentcore.kit.jsonvalue import JsonValue
from agentcore.llm_gateway.errors import PrivacyDetectorFailed
from agentcore.llm_gateway.models import ChatCall
from agentcore.llm_gateway.traffic import PrivacyConfig

# Whoever asks chooses the text: each of these reads it once, however it is made, for no two of its
# attempts read the same long run of signs.
EMAIL = re.compile(r"@(?<=[\w.+-]@)[\w-]+\.[\w.-]{2}")
CARD = re.compile(r"\b(?:\d[ -]?){12,18}\d\b")
# As cards are printed: one may stand among other numbers, which the pattern above takes for a part.
PRINTED = tuple(
    re.compile(rf"(?<!\w)(?=({digits})(?!\w))")
    for digits in (
        r"\d{13,19}",
        r"\d{4}[ -]\d{4}[ -]\d{4}[ -]\d{4}",
        r"\d{4}[ -]\d{4}[ -]\d{4}[ -]\d{4}[ -]\d{3}",
        r"\d{4}[ -]\d{6}[ -]\d{4,5}",
    )
)
DOUBLED = tuple(sum(divmod(2 * digit, 10)) for digit in range(10))
SHORTEST_CARD = 10**12
IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?\b")
# One by one: what begins with a constant is found without a look at each sign.
SECRETS = (
    re.compile(r"\bsk-[\w-]{16}"),
    re.compile(r"\bgh[pousr]_\w{30}"),
    re.compile(r"\bAKIA[0-9A-Z]{16}"),
    re.compile(r"\bxox[abprs]-[\w-]{10}"),
    re.compile(r"\.eyJ(?<=[\w-]{10}\.eyJ)[\w-]{10,}\.[\w-]"),
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
)


class Detector(Protocol):
    def __call__(self, text: str) -> bool:
        """Whether ``text`` holds what must not leave."""
        ...


class PrivacyRules:
    def __init__(self, config: PrivacyConfig) -> None:
        self._patterns = config.models
        self._tenants = frozenset(config.tenants)
        self._detect = _detector(config.detector)

    def marked(self, call: ChatCall) -> ChatCall:
        """``call``, private if a rule says so; one that is private stays so."""
        if call.requires_privacy or not self._says_so(call):
            return call
        return call._replace(requires_privacy=True)

    def _says_so(self, call: ChatCall) -> bool:
        if call.tenant in self._tenants or (self._patterns and self._named(call.model)):
            return True
        return self._detect is not None and _holds(self._detect, call)

    def _named(self, model: str) -> bool:
        return any(fnmatchcase(model, pattern) for pattern in self._patterns)


def _holds(detect: Detector, call: ChatCall) -> bool:
    try:
        return detect("\n".join(texts_of(dict(call.body))))
    except Exception as error:  # noqa: BLE001 - an operator's own code
        # What it says of its failure may quote what it read, and would be logged.
        raise PrivacyDetectorFailed(
            f"the privacy detector failed ({type(error).__name__}), and nothing was sent",
            hint="llm_gateway.privacy.detector names it; call it with a text of your own",
        ) from None


def holds_private_data(text: str) -> bool:
    """The builtin detector."""
    if EMAIL.search(text) or any(secret.search(text) for secret in SECRETS):
        return True
    return (
        any(_is_card(found.group()) for found in CARD.finditer(text))
        or any(_is_card(found[1]) for printed in PRINTED for found in printed.finditer(text))
        or any(_has_iban(found.group()) for found in IBAN.finditer(text))
    )


def texts_of(value: JsonValue) -> Iterator[str]:
    """Every text in a document, names of members aside; pictures and files are texts too, and so
    are numbers as long as a card's.
    """
    waiting: list[JsonValue] = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, str):
            yield each
        elif isinstance(each, int) and each >= SHORTEST_CARD:
            yield str(each)
        elif isinstance(each, list):
            waiting.extend(each)
        elif isinstance(each, dict):
            waiting.extend(each.values())


def _detector(name: str) -> Detector | None:
    if not name:
        return None
    if name == "builtin":
        return holds_private_data
    module, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise StartupError(
            f"the privacy detector {name!r} cannot be loaded: {error}",
            hint="llm_gateway.privacy.detector is 'builtin' or module:function",
        ) from error
    if not callable(found):
        raise StartupError(f"the privacy detector {name!r} cannot be called")
    detect: Detector = found
    return detect


def _is_card(text: str) -> bool:
    """By the check digit (ISO/IEC 7812-1)."""
    digits = [*map(int, text.replace(" ", "").replace("-", ""))]
    doubled = map(DOUBLED.__getitem__, digits[-2::-2])
    return not (sum(digits[-1::-2]) + sum(doubled)) % 10


def _has_iban(text: str) -> bool:
    """What follows one may look like its next group."""
    groups = text.split(" ")
    return any(_is_iban("".join(groups[:last])) for last in range(1, len(groups) + 1))


def _is_iban(plain: str) -> bool:
    """By its check digits (ISO 13616)."""
    rotated = plain[4:] + plain[:4]
    return int("".join(str(int(sign, 36)) for sign in rotated)) % 97 == 1


NO_RULES = PrivacyRules(PrivacyConfig.model_validate({}))
