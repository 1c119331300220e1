"""A Kubernetes API server as far as environments need one: real HTTP, real answers, no cluster.

Objects are validated against Kubernetes' schemas. Its words are those of the recordings of a real
1.36 server. What its controllers and its only node do is in ``kubernetes_controllers``.
"""

from __future__ import annotations

import asyncio
import copy
import json
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import kubernetes_validate
from aiohttp import web

from tests.fakes.listening import listening

VERSION = "1.36"
TOKEN = "a-cluster-token"
NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
KINDS = {
    "deployments": ("Deployment", "apps"),
    "services": ("Service", ""),
    "networkpolicies": ("NetworkPolicy", "networking.k8s.io"),
    "poddisruptionbudgets": ("PodDisruptionBudget", "policy"),
    "secrets": ("Secret", ""),
    "pods": ("Pod", ""),
}
Object = dict[str, Any]
Key = tuple[str, str, str]


@dataclass
class Fault:
    """What the next ``times`` matching requests get instead of an answer."""

    status: int = 0
    method: str = ""
    path: str = ""
    message: str = "injected"
    reason: str = "InternalError"
    headers: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    drop: bool = False
    times: int = 1


class Refused(Exception):
    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status, self.reason, self.message = status, reason, message


@dataclass(frozen=True)
class Place:
    """What the path of a request names."""

    namespace: str
    plural: str
    name: str
    part: str

    @property
    def kind(self) -> str:
        return KINDS[self.plural][0]

    @property
    def qualified(self) -> str:
        group = KINDS[self.plural][1]
        return f"{self.plural}.{group}" if group else self.plural

    @property
    def key(self) -> Key:
        return (self.plural, self.namespace, self.name)


class KubernetesApi:
    """``changed`` is called with the plural of what changed; ``used`` are verbs and resources."""

    def __init__(self) -> None:
        self.namespaces = {"agentcore-openenv"}
        self.objects: dict[Key, Object] = {}
        self.logs: dict[str, str] = {}
        self.metrics: Callable[[Object], Object] | None = None
        self.faults: list[Fault] = []
        self.requests: list[str] = []
        self.used: set[tuple[str, str]] = set()
        self.forbidden: set[str] = set()
        self.url = ""
        self.oldest = 0
        self.changed: Callable[[str], None] = lambda plural: None
        self._version = 1000
        self._watchers: list[tuple[str, str, asyncio.Queue[Object]]] = []

    def pods(self, app: str) -> list[Object]:
        return [
            each
            for (plural, _, _), each in self.objects.items()
            if plural == "pods" and each["metadata"]["labels"].get("app") == app
        ]

    def put(self, plural: str, value: Object) -> None:
        """Store it as a controller does, and tell who watches."""
        meta = value["metadata"]
        key = (plural, meta["namespace"], meta["name"])
        event = "MODIFIED" if key in self.objects else "ADDED"
        self._version += 1
        meta["resourceVersion"] = str(self._version)
        self.objects[key] = value
        self._tell(event, plural, value)

    def remove(self, plural: str, value: Object) -> None:
        meta = value["metadata"]
        gone = self.objects.pop((plural, meta["namespace"], meta["name"]), None)
        if gone is not None:
            self._tell("DELETED", plural, gone)

    def _tell(self, event: str, plural: str, value: Object) -> None:
        for watched, namespace, queue in self._watchers:
            if (watched, namespace) == (plural, value["metadata"]["namespace"]):
                queue.put_nowait({"type": event, "object": copy.deepcopy(value)})
        self.changed(plural)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(f"{request.method} {request.path}")
        try:
            injected = await self._injected(request)
            if injected is not None:
                return injected
            self._authenticate(request)
            return await self._answer(request)
        except Refused as refused:
            return _status(refused.status, refused.reason, refused.message)

    async def _injected(self, request: web.Request) -> web.Response | None:
        for fault in self.faults:
            if fault.times and fault.method in {"", request.method} and fault.path in request.path:
                fault.times -= 1
                await asyncio.sleep(fault.seconds)
                if fault.drop and request.transport is not None:
                    request.transport.abort()
                if fault.status:
                    answer = _status(fault.status, fault.reason, fault.message)
                    answer.headers.update(fault.headers)
                    return answer
        return None

    def _authenticate(self, request: web.Request) -> None:
        given = request.headers.get("authorization", "")
        if given != f"Bearer {TOKEN}":
            raise Refused(401, "Unauthorized", "Unauthorized")

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        place = _place(request.path)
        if place is None:
            return web.Response(status=404, text="404 page not found\n")
        if place.namespace not in self.namespaces and request.method in {"PATCH", "POST"}:
            raise Refused(404, "NotFound", f'namespaces "{place.namespace}" not found')
        if place.plural == "metrics":
            return self._usage(request, place)
        self._authorize(request, place)
        if place.part:
            return self._log(request, place)
        match request.method:
            case "PATCH":
                return self._apply(request, place, await _body(request))
            case "DELETE":
                return self._delete(place)
            case "GET" if place.name:
                return _json(self._existing(place))
            case "GET" if request.query.get("watch"):
                return await self._watch(request, place)
            case _:
                return self._list(request, place)

    def _authorize(self, request: web.Request, place: Place) -> None:
        verb = {"PATCH": "patch", "DELETE": "delete"}.get(request.method, "list")
        if verb == "list" and request.query.get("watch"):
            verb = "watch"
        elif verb == "list" and place.name:
            verb = "get"
        resource = f"{place.qualified}/{place.part}" if place.part else place.qualified
        self.used.add((verb, resource))
        if place.plural in self.forbidden:
            raise Refused(
                403,
                "Forbidden",
                f'{place.qualified} is forbidden: User "nobody" cannot {verb} resource '
                f'"{place.plural}" in API group "{KINDS[place.plural][1]}" in the namespace '
                f'"{place.namespace}"',
            )

    def _existing(self, place: Place) -> Object:
        found = self.objects.get(place.key)
        if found is None:
            raise Refused(404, "NotFound", f'{place.qualified} "{place.name}" not found')
        return found

    def _apply(self, request: web.Request, place: Place, value: Object) -> web.Response:
        if request.content_type != "application/apply-patch+yaml":
            raise Refused(
                415, "UnsupportedMediaType", "the body of the request was in an unknown format"
            )
        self._check(place, value)
        before = self.objects.get(place.key)
        manager = request.query["fieldManager"]
        if before is not None and request.query.get("force") != "true":
            _check_conflict(before, value, manager)
        after = _applied(before, value, place, manager)
        if before is None or _content(before) != _content(after):
            self.put(place.plural, after)
        return _json(self.objects[place.key], 200 if before is not None else 201)

    def _check(self, place: Place, value: Object) -> None:
        if not NAME.fullmatch(place.name):
            raise _invalid(
                place,
                f'metadata.name: Invalid value: "{place.name}": a lowercase RFC 1123 subdomain '
                "must consist of lower case alphanumeric characters, '-' or '.'",
            )
        if fault := _schema_fault(json.dumps(value)):
            raise Refused(
                400,
                "BadRequest",
                f'{place.kind} in version "v1" cannot be handled as a {place.kind}: strict '
                f"decoding error: {fault}",
            )
        if place.kind == "Deployment":
            labels = value["spec"]["template"]["metadata"]["labels"]
            chosen = value["spec"]["selector"]["matchLabels"]
            if chosen.items() - labels.items():
                shown = json.dumps(labels, separators=(",", ":"))
                raise _invalid(
                    place,
                    f"spec.template.metadata.labels: Invalid value: {shown}: "
                    "`selector` does not match template `labels`",
                )

    def _delete(self, place: Place) -> web.Response:
        gone = self._existing(place)
        self.remove(place.plural, gone)
        if place.kind == "Deployment":
            for pod in self.pods(gone["metadata"]["labels"]["app"]):
                self.remove("pods", pod)
        return _json(gone)

    def _chosen(self, request: web.Request, place: Place) -> list[Object]:
        selector = _selector(request.query.get("labelSelector", ""))
        return [
            each
            for (plural, namespace, _), each in sorted(self.objects.items())
            if (plural, namespace) == (place.plural, place.namespace)
            and selector.items() <= each["metadata"].get("labels", {}).items()
        ]

    def _list(self, request: web.Request, place: Place) -> web.Response:
        found = self._chosen(request, place)
        begin, limit = int(request.query.get("continue", 0)), int(request.query.get("limit", 500))
        meta = {"resourceVersion": str(self._version)}
        if begin + limit < len(found):
            meta["continue"] = str(begin + limit)
        # As a real server, which leaves kind and version out of the items.
        items = [
            {name: part for name, part in each.items() if name not in {"kind", "apiVersion"}}
            for each in found[begin : begin + limit]
        ]
        return _json({"kind": f"{place.kind}List", "metadata": meta, "items": items})

    async def _watch(self, request: web.Request, place: Place) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "application/json"})
        try:
            await response.prepare(request)
        except ConnectionResetError:
            # Whoever watched has seen enough elsewhere, and left before this one began.
            return response
        queue: asyncio.Queue[Object] = asyncio.Queue()
        since = int(request.query.get("resourceVersion") or 0)
        if 0 < since < self.oldest:
            gone = f"too old resource version: {since} ({self.oldest})"
            error = {"kind": "Status", "message": gone, "reason": "Expired", "code": 410}
            await response.write(json.dumps({"type": "ERROR", "object": error}).encode() + b"\n")
            return response
        for each in self._chosen(request, place):
            if int(each["metadata"]["resourceVersion"]) > since:
                queue.put_nowait({"type": "ADDED", "object": each})
        watcher = (place.plural, place.namespace, queue)
        self._watchers.append(watcher)
        try:
            async with asyncio.timeout(float(request.query.get("timeoutSeconds", 60))):
                while True:
                    event = await queue.get()
                    await response.write(json.dumps(event).encode() + b"\n")
        except (TimeoutError, ConnectionResetError):
            return response
        finally:
            self._watchers.remove(watcher)

    def _log(self, request: web.Request, place: Place) -> web.Response:
        self._existing(place)
        lines = self.logs.get(place.name, "").splitlines()
        if request.query.get("previous") and not lines:
            raise Refused(400, "BadRequest", "previous terminated container not found")
        return web.Response(text="\n".join(lines[-int(request.query.get("tailLines", 100)) :]))

    def _usage(self, request: web.Request, place: Place) -> web.Response:
        if self.metrics is None:
            return web.Response(status=404, text="404 page not found\n")
        self.used.add(("list", "pods.metrics.k8s.io"))
        pods = self._chosen(request, Place(place.namespace, "pods", "", ""))
        return _json({"kind": "PodMetricsList", "items": [self.metrics(pod) for pod in pods]})


@asynccontextmanager
async def kubernetes_api() -> AsyncIterator[KubernetesApi]:
    api = KubernetesApi()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", api.handle)
    async with listening(app) as api.url:
        yield api


def kubeconfig(url: str, token: str = TOKEN) -> Object:
    """A file that kubectl would take as well."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "clusters": [{"name": "test", "cluster": {"server": url}}],
        "users": [{"name": "test", "user": {"token": token}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
    }


def _place(path: str) -> Place | None:
    found = re.fullmatch(
        r"/(?:api/v1|apis/([\w.]+)/v\w+)/namespaces/([^/]+)/(\w+)(?:/([^/]+)(?:/(\w+))?)?", path
    )
    if found is None:
        return None
    group, namespace, plural, name, part = (each or "" for each in found.groups())
    if group == "metrics.k8s.io":
        return Place(namespace, "metrics", "", "")
    known = plural in KINDS and KINDS[plural][1] == group
    return Place(namespace, plural, name, part) if known else None


def _applied(before: Object | None, value: Object, place: Place, manager: str) -> Object:
    after = copy.deepcopy(value)
    meta = after["metadata"]
    old = before["metadata"] if before is not None else {}
    grew = before is None or before.get("spec") != after.get("spec")
    meta.update(
        namespace=place.namespace,
        uid=old.get("uid", f"uid-{place.name}"),
        generation=old.get("generation", 0) + grew,
        managedFields=[{"manager": manager, "operation": "Apply"}],
    )
    after["status"] = (before or {}).get("status", {})
    return after


def _check_conflict(before: Object, value: Object, manager: str) -> None:
    owner = before["metadata"]["managedFields"][0]["manager"]
    differ = before.get("spec", {}).get("replicas") != value.get("spec", {}).get("replicas")
    if owner != manager and differ:
        message = f'Apply failed with 1 conflict: conflict with "{owner}": .spec.replicas'
        raise Refused(409, "Conflict", message)


def _content(value: Object) -> Object:
    meta = {k: v for k, v in value["metadata"].items() if k != "resourceVersion"}
    return {**value, "metadata": meta}


@lru_cache(maxsize=256)
def _schema_fault(text: str) -> str:
    """Why Kubernetes' own schema refuses the object; empty when it does not."""
    try:
        kubernetes_validate.validate(json.loads(text), VERSION, strict=True)
    except kubernetes_validate.ValidationError as error:
        where = ".".join(str(step) for step in error.path)
        return f"{where}: {error.message}"
    return ""


def _selector(text: str) -> dict[str, str]:
    found = re.findall(r"(?:^|,)([\w./-]+)=([\w.-]*)(?=,|$)", text)
    if ",".join("=".join(pair) for pair in found) != text:
        fault = "unable to parse requirement: found '=', expected: identifier"
        raise Refused(400, "BadRequest", fault)
    return dict(found)


def _invalid(place: Place, what: str) -> Refused:
    group = KINDS[place.plural][1]
    kind = f"{place.kind}.{group}" if group else place.kind
    return Refused(422, "Invalid", f'{kind} "{place.name}" is invalid: {what}')


async def _body(request: web.Request) -> Object:
    body: Object = json.loads(await request.read())
    return body


def _json(value: Object, status: int = 200) -> web.Response:
    return web.json_response(value, status=status)


def _status(status: int, reason: str, message: str) -> web.Response:
    body = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": status,
    }
    return _json(body, status)
