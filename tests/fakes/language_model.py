"""A language model that says what a test wrote for it.

It keeps the port's promises (``agentcore.ace.ports.LanguageModel``), which
``tests/contracts/ace/test_gateway_model.py`` checks on every adapter: one answer per call, token
counts that are not negative, failures as ``AgentCoreError``, cancellation honoured.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from agentcore.ace.ports import Completion, PromptMessage
from agentcore.kit.errors import AgentCoreError
from agentcore.kit.jsonvalue import JsonObject, JsonValue, dumps

Answer = str | AgentCoreError | TimeoutError | Callable[[str], str]
NOTHING = '{"deltas": []}'


@dataclass(frozen=True)
class Asked:
    prompt: str
    model: str
    max_tokens: int
    trace_id: str
    private: bool = False


@dataclass
class ScriptedModel:
    """Gives ``answers`` in turn, the last one for ever; a callable makes one of the prompt."""

    answers: list[Answer] = field(default_factory=lambda: [NOTHING])
    cost_usd: Decimal | None = Decimal("0.001")
    asked: list[Asked] = field(default_factory=list)
    gate: asyncio.Event | None = None
    delay: float = 0.0
    running: int = 0
    most_running: int = 0

    async def complete(
        self,
        messages: Sequence[PromptMessage],
        *,
        model: str,
        max_tokens: int,
        trace_id: str,
        private: bool = False,
    ) -> Completion:
        prompt = "\n".join(message.content for message in messages)
        self.asked.append(Asked(prompt, model, max_tokens, trace_id, private))
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            await asyncio.sleep(self.delay)
            if self.gate is not None:
                await self.gate.wait()
        finally:
            self.running -= 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, AgentCoreError | TimeoutError):
            raise answer
        text = answer if isinstance(answer, str) else answer(prompt)
        return Completion(
            text=text,
            prompt_tokens=len(prompt) // 4,
            completion_tokens=len(text) // 4,
            cost_usd=self.cost_usd,
        )


def proposing(*deltas: JsonObject) -> str:
    return dumps({"deltas": list(deltas)}).decode()


def reflecting(*findings: str, quote: str = "", neutral: str | None = None) -> str:
    """One reflection for each of ``findings``, all borne out by ``quote``."""
    evidence: list[JsonValue] = [{"trace_id": "t1", "quote": quote}] if quote else []
    found: list[JsonValue] = [{"key_insight": one, "evidence": evidence} for one in findings]
    tags: list[JsonValue] = [{"id": neutral, "tag": "neutral"}] if neutral else []
    return dumps({"reflections": found, "bullet_tags": tags}).decode()


def adding(
    text: str, *, quote: str = "", section: str = "strategies", confidence: float = 0.9
) -> JsonObject:
    """One proposed delta that adds a bullet, with ``quote`` as its evidence."""
    evidence: list[JsonValue] = [{"trace_id": "t1", "quote": quote}] if quote else []
    operation: JsonObject = {"op": "ADD", "section": section, "text": text, "evidence": evidence}
    return {"changes": {"ops": [operation]}, "confidence": confidence, "reasoning": "seen twice"}
