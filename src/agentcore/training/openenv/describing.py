"""What a server says of its environment: GET /metadata and /schema."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from typing import get_args

import httpx2
from typing_extensions import TypeIs

from agentcore.kit.errors import InvalidInput
from agentcore.kit.http import bounded
from agentcore.kit.jsonvalue import JsonObject, JsonValue, list_of, loads, object_in, object_of
from agentcore.training.openenv.connection import (
    NOT_OPENENV,
    PASSING_HINT,
    check_depth,
    silent,
    status_failure,
    tls_failure,
    unreachable,
)
from agentcore.training.openenv.errors import (
    PASSING,
    OpenEnvError,
    OpenEnvRetryError,
    OpenEnvSpecError,
)
from agentcore.training.openenv.models import Capacity, EnvironmentInfo, Mode
from agentcore.training.openenv.tokens import NO_HEADER, fits_a_header
from agentcore.training.openenv.websocket import default_tls

LARGEST_ANSWER = 16 * 1024 * 1024
# Of a page that says why there is none.
LARGEST_REFUSAL, LONGEST_WHY = 64 * 1024, 500
# More sessions than any server has; a database's integer holds it.
LARGEST_COUNT = 2**31 - 1
_MODES: Mapping[str, Mode] = {mode: mode for mode in get_args(Mode)}


def bearer(token: str | None) -> dict[str, str]:
    """The header, none without a token.

    Raises:
        InvalidInput: no header takes it; libraries would refuse it in words that hold it.
    """
    if token and not fits_a_header(token):
        raise InvalidInput(f"the token {NO_HEADER}", hint="it is one line of ASCII")
    return {"Authorization": f"Bearer {token}"} if token else {}


async def describe(base_url: str, *, headers: Mapping[str, str], seconds: float) -> EnvironmentInfo:
    """Ask the server at ``base_url`` once.

    Raises:
        OpenEnvConnectionError, OpenEnvRetryError: trying again may help.
        OpenEnvHTTPError, OpenEnvSpecError: it will not.
    """
    # Loading the certificates takes 0.1 s: not for plain HTTP.
    secure = base_url.startswith("https:")
    verify = default_tls() if secure else False
    async with httpx2.AsyncClient(
        base_url=base_url, headers=dict(headers), timeout=seconds, verify=verify, trust_env=False
    ) as http:
        metadata = await _get(http, "/metadata", seconds)
        schema = await _get(http, "/schema", seconds)
    return environment_info(metadata, schema)


def environment_info(metadata: JsonObject, schema: JsonObject) -> EnvironmentInfo:
    """Both answers as one value; what only our servers tell is None for all others."""
    name, action, observation = (
        metadata.get("name"),
        schema.get("action"),
        schema.get("observation"),
    )
    if not isinstance(name, str) or not isinstance(action, dict):
        raise OpenEnvSpecError(
            "the server names neither its environment nor its action space", hint=NOT_OPENENV
        )
    extras = object_of(metadata.get("agentcore"))
    steps, mode, features = (
        extras.get("max_episode_steps"),
        extras.get("mode"),
        extras.get("features"),
    )
    return EnvironmentInfo(
        name=name,
        version=str(metadata.get("version") or ""),
        description=str(metadata.get("description") or ""),
        observation_space=object_of(observation),
        action_space=action,
        state_space=object_of(schema.get("state")),
        max_episode_steps=steps if isinstance(steps, int) else None,
        mode=_MODES.get(mode) if isinstance(mode, str) else None,
        capacity=_capacity(extras.get("capacity")),
        features=tuple(map(str, list_of(features))),
    )


async def _get(http: httpx2.AsyncClient, path: str, seconds: float) -> JsonObject:
    url = f"{str(http.base_url).rstrip('/')}{path}"
    try:
        # The library's timeout is for each read: a server that drips would take for ever.
        async with asyncio.timeout(seconds), http.stream("GET", path) as response:
            body = await _body(url, response)
    except TimeoutError as exc:
        raise silent(url, seconds) from exc
    except (httpx2.UnsupportedProtocol, httpx2.InvalidURL) as exc:
        raise OpenEnvSpecError(f"{url} is not a URL that can be asked: {exc}") from exc
    except httpx2.HTTPError as exc:
        raise _transport_failure(url, exc) from exc
    try:
        answer = loads(body)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise OpenEnvSpecError(f"{url} does not answer with a JSON object", hint=NOT_OPENENV)
    check_depth(body, answer, f"an answer to {path}")
    return answer


async def _body(url: str, response: httpx2.Response) -> bytes:
    refused = response.status_code != 200
    most = LARGEST_REFUSAL if refused else LARGEST_ANSWER
    body = await bounded(response.aiter_bytes(), most)
    if refused:
        raise _status_fault(url, response, body)
    if len(body) > most:
        detail = f"{url} answers with more than {LARGEST_ANSWER} bytes"
        raise OpenEnvSpecError(detail, hint=NOT_OPENENV)
    return body


def _transport_failure(url: str, exc: httpx2.HTTPError) -> OpenEnvError:
    cause: BaseException | None = exc
    while cause is not None and not isinstance(cause, ssl.SSLError):
        cause = cause.__cause__ or cause.__context__
    if isinstance(cause, ssl.SSLError):
        return tls_failure(url, cause)
    # The library has one class for both: the end of the connection, and what is not HTTP.
    if isinstance(exc, httpx2.RemoteProtocolError) and "disconnected" not in str(exc):
        detail = f"{url} does not answer in HTTP: {exc}"
        return OpenEnvSpecError(detail, hint="is the port right, and http or https?")
    return unreachable(url, exc)


def _status_fault(url: str, response: httpx2.Response, body: bytes) -> OpenEnvError:
    status = response.status_code
    said = f"{url} answers with"
    if status in PASSING:
        after = response.headers.get("retry-after", "")
        seconds = float(after) if after.isdecimal() else None
        # Servers of ours, and many others, say why.
        why = object_in(body).get("detail")
        told = f": {why[:LONGEST_WHY]}" if isinstance(why, str) else ""
        detail = f"{said} HTTP {status}{told}"
        return OpenEnvRetryError(
            detail, hint=PASSING_HINT, upstream_status=status, retry_after=seconds
        )
    location = response.headers.get("location", "")
    return status_failure(said, status, location=location)


def _capacity(value: JsonValue) -> Capacity | None:
    """Nonsense says as little as nothing."""
    active, maximum = (object_of(value).get(name) for name in ("active", "maximum"))
    if _is_count(active) and _is_count(maximum):
        return Capacity(active=active, maximum=maximum)
    return None


def _is_count(value: JsonValue) -> TypeIs[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST_COUNT
