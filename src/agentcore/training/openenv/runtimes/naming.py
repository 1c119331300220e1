"""What a deployment may be called, and what its parts are called where names are stricter."""

from __future__ import annotations

import re

from agentcore.training.openenv.errors import InvalidDeployment
from agentcore.training.openenv.models import ENVIRONMENT_NAME

# With "-env" behind it still a label of DNS, which Kubernetes makes of every Service's name.
LONGEST_LABEL = 63 - len("-env")
MOST_REPLICAS = 100
_NAME = re.compile(ENVIRONMENT_NAME)


def check_name(name: str) -> None:
    """Raise ``InvalidDeployment`` for what no runtime could run, in the same words everywhere."""
    if not _NAME.fullmatch(name):
        raise InvalidDeployment(
            f"{name[:100]!r} cannot be the name of a deployment",
            hint="lower-case letters, digits, hyphens, dots and underscores, from a letter or "
            "digit on",
        )
    if len(dns_label(name)) > LONGEST_LABEL:
        raise InvalidDeployment(
            f"the name {name!r} is too long to be deployed",
            hint=f"at most {LONGEST_LABEL} characters",
        )


def check_replicas(replicas: int) -> None:
    if not 1 <= replicas <= MOST_REPLICAS:
        raise InvalidDeployment(
            f"{replicas} replicas cannot be deployed",
            hint=f"1 to {MOST_REPLICAS}; undeploy takes a deployment away",
        )


def dns_label(name: str) -> str:
    """The name with hyphens for what DNS does not know; not unique: compare the names too."""
    return re.sub(r"[^a-z0-9]+", "-", name).strip("-")


def object_name(name: str) -> str:
    """The name of a deployment's objects in Kubernetes, and of its containers."""
    return f"{dns_label(name)}-env"
