"""Every route of the context layer, as somebody meets it who means no good."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from agentcore.kit.embedded import EmbeddedServers
from agentcore.kit.jsonvalue import JsonObject
from tests.fakes.installation import Installation, installed

BASE = "/internal/context"
AGENT = "victim"
NOWHERE = "0193d000-0000-7000-8000-000000000000"
BODIES: dict[tuple[str, str], JsonObject] = {
    ("POST", "/playbooks"): {"agent_id": AGENT},
    ("PATCH", "/playbooks/{agent_id}"): {
        "delta_id": "d",
        "changes": {"ops": [{"op": "ADD", "section": "a", "text": "b"}]},
        "confidence": 0.1,
    },
    ("POST", "/playbooks/{agent_id}/rollback"): {"version": 1},
    ("POST", "/playbooks/{agent_id}/experiments"): {"delta_id": "d"},
    ("PUT", "/playbooks/{agent_id}/environment"): {"environment": "a2a_protocol_test"},
    ("POST", "/traces"): {"agent_id": AGENT, "execution_time": 1, "success": True},
    ("POST", "/evolution/trigger"): {"agent_id": AGENT},
}
OPTIONAL: dict[str, JsonObject] = {
    "/playbooks": {"initial_context": {}},
    "/playbooks/{agent_id}": {"reasoning": "", "expected_version": 1},
    "/traces": {"task_id": "", "output_quality": 1, "error_message": "", "metadata": {}},
    "/evolution/trigger": {"force": True},
}
EVERYTHING = ("context:read", "context:write", "llm", "env:act", "env:control")
QUERIES = {
    "render": ("task", "budget", "task_id"),
    "history": ("limit", "cursor"),
    "deltas": ("limit", "cursor"),
    "diff": ("from", "to"),
    "experiments": ("limit", "cursor"),
}
VALUES: list[Any] = [
    *(0, -1, 1.5, 2**63, 2**200, True, None, [], {}, [[]]),
    *("", "\x00", "\u202e", "victim\n", "../../x", "%00", "y" * 300, {"a": {"\x00": 1}}),
]
# What json.dumps would not write.
RAW = (b"1e400", b"NaN", b'"\\ud800"', b"9" * 5000, b"[" * 600 + b"]" * 600, b'{"a":' * 40_000)
BROKEN = (b"", b"null", b"[]", b"{", b"\xff\xfe", b'"text"', b"\xef\xbb\xbf{}")
SEGMENTS = ("%00", "%ff", "%0a", "..%2f..", "%2e%2e", "*", "-1", "0", "2147483648", "9" * 30)
TEXTS = ("", "-1", "0", "1e9", "\x00", "x" * 30_000, "9" * 30, NOWHERE, "null", "\u0663", "[]")


@pytest.fixture
async def installation(
    tmp_path: Path, database_url: str, servers: EmbeddedServers
) -> AsyncIterator[Installation]:
    async with installed(tmp_path, database_url, servers) as made:
        async with made.client("context:read", "context:write") as owner:
            (await owner.post(f"{BASE}/playbooks", json={"agent_id": AGENT})).raise_for_status()
        yield made


async def routes(installation: Installation) -> list[tuple[str, str]]:
    """All that are documented, by method and template below the prefix."""
    async with installation.client() as nobody:
        paths = (await nobody.get("/openapi.json")).json()["paths"]
    return [
        (method.upper(), path.removeprefix(BASE))
        for path, operations in paths.items()
        if path.startswith(BASE)
        for method in operations
    ]


def filled(template: str, **given: str) -> str:
    known = {"agent_id": AGENT, "version": "1", "experiment_id": NOWHERE, **given}
    query = "?from=1" if template.endswith("/diff") else ""
    return f"{BASE}{template.format(**known)}{query}"


async def asked(
    client: httpx2.AsyncClient, found: list[tuple[str, str]]
) -> dict[tuple[str, str], int]:
    return {
        (method, template): (
            await client.request(method, filled(template), json=BODIES.get((method, template)))
        ).status_code
        for method, template in found
    }


async def test_each_route_wants_the_scope_of_what_it_does(installation: Installation) -> None:
    found = await routes(installation)
    assert {key for key in found if key[0] in {"POST", "PUT", "PATCH"}} == BODIES.keys() | {
        ("POST", "/playbooks/{agent_id}/experiments/{experiment_id}/stop")
    }
    async with (
        installation.client() as nobody,
        installation.client("llm", "a2a", "metrics", "env:control") as elsewhere,
        installation.client("context:read") as reader,
        installation.client("context:write") as writer,
    ):
        assert set((await asked(nobody, found)).values()) == {401}
        assert set((await asked(elsewhere, found)).values()) == {403}
        for client, may in ((reader, {"GET"}), (writer, {"POST", "PUT", "PATCH", "DELETE"})):
            allowed = {key for key, code in (await asked(client, found)).items() if code != 403}
            # Binding an environment also lets its trials cost something.
            wanted = {key for key in found if key[0] in may} - {
                ("PUT", "/playbooks/{agent_id}/environment")
            }
            assert allowed - {("PUT", "/playbooks/{agent_id}/environment")} == wanted


async def test_what_is_another_s_does_not_exist_and_stays_as_it_is(
    installation: Installation,
) -> None:
    found = await routes(installation)
    async with (
        installation.client("context:read", "context:write") as owner,
        installation.client(*EVERYTHING, tenant="evil") as stranger,
        installation.client(*EVERYTHING, subject="agent:another") as agent,
    ):
        lesson = BODIES["PATCH", "/playbooks/{agent_id}"]
        before = (await owner.get(f"{BASE}/playbooks/{AGENT}")).json()
        for client in (stranger, agent):
            assert set((await asked(client, found)).values()) == {404}
        assert (await owner.get(f"{BASE}/playbooks/{AGENT}")).json() == before
        status = (await owner.get(f"{BASE}/evolution/status/{AGENT}")).json()
        assert status["pending_traces"] == 0
        # A stranger's own playbook is no way to what stands in another's log.
        await stranger.post(f"{BASE}/playbooks", json={"agent_id": "own"})
        await owner.patch(f"{BASE}/playbooks/{AGENT}", json=lesson)
        (entry, _) = (await owner.get(f"{BASE}/playbooks/{AGENT}/deltas")).json()["items"]
        theirs = f"{BASE}/playbooks/own"
        stolen = await stranger.post(f"{theirs}/experiments", json={"delta_id": entry["delta_id"]})
        assert (stolen.status_code, stolen.json()["code"]) == (409, "nothing_to_try")
        page = await stranger.get(f"{theirs}/deltas", params={"cursor": entry["delta_id"]})
        assert page.json()["items"] == []
        taken = await stranger.patch(theirs, json={**lesson, "delta_id": entry["delta_id"]})
        assert (taken.status_code, taken.json()["code"]) == (409, "delta_id_reused")
        assert (await owner.get(f"{BASE}/playbooks/{AGENT}/deltas")).json()["items"][0] == entry


def bodies(fields: dict[str, JsonObject]) -> Iterator[tuple[str, str, bytes]]:
    """Each body with each member spoilt in each way, and what is no body at all."""
    for (method, template), body in BODIES.items():
        for name in (*body, *fields.get(template, {}), "unknown"):
            rest = json.dumps({key: value for key, value in body.items() if key != name})
            start = f"{rest[:-1]}{', ' if len(rest) > 2 else ''}{json.dumps(name)}: ".encode()
            for value in VALUES:
                yield method, template, start + json.dumps(value).encode() + b"}"
            for raw in RAW:
                yield method, template, start + raw + b"}"
        for broken in BROKEN:
            yield method, template, broken


def attacks(found: list[tuple[str, str]]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    kind = {"content-type": "application/json"}
    for method, template, body in bodies(OPTIONAL):
        yield method, filled(template), {"content": body, "headers": kind}
    for method, template in found:
        for name in ("agent_id", "version", "experiment_id"):
            if f"{{{name}}}" in template and method != "DELETE":
                for segment in SEGMENTS:
                    given = {"json": BODIES.get((method, template))}
                    yield method, filled(template, **{name: segment}), given
    for template, names in QUERIES.items():
        for name in names:
            for text in TEXTS:
                yield "GET", f"{BASE}/playbooks/{AGENT}/{template}", {"params": {name: text}}


def told_by_type(answer: httpx2.Response) -> bool:
    """Done, or refused in words that a program understands."""
    if answer.status_code < 400:
        return True
    problem = answer.json()
    return answer.status_code < 500 and bool(problem["code"]) and bool(problem["detail"])


async def test_every_bad_input_is_a_typed_error(installation: Installation) -> None:
    wrong: list[object] = []
    refused = 0
    async with installation.client(*EVERYTHING) as owner:
        for method, path, given in attacks(await routes(installation)):
            answer = await owner.request(method, path, **given)
            refused += answer.status_code >= 400
            if not told_by_type(answer):
                wrong.append((method, path[:200], str(given)[:200], answer.text[:200]))
    assert wrong == []
    assert refused > 500
