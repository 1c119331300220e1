"""Which environment a name means.

Names collide: two authors may both publish ``echo``, and each has many revisions. A reference is
``NAME``, ``SOURCE_ID``, ``SOURCE:SOURCE_ID``, each with ``@REVISION`` if need be (its beginning
will do), or a record's id. It means the registered revision that fits it. Where several fit:

- revisions of one environment: the one that was registered last, unless a revision was given;
- environments of several sources: none of them. ``AmbiguousEnvironment`` lists them all.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import cast, get_args
from uuid import UUID

from agentcore.training.openenv.registration.errors import AmbiguousEnvironment
from agentcore.training.openenv.registration.records import EnvironmentRecord
from agentcore.training.openenv.specs import EnvironmentSpec, Source

SOURCES: tuple[str, ...] = get_args(Source)
LONGEST_NAME = 64
MOST_NAMED = 20


@dataclass(frozen=True, slots=True)
class Reference:
    """``text`` is a name or a source id; an ``id`` leaves nothing to choose."""

    text: str
    source: Source | None = None
    revision: str = ""
    id: UUID | None = None

    @classmethod
    def parse(cls, written: str) -> Reference:
        try:
            return cls(written, id=UUID(written))
        except ValueError:
            pass
        head, _, revision = written.partition("@")
        source, colon, rest = head.partition(":")
        if colon and source in SOURCES:
            return cls(rest, source=cast("Source", source), revision=revision)
        return cls(head, revision=revision)

    def fits(self, record: EnvironmentRecord) -> bool:
        spec = record.spec
        if self.id is not None:
            return record.id == self.id
        return (
            self.text in {spec.name, spec.source_id}
            and self.source in {None, spec.source}
            and spec.revision.startswith(self.revision)
        )


def choose(written: str, records: Iterable[EnvironmentRecord]) -> EnvironmentRecord | None:
    """The record that ``written`` means, None where none fits.

    Raises:
        AmbiguousEnvironment: it fits environments of several sources, or its beginning of a
            revision fits several.
    """
    reference = Reference.parse(written)
    fitting = [record for record in records if reference.fits(record)]
    if not fitting:
        return None
    origins = {(record.spec.source, record.spec.source_id) for record in fitting}
    exact = [record for record in fitting if record.spec.revision == reference.revision]
    if len(origins) == 1 and reference.revision and exact:
        return exact[0]
    if len(origins) > 1 or (reference.revision and len(fitting) > 1):
        raise AmbiguousEnvironment(written, sorted(record.qualified for record in fitting))
    return max(fitting, key=lambda record: (record.registered_at or record.created_at, record.id))


def by_name(records: Sequence[EnvironmentRecord]) -> dict[str, EnvironmentSpec]:
    """What each name means; environments whose name is ambiguous, by their full names."""
    found: dict[str, EnvironmentSpec] = {}
    for name in sorted({record.spec.name for record in records}):
        fitting = [record for record in records if record.spec.name == name]
        try:
            chosen = choose(name, fitting)
        except AmbiguousEnvironment:
            found |= {record.qualified: record.spec for record in fitting}
        else:
            if chosen is not None:
                found[name] = chosen.spec
    return found


def name_from(text: str) -> str:
    """A name for what calls itself ``text``; empty where nothing of it can stay."""
    kept = re.sub(r"[^a-z0-9_.-]+", "-", text.lower()).strip("-_.")
    return kept[:LONGEST_NAME].rstrip("-_.")


def some_of(names: Collection[str]) -> str:
    """For a hint, which is no list of all that there is."""
    more = len(names) - MOST_NAMED
    named = ", ".join(islice(names, MOST_NAMED)) or "none"
    return f"{named}, and {more} more" if more > 0 else named
