"""The few calls of the Docker Engine API that deploying needs, over its socket."""

from __future__ import annotations

import errno
import json
import re
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote

from agentcore.kit.errors import first_line
from agentcore.kit.jsonvalue import (
    JsonObject,
    JsonValue,
    dumps,
    loads,
    object_in,
    object_of,
    objects_of,
)
from agentcore.training.openenv.errors import (
    DeploymentFailed,
    InvalidDeployment,
    RuntimeUnavailable,
)
from agentcore.training.openenv.specs import Progress

if TYPE_CHECKING:
    import aiohttp

REQUEST_SECONDS = 30.0
# A container of ours publishes its port on this machine's loopback: elsewhere nobody reaches it.
_TCP = re.compile(r"tcp://(127\.0\.0\.1|localhost|\[::1\]):(\d+)/?")
_UNIX = re.compile(r"unix://(/.+)")


class DockerEngine:
    """All raise ``RuntimeUnavailable`` where the engine cannot be reached or fails."""

    def __init__(self, http: aiohttp.ClientSession, base: str, host: str) -> None:
        self._http = http
        self._base = base
        self._host = host

    async def containers(self, **labels: str) -> list[JsonObject]:
        """All that carry the labels, stopped ones too."""
        filters = {"label": [f"{name}={value}" for name, value in labels.items()]}
        query = {"all": "1", "filters": json.dumps(filters)}
        return objects_of(await self._call("GET", "/containers/json", query))

    async def inspect(self, container: str) -> JsonObject | None:
        found = await self._call("GET", f"/containers/{container}/json", allowed={404})
        return found if isinstance(found, dict) and "Id" in found else None

    async def create(self, name: str, body: JsonObject) -> str | None:
        """The container's id; None when the name is taken."""
        found = await self._call(
            "POST", "/containers/create", {"name": name}, body=body, allowed={409}
        )
        return str(found["Id"]) if isinstance(found, dict) and "Id" in found else None

    async def start(self, container: str) -> None:
        await self._call("POST", f"/containers/{container}/start", refused=DeploymentFailed)

    async def remove(self, container: str, *, seconds: int) -> None:
        """SIGTERM, SIGKILL after ``seconds``, and away with it; nothing where it is gone."""
        stop = {"t": str(seconds)}
        await self._call("POST", f"/containers/{container}/stop", stop, allowed={404})
        await self._call(
            "DELETE", f"/containers/{container}", {"force": "1", "v": "1"}, allowed={404, 409}
        )

    async def logs(self, container: str, *, lines: int) -> str:
        query = {"stdout": "1", "stderr": "1", "tail": str(lines)}
        async with self._request("GET", f"/containers/{container}/logs", query) as response:
            body = await response.read()
        return _unframed(body) if response.status == 200 else ""

    async def stats(self, container: str) -> JsonObject:
        return object_of(await self._call("GET", f"/containers/{container}/stats", {"stream": "0"}))

    async def provide(self, image: str, progress: Progress) -> None:
        """Pull the image unless the engine has it.

        Raises:
            InvalidDeployment: the registry does not give it, in the engine's words.
        """
        name = quote(image, safe="/:@")
        async with self._request("GET", f"/images/{name}/json", {}) as response:
            if response.status == 200:
                return
        progress(f"pulling {image}")
        query = {"fromImage": image, **({} if _has_tag(image) else {"tag": "latest"})}
        async with self._request("POST", "/images/create", query, patient=True) as response:
            if response.status >= 400:
                raise _no_image(image, _message(await response.read()))
            async for line in response.content:
                _tell(image, object_in(line), progress)

    async def _call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        body: JsonObject | None = None,
        allowed: Collection[int] = (),
        refused: type[DeploymentFailed | InvalidDeployment] = InvalidDeployment,
    ) -> JsonValue:
        async with self._request(method, path, query or {}, body) as response:
            data = await response.read()
        if response.status >= 400 and response.status not in allowed:
            said = _message(data)
            if response.status >= 500 and refused is InvalidDeployment:
                raise RuntimeUnavailable(f"the Docker engine failed: {said}")
            raise refused(f"the Docker engine refuses it: {said}")
        return loads(data) if data else None

    @asynccontextmanager
    async def _request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: JsonObject | None = None,
        *,
        patient: bool = False,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        import aiohttp  # noqa: PLC0415 -- a request is under way

        with _reaching(self._host):
            async with self._http.request(
                method,
                f"{self._base}{path}",
                params=dict(query),
                data=dumps(body) if body is not None else None,
                headers={"content-type": "application/json"},
                timeout=aiohttp.ClientTimeout(total=None if patient else REQUEST_SECONDS),
            ) as response:
                yield response


@asynccontextmanager
async def open_engine(host: str) -> AsyncIterator[DockerEngine]:
    """``host`` as DOCKER_HOST has it: unix:///path, or tcp:// on this machine."""
    import aiohttp  # noqa: PLC0415 -- Docker may never be used

    if unix := _UNIX.fullmatch(host):
        connector: aiohttp.BaseConnector = aiohttp.UnixConnector(unix[1])
        base = "http://docker"
    elif tcp := _TCP.fullmatch(host):
        connector, base = aiohttp.TCPConnector(), f"http://{tcp[1]}:{tcp[2]}"
    else:
        raise RuntimeUnavailable(
            f"no Docker engine can be used at {host!r}",
            hint="unix:///path/to/docker.sock, or tcp://127.0.0.1:port: what it runs is published "
            "on its own loopback address",
        )
    async with aiohttp.ClientSession(connector=connector, trust_env=False) as http:
        yield DockerEngine(http, base, host)


@contextmanager
def _reaching(host: str) -> Iterator[None]:
    import aiohttp  # noqa: PLC0415 -- a request is under way

    try:
        yield
    except (aiohttp.ClientError, OSError, TimeoutError) as exc:
        if isinstance(exc, OSError) and exc.errno in {errno.EACCES, errno.EPERM}:
            raise RuntimeUnavailable(
                f"this account may not use the Docker engine at {host}",
                hint="join the group docker, or name an engine of your own with DOCKER_HOST",
            ) from exc
        cause = exc.os_error if isinstance(exc, aiohttp.ClientConnectorError) else exc
        why = "it does not answer in time" if isinstance(exc, TimeoutError) else first_line(cause)
        raise RuntimeUnavailable(
            f"no Docker engine answers at {host}: {why}",
            hint="start Docker, or name another engine with DOCKER_HOST",
        ) from exc


def _tell(image: str, event: JsonObject, progress: Progress) -> None:
    if error := event.get("error"):
        raise _no_image(image, str(error))
    if status := event.get("status"):
        layer, amount = event.get("id", ""), event.get("progress", "")
        progress(" ".join(str(word) for word in (f"{image}:", layer, status, amount) if word))


def _no_image(image: str, why: str) -> InvalidDeployment:
    return InvalidDeployment(
        f"the image {image} cannot be pulled: {why}",
        hint="build it (docs/how-to/deploy-an-environment.md), or give another with --image",
    )


def _has_tag(image: str) -> bool:
    return ":" in image.rpartition("/")[2]


def _message(data: bytes) -> str:
    return str(object_in(data).get("message") or data.decode(errors="replace").strip()[:300])


def _unframed(data: bytes) -> str:
    """Both streams of a container without a terminal: frames of 8 bytes head and a payload."""
    text = bytearray()
    while len(data) >= 8 and data[0] in {0, 1, 2} and data[1:4] == b"\0\0\0":
        size = int.from_bytes(data[4:8], "big")
        text += data[8 : 8 + size]
        data = data[8 + size :]
    return bytes(text or data).decode(errors="replace").strip()
