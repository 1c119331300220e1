"""The simulated society of A2AProtocolTestEnv: agents, tasks to delegate, requests to answer."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from random import Random

from agentcore.kit.jsonvalue import JsonObject, JsonValue, object_of

CAPABILITIES: tuple[tuple[str, ...], ...] = (
    ("data_processing", "api_calls"),
    ("natural_language", "summarization"),
    ("code_generation", "debugging"),
    ("task_planning", "coordination"),
    ("database_queries", "analytics"),
)
TASK_TYPES: tuple[tuple[str, float], ...] = (
    ("data_processing", 0.5),
    ("natural_language", 0.6),
    ("code_generation", 0.8),
    ("task_planning", 0.7),
    ("database_queries", 0.4),
)
OPERATIONS: dict[str, Callable[[list[int]], int]] = {"sum": sum, "maximum": max, "minimum": min}
MOST_REQUESTS = 3
# Every request arrives before the quickest policy can have finished: none is worth waiting for.
LAST_ARRIVAL = 8
STEPS_TO_ANSWER = 5


@dataclass(frozen=True, slots=True)
class SimulatedAgent:
    id: str
    capabilities: tuple[str, ...]
    success_rate: float

    def can_handle(self, task: Task) -> bool:
        return task.type in self.capabilities

    def offers_any(self, wanted: Collection[JsonValue]) -> bool:
        return any(capability in wanted for capability in self.capabilities)

    def to_dict(self) -> JsonObject:
        return {
            "id": self.id,
            "capabilities": list(self.capabilities),
            "success_rate": self.success_rate,
        }


@dataclass(slots=True)
class Task:
    """``luck`` decides its attempts, so a task fares alike whenever a policy turns to it."""

    id: str
    type: str
    complexity: float
    luck: Random
    completed: bool = False
    result: JsonObject = field(default_factory=dict)

    def attempt(self, agent: SimulatedAgent) -> bool:
        if self.luck.random() >= agent.success_rate * (1 - self.complexity * 0.3):
            return False
        self.completed = True
        self.result = {"output": f"{self.type} done by {agent.id}"}
        return True

    def to_dict(self) -> JsonObject:
        return {"id": self.id, "type": self.type, "complexity": self.complexity}


@dataclass(slots=True)
class Request:
    """What another agent asks: shown from step ``arrives`` on, to be answered by ``expires``."""

    id: str
    sender: str
    operation: str
    values: list[int]
    arrives: int
    closed: bool = False

    @property
    def expires(self) -> int:
        return self.arrives + STEPS_TO_ANSWER

    def solved_by(self, result: JsonValue) -> bool:
        value = object_of(result).get("value")
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return value == OPERATIONS[self.operation](self.values)

    def to_dict(self) -> JsonObject:
        values: list[JsonValue] = list(self.values)
        text = f'What is the {self.operation} of {values}? Result: {{"value": <number>}}'
        return {
            "type": "task_request",
            "task_id": self.id,
            "source_agent": self.sender,
            "expires_at_step": self.expires,
            "message": {
                "messageId": f"{self.id}-message",
                "role": "ROLE_USER",
                "taskId": self.id,
                "parts": [
                    {"text": text},
                    {"data": {"operation": self.operation, "values": values}},
                ],
            },
        }


def simulated_agents(count: int) -> list[SimulatedAgent]:
    return [
        SimulatedAgent(
            id=f"agent-{i}",
            capabilities=CAPABILITIES[i % len(CAPABILITIES)],
            success_rate=round(min(0.7 + 0.05 * i, 1.0), 2),
        )
        for i in range(count)
    ]


def simulated_tasks(count: int, random: Random) -> list[Task]:
    kinds = [TASK_TYPES[i % len(TASK_TYPES)] for i in range(count)]
    return [
        Task(id=f"task-{i}", type=kind, complexity=complexity, luck=Random(random.getrandbits(64)))
        for i, (kind, complexity) in enumerate(kinds)
    ]


def simulated_requests(agents: list[SimulatedAgent], tasks: int, random: Random) -> list[Request]:
    last = min(LAST_ARRIVAL, tasks - 1)
    arrivals = sorted(random.sample(range(1, last + 1), min(MOST_REQUESTS, last)))
    return [
        Request(
            id=f"request-{i}",
            sender=random.choice(agents).id,
            operation=random.choice(sorted(OPERATIONS)),
            values=[random.randint(1, 20) for _ in range(3)],
            arrives=arrival,
        )
        for i, arrival in enumerate(arrivals)
    ]
