"""The only place that reads the environment: ``AGENTCORE_*`` variables over ``agentcore.toml``.

Sections nest by two underscores: ``AGENTCORE_SERVER__PORT=9000`` is ``[server] port = 9000``.
Lists and tables are given as JSON. A secret may be a reference: ``env:NAME`` or ``file:PATH``.
A name that is not known is an error, not a silence.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from platformdirs import user_data_path
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from agentcore.a2a_protocol.models.config import A2AConfig
from agentcore.ace.models import ACEConfig
from agentcore.kit.clock import SYSTEM_CLOCK, Clock
from agentcore.kit.errors import StartupError
from agentcore.kit.http import origin
from agentcore.kit.models import CacheConfig, DatabaseConfig
from agentcore.kit.security import TokenAuthority, generated_secret
from agentcore.kit.security_jwks import IdentityProvider, identity_provider
from agentcore.llm_gateway.models import GatewayConfig
from agentcore.observability.logs import LogFormat, LogLevel
from agentcore.observability.models import ObservabilityConfig
from agentcore.training.openenv.models import TrainingConfig

PREFIX = "AGENTCORE_"
CONFIG_NAME = "agentcore.toml"
JWT_FILE = "jwt-secret"
# Names that the design and the seeds give to single settings.
ALIASES = {
    "AGENTCORE_HOME": ("home",),
    "AGENTCORE_DATABASE_URL": ("database", "url"),
    "AGENTCORE_REDIS_URL": ("cache", "url"),
    "DOCKER_HOST": ("training", "deployment", "docker_host"),
}
# What OpenEnv's own images are told; an environment that is served alone listens to it too.
CONTAINER_ALIASES = {
    "OPENENV_MODE": ("training", "server", "mode"),
    "OPENENV_MAX_EPISODES": ("training", "server", "max_episodes"),
    "MAX_EPISODES": ("training", "server", "max_episodes"),
    "OPENENV_MAX_STEPS_PER_EPISODE": ("training", "server", "max_episode_steps"),
    "LOG_LEVEL": ("server", "log_level"),
}
# Seed 002's name for the key of Portkey's service.
PORTKEY_KEY, PORTKEY = "PORTKEY_API_KEY", "portkey"
# Variables of the command line and of dev.py, which set nothing of the service.
OF_THE_COMMAND = frozenset({"AGENTCORE_CONFIG", "AGENTCORE_TOKEN"})
OF_DEV = "AGENTCORE_DEV_"
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
# Addresses to listen on that nobody can connect to everywhere, and what stands for them here.
WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not bound


class ServerConfig(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8001, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    public_url: str = Field(
        "", description="How others reach this service; empty: as the request at hand did."
    )
    drain_seconds: float = Field(
        30.0, ge=0, description="Seconds that requests in flight may take after SIGTERM."
    )
    log_level: LogLevel = Field("info", description="Least severity that is logged.")
    log_format: LogFormat = Field("json", description="Form of the log lines.")

    @property
    def own_url(self) -> str:
        """Where processes of this machine reach the service."""
        return origin(WILDCARDS.get(self.host, self.host), self.port)


class SecurityConfig(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    jwt_secret: SecretStr = Field(
        SecretStr(""),
        description="Secret that signs tokens (HS256), 32 characters or more; empty: one is made "
        "in the home directory.",
    )
    jwks: str = Field(
        "",
        description="Keys of an identity provider whose tokens are accepted beside the own ones: "
        "an https URL, or the path of a JWKS file; empty: own tokens only.",
    )
    jwt_issuer: str = Field(
        "", description="What `iss` of that provider's tokens must be; empty: anything."
    )
    jwt_audience: str = Field(
        "", description="What `aud` of that provider's tokens must be or hold; empty: anything."
    )
    token_hours: float = Field(
        12.0, gt=0, le=876_000, description="Lifetime of an issued token in hours."
    )
    auth: bool = Field(
        default=True,
        description="Whether callers must authenticate; false only on a loopback address.",
    )
    allow_generated_secret: bool = Field(
        default=False, description="Whether a generated secret may serve a non-loopback address."
    )


class AgentsConfig(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = Field(
        "gpt-5-mini", min_length=1, description="Model that the bundled playbook agent thinks with."
    )


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    home: Path = Field(
        default_factory=lambda: user_data_path("agentcore", appauthor=False),
        description="Directory of the embedded servers and the generated secret (mode 0700).",
    )
    server: ServerConfig = Field(default_factory=ServerConfig)
    security: SecurityConfig = Field(default_factory=SecurityConfig)
    database: DatabaseConfig = Field(default_factory=DatabaseConfig)
    cache: CacheConfig = Field(default_factory=CacheConfig)
    llm_gateway: GatewayConfig = Field(default_factory=GatewayConfig)
    ace: ACEConfig = Field(default_factory=ACEConfig)
    training: TrainingConfig = Field(default_factory=TrainingConfig)
    agents: AgentsConfig = Field(default_factory=AgentsConfig)
    a2a: A2AConfig = Field(default_factory=A2AConfig)
    observability: ObservabilityConfig = Field(default_factory=ObservabilityConfig)

    @property
    def loopback(self) -> bool:
        return self.server.host in LOOPBACK


def load_settings(
    config: Path | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Settings:
    """Read file, environment and overrides (dotted names), the later over the earlier.

    Raises:
        StartupError: a file that cannot be read, an unknown or an invalid setting, by its name.
    """
    settings = _read(config, os.environ if environ is None else environ, overrides or {}, {})
    _check_safety(settings)
    return settings


def load_container_settings(
    config: Path | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Settings:
    """The same for an environment that is served alone.

    OpenEnv's own variables count too, below ``AGENTCORE_*``, and a token of the server's own
    stands for the secret.

    Raises:
        StartupError: as ``load_settings``.
    """
    env = os.environ if environ is None else environ
    settings = _read(config, env, overrides or {}, CONTAINER_ALIASES)
    own_token = settings.training.server.token.get_secret_value()
    _check_safety(settings, own_token=own_token)
    return settings


def _read(
    config: Path | None,
    env: Mapping[str, str],
    overrides: Mapping[str, Any],
    aliases: Mapping[str, tuple[str, ...]],
) -> Settings:
    path = config or (Path(named) if (named := env.get("AGENTCORE_CONFIG")) else None)
    values = _from_file(path)
    for name, steps in aliases.items():
        if text := env.get(name):
            _merge(values, _nested(steps, text.lower()))
    _merge(values, _from_environment(env))
    for dotted, value in overrides.items():
        _put(values, tuple(dotted.split(".")), value)
    if key := env.get(PORTKEY_KEY):
        _put_portkey(values, key)
    try:
        return Settings.model_validate(_resolve(values, env))
    except ValidationError as exc:
        raise _refusal(exc) from exc


def _nested(steps: tuple[str, ...], value: Any) -> dict[str, Any]:
    for step in reversed(steps):
        value = {step: value}
    nested: dict[str, Any] = value
    return nested


def token_authority(settings: Settings, clock: Clock = SYSTEM_CLOCK) -> TokenAuthority:
    """Signs and verifies tokens of this installation."""
    return TokenAuthority(signing_secret(settings), clock)


def foreign_tokens(settings: Settings, clock: Clock = SYSTEM_CLOCK) -> IdentityProvider | None:
    """Verifies the tokens of the configured identity provider; None where there is none.

    Raises:
        StartupError: its keys cannot be where the settings say, or the library is missing.
    """
    security = settings.security
    return identity_provider(
        security.jwks, issuer=security.jwt_issuer, audience=security.jwt_audience, clock=clock
    )


def signing_secret(settings: Settings) -> str:
    """The configured secret, or the one kept in the home."""
    secret = settings.security.jwt_secret.get_secret_value()
    return secret or generated_secret(settings.home / JWT_FILE)


def installation_name(settings: Settings) -> str:
    """What other installations know this one by: the same for all who share the secret."""
    return sha256(b"installation\0" + signing_secret(settings).encode()).hexdigest()[:32]


def storage_secrets(settings: Settings) -> list[str]:
    """What is kept encrypted in the database is encrypted with the first, and read with any."""
    given = [each.get_secret_value() for each in settings.a2a.push_secrets]
    return [*given, signing_secret(settings)]


def server_variables(settings: Settings) -> dict[str, str]:
    """What environment servers that run as processes of their own are told of these settings."""
    told: dict[str, Any] = {
        "server": {"log_level": settings.server.log_level},
        "security": {"auth": settings.security.auth},
        "training": {"server": settings.training.server.model_dump(exclude_unset=True)},
    }
    if settings.security.jwt_secret.get_secret_value():
        told["security"]["jwt_secret"] = settings.security.jwt_secret
    return {PREFIX + name.upper(): text for name, text in _flat(told)}


def _flat(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from ((f"{name}__{inner}", text) for inner, text in _flat(value))
        elif value is not None:
            plain = value.get_secret_value() if isinstance(value, SecretStr) else value
            yield name, plain if isinstance(plain, str) else json.dumps(plain)


def _from_file(path: Path | None) -> dict[str, Any]:
    chosen = path or Path(CONFIG_NAME)
    if path is None and not chosen.is_file():
        return {}
    try:
        return tomllib.loads(chosen.read_text(encoding="utf-8"))
    except OSError as exc:
        raise StartupError(
            f"the configuration file {chosen} cannot be read: {exc.strerror}",
            hint="give an existing file with --config or AGENTCORE_CONFIG",
        ) from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise StartupError(f"{chosen} is not TOML: {exc}") from exc


def _from_environment(env: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, text in env.items():
        if name in ALIASES:
            _put(values, ALIASES[name], text)
        elif name.startswith("ACE_") and name.lower() in ACEConfig.model_fields:
            _put(values, ("ace", name.lower()), text)
        elif name in OF_THE_COMMAND or name.startswith(OF_DEV):
            continue
        elif name.startswith(PREFIX):
            steps = tuple(name.removeprefix(PREFIX).lower().split("__"))
            _put(values, steps, _parsed(text))
    return values


def _parsed(text: str) -> Any:
    """JSON lists and tables as such; everything else stays text for the field to read."""
    if text[:1] in {"[", "{"}:
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text


def _put(values: dict[str, Any], steps: tuple[str, ...], value: Any) -> None:
    for step in steps[:-1]:
        inner = values.setdefault(step, {})
        if not isinstance(inner, dict):
            raise StartupError(f"the setting {'.'.join(steps)} is given both whole and in parts")
        values = inner
    values[steps[-1]] = value


def _put_portkey(values: dict[str, Any], key: str) -> None:
    """The key for each provider of that kind without one; the provider, where none is set at all.

    Beside others it is not added by itself: nobody's requests go to Portkey unasked.
    """
    gateway = values.setdefault("llm_gateway", {})
    if not isinstance(gateway, dict):
        return
    providers = gateway.setdefault("providers", [{"name": PORTKEY, "kind": PORTKEY}])
    for provider in providers if isinstance(providers, list) else ():
        if isinstance(provider, dict) and provider.get("kind") == PORTKEY:
            provider.setdefault("api_key", key)


def _merge(into: dict[str, Any], over: Mapping[str, Any]) -> None:
    for name, value in over.items():
        if isinstance(value, Mapping) and isinstance(into.get(name), dict):
            _merge(into[name], value)
        else:
            into[name] = value


def _resolve(value: Any, env: Mapping[str, str]) -> Any:
    """Replace ``env:NAME`` and ``file:PATH`` by what they refer to."""
    if isinstance(value, dict):
        return {name: _resolve(inner, env) for name, inner in value.items()}
    if isinstance(value, list):
        return [_resolve(inner, env) for inner in value]
    return secret_at(value, env) if isinstance(value, str) else value


def secret_at(value: str, env: Mapping[str, str] | None = None) -> str:
    """What ``env:NAME`` or ``file:PATH`` refers to now; other text is itself.

    Raises:
        StartupError: it refers to nothing that can be read.
    """
    if value.startswith("env:"):
        name = value.removeprefix("env:")
        env = os.environ if env is None else env
        if name not in env:
            raise StartupError(f"a setting refers to {value!r}", hint=f"set the variable {name}")
        return env[name]
    if value.startswith("file:"):
        path = Path(value.removeprefix("file:"))
        try:
            return path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as exc:
            raise StartupError(
                f"a setting refers to {value!r}, which cannot be read",
                hint="give a readable text file",
            ) from exc
    return value


def _refusal(exc: ValidationError) -> StartupError:
    """The first fault in the words of an operator; secrets are never quoted."""
    fault = exc.errors(include_url=False)[0]
    dotted = ".".join(str(step) for step in fault["loc"])
    variable = PREFIX + "__".join(str(step).upper() for step in fault["loc"])
    more = f" (and {exc.error_count() - 1} more)" if exc.error_count() > 1 else ""
    if fault["type"] == "extra_forbidden":
        return StartupError(
            f"unknown setting {dotted} ({variable}){more}",
            hint="docs/reference/settings.md lists all settings",
        )
    quotable = isinstance(fault["input"], str | int | float) and not _secret(dotted)
    given = f", given {fault['input']!r}" if quotable else ""
    return StartupError(
        f"setting {dotted} ({variable}): {fault['msg']}{given}{more}",
        hint="docs/reference/settings.md has its meaning and bounds",
    )


def _secret(dotted: str) -> bool:
    return any(part in dotted for part in ("secret", "key", "token", "password", "url"))


def _check_safety(settings: Settings, *, own_token: str = "") -> None:
    if settings.loopback:
        return
    if not settings.security.auth:
        raise StartupError(
            f"authentication is off while listening on {settings.server.host}",
            hint="--no-auth works on 127.0.0.1 only",
        )
    if own_token:
        return
    generated = not settings.security.jwt_secret.get_secret_value()
    if generated and not settings.security.allow_generated_secret:
        raise StartupError(
            f"listening on {settings.server.host} needs a secret of your own",
            hint="set AGENTCORE_SECURITY__JWT_SECRET (or, knowingly, "
            "AGENTCORE_SECURITY__ALLOW_GENERATED_SECRET=true)",
        )
