"""The fake API server says what a real one (1.36.2) said to the same requests."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.fakes.kubernetes_api import TOKEN, kubernetes_api

Recording = dict[str, Any]
APPLY = "application/apply-patch+yaml"
LINES = (Path(__file__).parent / "recordings.jsonl").read_text(encoding="utf-8").splitlines()
RECORDED: dict[str, Recording] = {each["label"]: each for each in map(json.loads, LINES)}
BY_POST = {"deployment create", "selector does not match labels", "bad name"}


@pytest.fixture
async def http() -> AsyncIterator[httpx2.AsyncClient]:
    """What the recording session had made before: the Deployment a, then ssa."""
    async with kubernetes_api() as api:
        api.namespaces = {"NS"}
        headers = {"authorization": f"Bearer {TOKEN}"}
        async with httpx2.AsyncClient(base_url=api.url, headers=headers) as client:
            for label in ("deployment create", "server-side apply create"):
                assert (await send(client, RECORDED[label])).status_code == 201
            api.oldest = 1250
            yield client


async def send(client: httpx2.AsyncClient, recording: Recording) -> httpx2.Response:
    """As recorded; what was posted is applied, for we create in no other way."""
    asked = recording["request"]
    method, path, content = asked["method"], asked["path"], asked["content_type"]
    if recording["label"] in BY_POST:
        name = asked["body"]["metadata"]["name"]
        path = f"{path.partition('?')[0]}/{name}?fieldManager=agentcore"
        method, content = "PATCH", APPLY
    headers = {"content-type": content}
    if recording["label"] == "bad token":
        headers["authorization"] = "Bearer nonsense"
    body = None if asked["body"] is None else json.dumps(asked["body"])
    return await client.request(method, path, headers=headers, content=body)


@pytest.mark.parametrize("label", sorted(set(RECORDED) - {"deployment create"}))
async def test_the_fake_answers_as_the_server_did(http: httpx2.AsyncClient, label: str) -> None:
    recorded = RECORDED[label]["response"]
    answer = await send(http, RECORDED[label])
    if label == "server-side apply create":  # it was made before
        recorded = {**recorded, "status": 200}
    assert answer.status_code == recorded["status"]
    assert media_type(answer.headers["content-type"]) == media_type(recorded["content_type"])
    if recorded["content_type"].startswith("text/"):
        assert answer.text.strip() == recorded["body"].strip()
        return
    theirs = recorded.get("events") or [recorded["body"]]
    ours = [json.loads(line) for line in answer.text.splitlines()]
    assert [essence(each) for each in ours] == [essence(each) for each in theirs]


def media_type(header: str) -> str:
    return header.partition(";")[0]


def essence(value: Any) -> Any:
    """Without what differs between two servers: versions, times, defaults, examples in words."""
    if value.get("type") == "ERROR":
        return {**essence(value["object"]), "type": "ERROR", "message": ""}
    kind = value["kind"]
    if kind == "Status":
        words = value["message"].partition(", and must start")[0].partition(" (e.g.")[0]
        return {"kind": kind, **{n: value[n] for n in ("reason", "code")}, "message": words}
    if kind.endswith("List"):
        names = [each["metadata"]["name"] for each in value["items"]]
        kinds = {"kind" in each for each in value["items"]}
        return {"kind": kind, "names": names, "more": "continue" in value["metadata"], "of": kinds}
    name, spec = value["metadata"]["name"], value["spec"]
    return {"kind": kind, "name": name, "replicas": spec["replicas"]}
