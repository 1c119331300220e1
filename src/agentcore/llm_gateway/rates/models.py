"""How much may be used in a minute."""

from __future__ import annotations

from typing import NamedTuple


class Rates(NamedTuple):
    """What a tenant's callers may use together; None: whatever they like."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None


NO_RATES = Rates()
