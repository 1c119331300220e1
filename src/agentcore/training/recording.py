"""Recordings: episodes as they happen, in a file that survives whatever stops the writer.

A recording is gzip-compressed JSON, one object per line. The first is the header; then come, for
each episode and in any order between episodes, a ``reset``, its ``step`` lines and an ``end``.
Every line is flushed as it is written: a reader may follow, and a file that was cut off, by a
killed process or a full disk, is read up to its last complete line.
"""

from __future__ import annotations

import hashlib
import math
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Annotated, Self

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agentcore.kit.errors import InvalidInput
from agentcore.kit.jsonvalue import JsonObject, dumps, loads
from agentcore.training.errors import RecordingFailed, RecordingUnreadable
from agentcore.training.models import LARGEST_REWARD, Episode, EpisodeFailure, Transition
from agentcore.training.openenv.models import Action, EnvironmentInfo, JsonMap, Observation

FORMAT = 1
GZIP = 16 + zlib.MAX_WBITS
CHUNK = 1 << 16
# Beyond it nothing is an episode's line: a crafted file must not fill the memory.
LONGEST_LINE = 128 * 1024 * 1024


class RecordingHeader(BaseModel):
    """Where the episodes come from; ``schema_sha256`` is of the action and observation spaces."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    format: int = FORMAT
    environment: str
    version: str = ""
    url: str = ""
    policy: str = ""
    schema_sha256: str = ""
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedStep:
    """One step as it was played; ``cut`` and ``seconds`` as in ``Transition``."""

    action: Action
    observation: Observation
    reward: float
    terminated: bool
    truncated: bool
    cut: bool
    seconds: float


@dataclass(slots=True)
class RecordedEpisode:
    """An episode as far as it was recorded; ``ended`` is False where the recording was cut off."""

    index: int
    seed: int | None
    first: Observation
    steps: list[RecordedStep] = field(default_factory=list)
    ended: bool = False
    failure: EpisodeFailure | None = None

    @property
    def reward(self) -> float:
        return math.fsum(step.reward for step in self.steps)


@dataclass(frozen=True, slots=True)
class Recording:
    """``complete`` is False where the file ends before its writer closed it."""

    header: RecordingHeader
    episodes: tuple[RecordedEpisode, ...]
    complete: bool


def header_of(info: EnvironmentInfo, *, url: str, policy: str, at: datetime) -> RecordingHeader:
    return RecordingHeader(
        environment=info.name,
        version=info.version,
        url=url,
        policy=policy,
        schema_sha256=schema_hash(info),
        created_at=at,
    )


def schema_hash(info: EnvironmentInfo) -> str:
    """Of both spaces, whatever the order of their members."""
    spaces = [info.action_space, info.observation_space]
    return hashlib.sha256(orjson.dumps(spaces, option=orjson.OPT_SORT_KEYS)).hexdigest()


class Recorder:
    """Writes a recording; an ``EpisodeWatcher``, and a context that closes its file.

    Writing blocks for as long as a line takes to reach the page cache. Several episodes may be
    under way at once. When the file takes no more, ``RecordingFailed`` ends the rollout.
    """

    def __init__(self, path: Path, header: RecordingHeader) -> None:
        """Make the file at ``path``, in place of another.

        Raises:
            InvalidInput: it cannot be written there.
        """
        try:
            self._file = path.open("wb")
        except OSError as exc:
            raise InvalidInput(f"cannot record to {path}: {exc.strerror}") from exc
        self._compressor = zlib.compressobj(6, zlib.DEFLATED, GZIP)
        self._write({"kind": "header", **header.model_dump(mode="json")})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def began(self, index: int, seed: int, first: Observation, seconds: float) -> None:
        self._write(
            {
                "kind": "reset",
                "episode": index,
                "seed": seed,
                "observation": first.state,
                "metadata": first.metadata,
                "seconds": seconds,
            }
        )

    def stepped(self, index: int, number: int, transition: Transition) -> None:
        action = transition.action
        self._write(
            {
                "kind": "step",
                "episode": index,
                "step": number,
                "action": {
                    "type": action.type,
                    "parameters": action.parameters,
                    "metadata": action.metadata,
                },
                "observation": transition.next_observation,
                "metadata": transition.info,
                "reward": transition.reward,
                "terminated": transition.terminated,
                "truncated": transition.truncated,
                "cut": transition.cut,
                "seconds": transition.seconds,
            }
        )

    def ended(self, episode: Episode) -> None:
        self._write(
            {
                "kind": "end",
                "episode": episode.index,
                "steps": episode.length,
                "reward": episode.reward,
                "seconds": episode.seconds,
                "failure": episode.failure,
            }
        )

    def close(self) -> None:
        """Finish the file; safe to call twice."""
        if self._file.closed:
            return
        try:
            with self._file:
                self._file.write(self._compressor.flush(zlib.Z_FINISH))
        except OSError as exc:
            raise self._failed(exc) from exc

    def _write(self, line: Mapping[str, object]) -> None:
        data = self._compressor.compress(dumps(line) + b"\n")
        try:
            self._file.write(data + self._compressor.flush(zlib.Z_SYNC_FLUSH))
            self._file.flush()
        except OSError as exc:
            raise self._failed(exc) from exc

    def _failed(self, exc: OSError) -> RecordingFailed:
        return RecordingFailed(f"cannot record to {self._file.name}: {exc.strerror}")


def read_recording(path: Path) -> Recording:
    """All that can be read of a recording, which may still be written.

    Raises:
        RecordingUnreadable: no such file, or no recording; what is only cut off is read.
    """
    lines = _Lines(path)
    try:
        header = _header(next(lines.parsed(), None), path)
        episodes: dict[int, RecordedEpisode] = {}
        for line in lines.parsed():
            _take(line, episodes)
    except OSError as exc:
        raise RecordingUnreadable(f"cannot read {path}: {exc.strerror}") from exc
    except (KeyError, TypeError, ValidationError) as exc:
        detail = f"{path} holds a line that is no part of an episode: {type(exc).__name__}: {exc}"
        raise RecordingUnreadable(detail.splitlines()[0]) from exc
    found = tuple(episodes[index] for index in sorted(episodes))
    return Recording(header, found, lines.complete)


class _Lines:
    """The complete lines of a compressed file, and whether it has its end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines = self._read()
        self.complete = False

    def parsed(self) -> Iterator[JsonObject]:
        for line in self._lines:
            try:
                value = loads(line)
            except ValueError as exc:
                detail = f"{self._path} holds a line that is not JSON: {exc}"
                raise RecordingUnreadable(detail) from exc
            if not isinstance(value, dict):
                raise RecordingUnreadable(f"{self._path} holds a line that is no JSON object")
            yield value

    def _read(self) -> Iterator[bytes]:
        # Of the line that is being read: to join it with each chunk would take far longer.
        parts: list[bytes] = []
        size = 0
        for chunk in self._decompressed():
            *ends, rest = chunk.split(b"\n")
            for end in ends:
                yield b"".join((*parts, end))
                parts, size = [], 0
            parts.append(rest)
            size += len(rest)
            if size > LONGEST_LINE:
                raise RecordingUnreadable(f"{self._path} has a line beyond {LONGEST_LINE} bytes")

    def _decompressed(self) -> Iterator[bytes]:
        stream = zlib.decompressobj(GZIP)
        with self._path.open("rb") as file:
            while data := file.read(CHUNK):
                while data:
                    try:
                        chunk = stream.decompress(data, CHUNK)
                    except zlib.error as exc:
                        raise RecordingUnreadable(f"{self._path} is damaged: {exc}") from exc
                    yield chunk
                    data = stream.unconsumed_tail
            yield stream.flush()
        self.complete = stream.eof


def _header(line: JsonObject | None, path: Path) -> RecordingHeader:
    if line is None or line.get("kind") != "header":
        raise RecordingUnreadable(f"{path} does not begin as a recording", hint="env run --record")
    header = RecordingHeader.model_validate(line)
    if header.format != FORMAT:
        raise RecordingUnreadable(
            f"{path} has format {header.format}", hint=f"this version reads format {FORMAT}"
        )
    return header


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    episode: int


class _Reset(_Line):
    seed: int | None = None
    observation: JsonMap
    metadata: JsonMap = Field(default_factory=dict)


class _Step(_Line):
    step: int
    action: Action
    observation: JsonMap
    metadata: JsonMap = Field(default_factory=dict)
    # Null where it was no finite number.
    reward: Annotated[float, Field(ge=-LARGEST_REWARD, le=LARGEST_REWARD)] | None
    terminated: bool
    truncated: bool
    cut: bool = False
    seconds: float = 0.0


class _End(_Line):
    failure: EpisodeFailure | None = None


def _take(line: JsonObject, episodes: dict[int, RecordedEpisode]) -> None:
    """Add one line to its episode; kinds that a later version may add are passed over."""
    match line.get("kind"):
        case "reset":
            reset = _Reset.model_validate(line)
            if reset.episode in episodes:
                raise RecordingUnreadable(
                    f"the recording holds episode {reset.episode} twice",
                    hint="it is damaged, or made of several: record again",
                )
            first = Observation(state=reset.observation, metadata=reset.metadata)
            episodes[reset.episode] = RecordedEpisode(reset.episode, reset.seed, first)
        case "step":
            step = _Step.model_validate(line)
            episodes[step.episode].steps.append(
                RecordedStep(
                    action=step.action,
                    observation=Observation(state=step.observation, metadata=step.metadata),
                    reward=math.nan if step.reward is None else step.reward,
                    terminated=step.terminated,
                    truncated=step.truncated,
                    cut=step.cut,
                    seconds=step.seconds,
                )
            )
        case "end":
            end = _End.model_validate(line)
            # An episode that failed before its first observation has no other line.
            if end.episode in episodes:
                episodes[end.episode].ended = True
                episodes[end.episode].failure = end.failure
        case _:
            return
