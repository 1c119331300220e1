from __future__ import annotations

from collections import Counter, deque
from dataclasses import asdict, dataclass
from hashlib import blake2b

from agentcore.kit.jsonvalue import JsonObject
from agentcore.simulators.model import Behaviour

KEPT_RECORDS = 200
KEPT_PROMPTS = 10_000


@dataclass(slots=True)
class RequestRecord:
    """One chat request; ``outcome`` is the HTTP status, or how the connection ended."""

    number: int
    prompt_hash: str
    outcome: str = "running"
    behaviour: Behaviour | None = None
    stream: bool = False
    prompt_tokens: int = 0
    completion_tokens: int = 0
    faults: tuple[str, ...] = ()


class RequestJournal:
    """What arrived, written down before anything is done with it; prompts only as hashes.

    ``prompts`` holds the bodies themselves, and only where the configuration says so.
    """

    def __init__(self, *, record_prompts: bool) -> None:
        self._record_prompts = record_prompts
        self._records: deque[RequestRecord] = deque(maxlen=KEPT_RECORDS)
        self.outcomes: Counter[str] = Counter()
        self.behaviours: Counter[str] = Counter()
        self.prompts: deque[str] = deque(maxlen=KEPT_PROMPTS)
        self.arrived = 0
        self.prompt_tokens = 0
        self.completion_tokens = 0

    @property
    def records(self) -> tuple[RequestRecord, ...]:
        return tuple(self._records)

    def arrive(self, body: bytes) -> RequestRecord:
        self.arrived += 1
        record = RequestRecord(self.arrived, blake2b(body, digest_size=16).hexdigest())
        self._records.append(record)
        if self._record_prompts:
            self.prompts.append(body.decode(errors="replace"))
        return record

    def leave(self, record: RequestRecord, outcome: str) -> None:
        record.outcome = outcome
        self.outcomes[outcome] += 1
        if record.behaviour is not None:
            self.behaviours[record.behaviour] += 1
        self.prompt_tokens += record.prompt_tokens
        self.completion_tokens += record.completion_tokens

    def summary(self) -> JsonObject:
        body: JsonObject = {
            "simulated": True,
            "arrived": self.arrived,
            "outcomes": dict(self.outcomes),
            "behaviours": dict(self.behaviours),
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "last": [asdict(record) for record in self._records],
        }
        return {**body, "prompts": list(self.prompts)} if self._record_prompts else body
