"""The scripted model: a function from messages to a reply, with no memory and no clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from agentcore.kit.jsonvalue import JsonValue, dumps
from agentcore.simulators.actor import act, observation_in
from agentcore.simulators.lessons import knowledge_of
from agentcore.simulators.prompt import Message, Prompt
from agentcore.simulators.reflector import reflect, traces_in
from agentcore.simulators.schema_reply import action_schema_in, instance_of

Behaviour = Literal["act", "reflect", "schema", "chat"]
GIST_CHARACTERS = 240


@dataclass(frozen=True, slots=True)
class Reply:
    behaviour: Behaviour
    text: str


class ScriptedModel:
    """Reads its prompt and does what the prompt asks for; equal prompts get equal replies.

    Traces with a request for deltas make it reflect, an observation of ``a2a_protocol_test`` makes
    it act, a JSON Schema of actions gets an instance; all else is chat.
    """

    def __init__(self, name: str, *, seed: int, slip_rate: float) -> None:
        self._name = name
        self._seed = seed
        self._slip_rate = slip_rate

    def reply(self, messages: tuple[Message, ...]) -> Reply:
        prompt = Prompt(messages)
        if (traces := traces_in(prompt)) is not None:
            return Reply("reflect", _json(reflect(prompt, traces)))
        if (observation := observation_in(prompt)) is not None:
            knowledge = knowledge_of(prompt.rules)
            action = act(observation, knowledge, seed=self._seed, slip_rate=self._slip_rate)
            return Reply("act", _json(action))
        if (schema := action_schema_in(prompt)) is not None:
            return Reply("schema", _json(instance_of(schema)))
        return Reply("chat", self._chat(prompt))

    def _chat(self, prompt: Prompt) -> str:
        gist = " ".join(prompt.question.split())[:GIST_CHARACTERS]
        return (
            f"This is {self._name}, a scripted stand-in for a language model, so this is no real "
            f"answer. It received: {gist}"
        )


def _json(value: JsonValue) -> str:
    return dumps(value).decode()
