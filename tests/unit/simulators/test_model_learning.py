"""The loop's effect is real: rules written from traces of failures raise the reward."""

from __future__ import annotations

import json
from collections import Counter
from statistics import fmean

from agentcore.kit.jsonvalue import JsonObject
from agentcore.simulators.model import ScriptedModel
from agentcore.simulators.prompt import Message
from agentcore.training.openenv.environments.a2a_protocol_test import A2AProtocolTestEnv
from agentcore.training.openenv.models import Action

MODEL = ScriptedModel("simulated/test", seed=0, slip_rate=0.03)
EPISODES = 12
MOST_STEPS = 60
ROUNDS = 6
ASK = 'Answer {"deltas": [{"changes": {"ops": []}, "confidence": 0.8, "reasoning": "..."}]}'


def playbook(rules: list[str]) -> str:
    return "\n".join(["## PLAYBOOK", *(f"- [b-{n}] {rule}" for n, rule in enumerate(rules))])


def episode(seed: int, rules: list[str]) -> tuple[float, Counter[str]]:
    environment = A2AProtocolTestEnv()
    observation = environment.reset(seed)
    reward, violations = 0.0, Counter[str]()
    for _ in range(MOST_STEPS):
        question = f"Observation:\n{json.dumps(observation)}"
        messages = (Message("system", playbook(rules)), Message("user", question))
        action = Action.model_validate_json(MODEL.reply(messages).text)
        step = environment.step(action)
        reward += step.reward
        found = step.info["violations"]
        assert isinstance(found, list)
        violations.update(str(note) for note in found)
        observation = step.observation
        if step.terminated or step.truncated:
            break
    return reward, violations


def learned(rules: list[str], episodes: list[tuple[float, Counter[str]]]) -> list[str]:
    traces: list[JsonObject] = [
        {"trace_id": f"t-{n}", "success": reward > 0, "metadata": {"violations": dict(found)}}
        for n, (reward, found) in enumerate(episodes)
    ]
    prompt = f"{playbook(rules)}\n{json.dumps(traces)}\n{ASK}"
    deltas = json.loads(MODEL.reply((Message("user", prompt),)).text)["deltas"]
    return [op["text"] for delta in deltas for op in delta["changes"]["ops"]]


def test_mistakes_vanish_and_the_reward_rises_round_by_round() -> None:
    rules: list[str] = []
    rewards: list[float] = []
    last: Counter[str] = Counter()
    for _ in range(ROUNDS):
        episodes = [episode(seed, rules) for seed in range(EPISODES)]
        rewards.append(fmean(reward for reward, _ in episodes))
        last = sum((found for _, found in episodes), Counter())
        rules += learned(rules, episodes)
    assert rewards[0] < 0
    assert rewards[2] > rewards[0] + 5
    assert rewards[-1] > 14
    # What is left are the slips of a model that knows better.
    assert last.total() / EPISODES < 2.5
    assert len(rules) == len(set(rules))
