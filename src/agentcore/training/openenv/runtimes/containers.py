"""What runs in a container for a spec: one of our images, or one that somebody else made."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from agentcore.kit.jsonvalue import JsonValue
from agentcore.training.openenv.errors import InvalidDeployment
from agentcore.training.openenv.runtimes.naming import dns_label
from agentcore.training.openenv.specs import EnvironmentSpec

PORT = 8000
SECRET_VARIABLE = "AGENTCORE_SECURITY__JWT_SECRET"  # noqa: S105 - the name of a variable
# The user of the project's image.
OWN_USER = 10001
_IMAGE = re.compile(r"[\w][\w./:@-]{0,511}", re.ASCII)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,255}")
_TAG = re.compile(r"[^A-Za-z0-9_.-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """``own`` images are trusted with the token that callers need; empty ``args`` are the image's.

    ``user`` is None where the image decides, which must not be root on Kubernetes.
    """

    image: str
    own: bool
    args: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    user: int | None = None
    writable: bool = False


def container_of(spec: EnvironmentSpec, image_prefix: str) -> Container:
    """``spec.deployment_config`` may say ``image, env, args, run_as_user, writable_root``.

    Raises:
        InvalidDeployment: there is no image for it, or its configuration is none.
    """
    config = _Configuration(spec)
    own = spec.source == "bundled"
    image = spec.image or config.text("image")
    if own and not image:
        image = f"{image_prefix}{dns_label(spec.name)}:{version_tag(spec.version) or 'latest'}"
    if not image:
        raise InvalidDeployment(
            f"{spec.name} has no image to run", hint="give one: --image, or `image` of its spec"
        )
    if not _IMAGE.fullmatch(image):
        detail = f"{image!r} is not the name of an image"
        raise InvalidDeployment(detail, hint="as in registry.example/name:1.0")
    if own:
        serve = ("env", "serve", spec.name, "--host", "0.0.0.0", "--port", str(PORT))  # noqa: S104 - inside its container
        environment = {"AGENTCORE_HOME": "/tmp/agentcore", **config.environment()}  # noqa: S108 - its own
        return Container(image=image, own=True, args=serve, environment=environment, user=OWN_USER)
    return Container(
        image=image,
        own=False,
        args=config.arguments(),
        environment={"HOME": "/tmp", **config.environment()},  # noqa: S108 - its own
        user=config.user(),
        writable=config.flag("writable_root"),
    )


def version_tag(version: str) -> str:
    """A version as an image tag or a label: a build suffix (+) is allowed in neither."""
    return _TAG.sub("-", version)[:63].strip("-_.")


class _Configuration:
    """``deployment_config`` of a spec, read with care: hubs and catalogs write into it too."""

    def __init__(self, spec: EnvironmentSpec) -> None:
        self._name = spec.name
        self._values = spec.deployment_config or {}

    def text(self, name: str) -> str:
        value = self._values.get(name)
        if value is not None and not isinstance(value, str):
            raise self._refusal(name, "a text")
        return value or ""

    def flag(self, name: str) -> bool:
        value = self._values.get(name, False)
        if not isinstance(value, bool):
            raise self._refusal(name, "true or false")
        return value

    def user(self) -> int | None:
        value = self._values.get("run_as_user")
        if value is not None and (not isinstance(value, int) or value < 1):
            raise self._refusal("run_as_user", "the number of a user other than root")
        return value

    def arguments(self) -> tuple[str, ...]:
        value = self._values.get("args", [])
        if not isinstance(value, list):
            raise self._refusal("args", "a list of texts")
        return tuple(self._scalar("args", each) for each in value)

    def environment(self) -> dict[str, str]:
        value = self._values.get("env", {})
        if not isinstance(value, dict) or not all(_VARIABLE.fullmatch(name) for name in value):
            raise self._refusal("env", "an object of variables")
        return {name: self._scalar("env", each) for name, each in value.items()}

    def _scalar(self, name: str, value: JsonValue) -> str:
        if not isinstance(value, str | int | float) or isinstance(value, bool):
            raise self._refusal(name, "made of texts")
        return str(value)

    def _refusal(self, name: str, kind: str) -> InvalidDeployment:
        return InvalidDeployment(f"deployment_config.{name} of {self._name} must be {kind}")
