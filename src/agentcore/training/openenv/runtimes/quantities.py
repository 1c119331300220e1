"""Amounts in Kubernetes' notation: 500m, 2, 512Mi, 1.5G."""

from __future__ import annotations

import re
from decimal import Decimal

from agentcore.training.openenv.errors import InvalidDeployment
from agentcore.training.openenv.specs import AMOUNT, Resources

_FORM = re.compile(AMOUNT)
_SCALE = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "": Decimal(1),
    **{suffix: Decimal(1000) ** power for power, suffix in enumerate("kMGTP", 1)},
    **{f"{suffix}i": Decimal(1024) ** power for power, suffix in enumerate("KMGTP", 1)},
}
# Less than this is no server of ours, but somebody who forgot the unit.
LEAST_MEMORY = 4 * 1024 * 1024


def amount(text: str) -> Decimal:
    """Cores, or bytes; raises ``InvalidDeployment`` where the text is none."""
    found = _FORM.fullmatch(text)
    if found is None:
        raise InvalidDeployment(
            f"{text!r} is no amount of processors or memory",
            hint="as in Kubernetes: 500m or 2 processors, 512Mi or 2Gi of memory",
        )
    return Decimal(found[1]) * _SCALE[found[2]]


def check_resources(resources: Resources) -> None:
    """Refuse what every runtime would refuse, or worse, accept and never start."""
    for name in ("cpu", "memory"):
        asked, limit = str(getattr(resources, name)), str(getattr(resources, f"{name}_limit"))
        if amount(asked) > amount(limit):
            raise InvalidDeployment(
                f"{name} {asked} is more than its limit {limit}",
                hint=f"raise {name}_limit, or ask for less",
            )
    if amount(resources.cpu_limit) == 0:
        raise InvalidDeployment("a limit of 0 processors runs nothing")
    if amount(resources.memory_limit) < LEAST_MEMORY:
        raise InvalidDeployment(
            f"a limit of {resources.memory_limit} memory runs nothing", hint="512Mi, for instance"
        )
