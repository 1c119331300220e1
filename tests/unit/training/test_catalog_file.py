from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from agentcore.training.openenv.registration.catalog_file import (
    LARGEST,
    digest,
    parse_catalog,
    read_catalog,
)
from agentcore.training.openenv.registration.errors import CatalogFileError

UPSTREAM = Path(__file__).parents[2] / "wire" / "openenv" / "catalog_upstream_0_10_0.json"
REVISION = "cbfea3cdd89de634be0dd01f353835d5b6fc4c9f"


def snapshot() -> dict[str, Any]:
    value: dict[str, Any] = json.loads(UPSTREAM.read_text(encoding="utf-8"))
    return value


def sealed(value: dict[str, Any]) -> bytes:
    return json.dumps({**value, "digest": digest(value)}).encode()


def test_the_file_that_upstream_writes_is_read() -> None:
    catalog = read_catalog(UPSTREAM)
    echo, maze = catalog.specs
    assert (echo.name, maze.name) == ("echo_env", "maze-world")
    assert echo.source_id == "github.com/example/environments/envs/echo_env"
    assert (echo.source, echo.revision, echo.license) == ("catalog", REVISION, "BSD-3-Clause")
    assert (echo.author, maze.tags) == ("example", ("maze", "tools"))
    assert (echo.url, echo.image) == (None, None)
    assert echo.deployment_config == {
        "git": {
            "uri": "https://github.com/example/environments.git",
            "path": "envs/echo_env",
            "revision": REVISION,
        }
    }
    assert [entry.path for entry in catalog.refused] == ["envs/nameless"]


def test_bad_entries_are_named_and_the_good_ones_kept() -> None:
    value = snapshot()
    good = value["entries"][0]

    def changed(**card: Any) -> dict[str, Any]:
        entry: dict[str, Any] = copy.deepcopy(good)
        entry["data"].update(card)
        return entry

    source = good["data"]["source"]
    value["entries"] = [
        changed(license=""),
        changed(interfaces=[]),
        changed(source={**source, "path": "../../etc"}),
        changed(source={**source, "uri": "https://user:pw@evil.example/x.git"}),
        changed(source={**source, "revision": "main"}),
        changed(schema_version="9"),
        changed(name="!!!"),
        {**good, "identifier": "urn:air:example.org:openenv:1:other"},
        "text",
        good,
        good,
    ]
    value["issues"] = []
    catalog = parse_catalog(sealed(value))
    assert [spec.name for spec in catalog.specs] == ["echo_env"]
    said = {entry.path.partition(" ")[0]: entry.detail for entry in catalog.refused}
    assert sorted(said) == sorted(f"entries[{n}]" for n in (*range(9), 10))
    assert said["entries[0]"].startswith("data.license")
    assert "path" in said["entries[2]"]
    assert "revision" in said["entries[4]"]
    assert "name" in said["entries[6]"]
    assert said["entries[10]"] == "it is listed twice"
    assert "envs/echo_env" in catalog.refused[0].path


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[]", "not a JSON object"),
        (b"{}", "no list of entries"),
        (b'{"entries": 3}', "no list of entries"),
        (b'{"entries": [], "schema_version": "2.0"}', "profile '2.0'"),
        (b'{"entries": []}', "digest"),
        (b'{"entries": [], "digest": "sha256:00"}', "digest"),
    ],
)
def test_what_is_no_catalog_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(CatalogFileError, match=said.replace("[", r"\[")):
        parse_catalog(data)


def test_a_changed_catalog_is_refused_as_a_whole() -> None:
    value = snapshot()
    value["entries"][0]["data"]["source"]["path"] = "envs/other"
    with pytest.raises(CatalogFileError, match="digest"):
        parse_catalog(json.dumps(value).encode())


def test_size_and_absence_are_said() -> None:
    with pytest.raises(CatalogFileError, match="bytes"):
        parse_catalog(b" " * (LARGEST + 1))
    with pytest.raises(CatalogFileError, match="cannot be read"):
        read_catalog(UPSTREAM.with_name("absent.json"))
