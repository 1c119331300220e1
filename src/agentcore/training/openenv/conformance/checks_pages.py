"""What a server says of itself over HTTP."""

from __future__ import annotations

from agentcore.kit.jsonvalue import object_of
from agentcore.training.openenv.conformance.judging import (
    NotApplicable,
    Violation,
    check,
    checks_of,
    require,
)
from agentcore.training.openenv.conformance.schemas import schema_fault
from agentcore.training.openenv.conformance.subject import Subject

SPACES = ("action", "observation", "state")
DESCRIPTION = ("name", "description", "version", "author", "readme_content", "documentation_url")


@check("health", "/health says that the server is healthy", "HTTP: GET /health")
async def health(subject: Subject) -> None:
    answer = await subject.get("/health")
    good = answer.status == 200 and answer.members.get("status") == "healthy"
    require(good, '200 {"status":"healthy"}', str(answer))


@check("metadata", "/metadata names and describes the environment", "HTTP: GET /metadata")
async def metadata(subject: Subject) -> None:
    answer = await subject.get("/metadata")
    require(answer.status == 200, "status 200", str(answer))
    for name in ("name", "description"):
        value = answer.members.get(name)
        require(isinstance(value, str) and bool(value), f"a {name} that is text", str(answer))


@check("metadata-members", "/metadata has all its members", "HTTP: GET /metadata", "should")
async def metadata_members(subject: Subject) -> None:
    answer = await subject.get("/metadata")
    missing = [name for name in DESCRIPTION if name not in answer.members]
    require(not missing, "each member, null where there is nothing to say", f"no {missing}")


@check("schema", "/schema holds three JSON Schemas", "HTTP: GET /schema")
async def schema(subject: Subject) -> None:
    answer = await subject.get("/schema")
    require(answer.status == 200, "status 200", str(answer))
    for name in SPACES:
        fault = schema_fault(answer.members.get(name))
        require(fault is None, f"a JSON Schema (draft 2020-12) as {name}", f"{name}: {fault}")


@check("schema-title", "The action schema has a title", "HTTP: GET /schema", "should")
async def schema_title(subject: Subject) -> None:
    answer = await subject.get("/schema")
    title = object_of(answer.members.get("action")).get("title")
    expected = "a title: consumers tell the kinds of environments apart by it"
    require(isinstance(title, str) and bool(title), expected, title)


@check("openapi", "/openapi.json describes the routes", "HTTP: GET /openapi.json", "should")
async def openapi(subject: Subject) -> None:
    answer = await subject.get("/openapi.json")
    version = object_of(answer.members.get("info")).get("version")
    good = answer.status == 200 and isinstance(version, str)
    require(good, "200 and an info.version, which `openenv validate` looks for", str(answer))


@check("routes", "Unknown routes are 404 and wrong methods 405", "HTTP: routes", "should")
async def routes(subject: Subject) -> None:
    unknown = await subject.get("/agentcore-conformance-nothing")
    require(unknown.status == 404, "404 for a route that does not exist", str(unknown))
    wrong = await subject.get("/step")
    # A server in production mode has no /step at all.
    require(wrong.status in {404, 405}, "405 for GET /step", str(wrong))


@check("ready", "/ready tells whether an environment can be made", "AgentCore: GET /ready", "extra")
async def ready(subject: Subject) -> None:
    if not subject.extras:
        raise NotApplicable("the server announces no AgentCore extras")
    answer = await subject.get("/ready")
    if answer.status != 200 or answer.members.get("status") != "ready":
        raise Violation('200 {"status":"ready",...}', str(answer))


CHECKS = checks_of(globals())
