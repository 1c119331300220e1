"""Catalog snapshots of OpenEnv (RFC 011, profile 0.1-draft) as a source of environments.

A catalog is metadata only: it names where the code of an environment lives, at which revision,
under which license. Nothing that it points to is fetched.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from agentcore.kit.jsonvalue import JsonObject, JsonValue, loads, object_of, objects_of
from agentcore.training.openenv.registration.errors import CatalogFileError
from agentcore.training.openenv.registration.naming import name_from
from agentcore.training.openenv.registration.records import BadEntry
from agentcore.training.openenv.specs import EnvironmentSpec

PROFILE = "0.1-draft"
LARGEST = 16 * 1024 * 1024
Text = Annotated[str, Field(min_length=1, max_length=8192, pattern=r"\S")]
Revision = Annotated[str, Field(pattern=r"^(?:[0-9a-f]{40}|[0-9a-f]{64})$")]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True)


class CardSource(_Part):
    provider: Literal["github"]
    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+$")]
    uri: Text
    revision: Revision
    path: Text

    @model_validator(mode="after")
    def _agree(self) -> CardSource:
        if self.uri.lower() != f"https://github.com/{self.id}.git".lower():
            raise ValueError("uri is not that of the repository id")
        if any(part in {"", "..", "."} for part in self.path.split("/")) and self.path != ".":
            raise ValueError("path is not a normalised path inside the repository")
        return self


class CardOwner(_Part):
    authority: Text
    id: Text


class CardInterface(_Part):
    role: Literal["orchestration", "agent-tools"]
    protocol: Text


class Card(_Part):
    """An Environment Card: what its source declares."""

    schema_version: Literal["0.1-draft"]
    name: Text
    description: Text
    owner: CardOwner | Literal["unknown"]
    source: CardSource
    license: Text
    interfaces: list[CardInterface]

    @model_validator(mode="after")
    def _playable(self) -> Card:
        spoken = [each.protocol for each in self.interfaces if each.role == "orchestration"]
        if spoken != ["openenv"]:
            raise ValueError("interfaces must have one orchestration interface, openenv")
        return self


class CatalogEntry(_Part):
    identifier: Text
    data: Card
    tags: list[Text] = Field(default_factory=list)

    @model_validator(mode="after")
    def _of_this_revision(self) -> CatalogEntry:
        named = self.identifier.startswith("urn:air:")
        if not named or not self.identifier.endswith(f":{self.data.source.revision}"):
            raise ValueError("identifier does not name the revision of its card")
        return self

    def spec(self) -> EnvironmentSpec:
        """Without an address or an image: neither is in a catalog."""
        card, source = self.data, self.data.source
        folder = "" if source.path == "." else f"/{source.path}"
        return EnvironmentSpec(
            name=name_from(card.name),
            version=source.revision[:12],
            description=card.description,
            tags=tuple(self.tags),
            author=None if isinstance(card.owner, str) else card.owner.id,
            license=card.license,
            deployment_config={
                "git": {"uri": source.uri, "path": source.path, "revision": source.revision}
            },
            source="catalog",
            source_id=f"github.com/{source.id}{folder}",
            revision=source.revision,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    specs: tuple[EnvironmentSpec, ...]
    refused: tuple[BadEntry, ...] = ()


def read_catalog(path: Path) -> Catalog:
    """The catalog at ``path``; raises ``CatalogFileError`` when there is none."""
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as exc:
        raise CatalogFileError(f"{path} cannot be read: {exc.strerror}") from exc
    return parse_catalog(data)


def parse_catalog(data: bytes) -> Catalog:
    """The environments of a snapshot; each entry that breaks the profile is named, the rest kept.

    Raises:
        CatalogFileError: too large, not JSON, of another profile, or not what its digest says.
    """
    if len(data) > LARGEST:
        raise CatalogFileError(f"the catalog has more than {LARGEST} bytes")
    try:
        snapshot = loads(data)
    except ValueError as exc:
        raise CatalogFileError(f"the catalog is not JSON: {exc}", hint=_HINT) from exc
    if not isinstance(snapshot, dict):
        raise CatalogFileError("the catalog is not a JSON object", hint=_HINT)
    return catalog_of(snapshot)


_HINT = "openenv catalog build writes one"


def catalog_of(snapshot: JsonObject) -> Catalog:
    """As :func:`parse_catalog`, of a document that is parsed."""
    entries = snapshot.get("entries")
    version = snapshot.get("schema_version", PROFILE)
    if not isinstance(entries, list):
        raise CatalogFileError("the catalog has no list of entries", hint=_HINT)
    if version != PROFILE:
        raise CatalogFileError(f"the catalog has profile {version!r}", hint=f"{PROFILE} is read")
    if snapshot.get("digest") != digest(snapshot):
        raise CatalogFileError(
            "the catalog's content does not match its digest",
            hint="it was changed after it was built: build it again",
        )
    specs: dict[tuple[str, str], EnvironmentSpec] = {}
    refused = list(_failed_when_built(snapshot.get("issues")))
    for number, entry in enumerate(entries):
        try:
            spec = CatalogEntry.model_validate(entry).spec()
        except ValidationError as exc:
            refused.append(BadEntry(path=_path(number, entry), detail=_first(exc)))
            continue
        if specs.setdefault((spec.source_id, spec.revision), spec) is not spec:
            refused.append(BadEntry(path=_path(number, entry), detail="it is listed twice"))
    return Catalog(specs=tuple(specs.values()), refused=tuple(refused))


def digest(snapshot: JsonObject) -> str:
    """The digest that a snapshot's content has: of its canonical JSON without the digest."""
    content = {name: value for name, value in snapshot.items() if name != "digest"}
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return f"sha256:{hashlib.sha256(canonical.encode('utf-8', 'surrogatepass')).hexdigest()}"


def _failed_when_built(issues: JsonValue) -> Iterator[BadEntry]:
    """Environments that the catalog itself reports as left out."""
    for issue in objects_of(issues):
        if issue.get("severity") == "error":
            yield BadEntry(path=str(issue.get("path")), detail=str(issue.get("message")))


def _path(number: int, entry: JsonValue) -> str:
    """Where an entry is, by its source path if it has one."""
    path = object_of(object_of(object_of(entry).get("data")).get("source")).get("path")
    return f"entries[{number}] ({path})" if isinstance(path, str) else f"entries[{number}]"


def _first(error: ValidationError) -> str:
    fault = error.errors(include_url=False)[0]
    where = ".".join(str(step) for step in fault["loc"])
    return f"{where}: {fault['msg']}" if where else str(fault["msg"])
