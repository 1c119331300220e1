"""What no spec may have that is registered, whoever wrote it."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from agentcore.training.openenv.registration.errors import EnvironmentValidationError
from agentcore.training.openenv.specs import EnvironmentSpec

# As registries have it, a host with a port and a digest included; no option of a command line.
IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@+-]*")


def screen(spec: EnvironmentSpec) -> None:
    """Raises ``EnvironmentValidationError``; nothing secret or foreign is quoted."""
    if spec.url is None and spec.image is None:
        raise EnvironmentValidationError(
            f"the spec of {spec.name!r} has neither a url nor an image",
            hint="give the url of its server, or the image to deploy",
        )
    if spec.url is not None and (spec.url.username or spec.url.password):
        # Others are shown the address.
        raise EnvironmentValidationError(
            f"the url of {spec.name!r} holds credentials",
            hint="leave them out, and say where the token is: env:NAME or file:PATH",
        )
    if spec.image is not None and IMAGE.fullmatch(spec.image) is None:
        raise EnvironmentValidationError(
            f"the image of {spec.name!r} is no reference of an image",
            hint="as in registry.example/name:1.0",
        )


def without_query(url: str) -> str:
    """``url`` as errors may quote it: a query may hold a secret, and clients drop it."""
    return urlsplit(url)._replace(query="", fragment="").geturl()


def presentable(url: str) -> str:
    """``url`` as callers may see it, whatever others wrote there: without any secret."""
    shown = without_query(url)
    parts = urlsplit(shown)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
