from __future__ import annotations

from datetime import UTC, datetime

import pytest

from agentcore.a2a_protocol.discovery import LONGEST_TERM, MOST_WORDS, Wish, rank, terms
from agentcore.a2a_protocol.models.agent import AgentRecord, AgentStatus
from agentcore.a2a_protocol.models.task import Owner
from agentcore.kit.jsonvalue import JsonObject

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def agent(
    agent_id: str,
    *capabilities: str,
    name: str = "",
    description: str = "",
    skills: tuple[JsonObject, ...] = (),
) -> AgentRecord:
    return AgentRecord(
        agent_id=agent_id,
        owner=Owner(tenant="acme", subject="alice"),
        name=name or agent_id,
        version="1",
        status=AgentStatus.ACTIVE,
        description=description,
        capabilities=capabilities,
        skills=skills,
        created_at=NOW,
        updated_at=NOW,
        last_seen=NOW,
    )


AGENTS = [
    agent("both", "summarization", "translation"),
    agent("one", "Translation"),
    agent(
        "skilled",
        skills=({"id": "translate", "name": "Translate", "tags": ["translation", 7]},),
    ),
    agent("speaks", name="Poet", description="Loves translation and verse."),
    agent("bare"),
]


@pytest.mark.parametrize(
    ("wish", "expected"),
    [
        (Wish(), ["bare", "both", "one", "skilled", "speaks"]),
        (Wish(capabilities=("translation",)), ["both", "one", "skilled"]),
        (Wish(capabilities=("translation", "summarization")), ["both", "one", "skilled"]),
        (Wish(capabilities=("TRANSLATION",), text="both"), ["both"]),
        (Wish(skills=("translate",)), ["skilled"]),
        (Wish(skills=("translation",)), ["skilled"]),
        (Wish(text="poet"), ["speaks"]),
        (Wish(text="verse, please"), ["speaks"]),
        (Wish(text="translation"), ["both", "one", "skilled", "speaks"]),
        (Wish(capabilities=("cooking",)), []),
        (Wish(text="!?"), ["bare", "both", "one", "skilled", "speaks"]),
    ],
)
def test_ranking(wish: Wish, expected: list[str]) -> None:
    assert [match.agent.agent_id for match in rank(AGENTS, wish)] == expected


def test_more_that_fits_ranks_higher() -> None:
    scores = {
        match.agent.agent_id: match.score
        for match in rank(AGENTS, Wish(capabilities=("translation", "summarization")))
    }
    assert scores["both"] > scores["one"] == scores["skilled"]


def test_a_capability_beats_a_description() -> None:
    able, speaking = agent("z", "search"), agent("a", description="search search search")
    ranked = rank([speaking, able], Wish(text="search"))
    assert {match.agent.agent_id for match in ranked} == {"a", "z"}
    (match,) = rank([speaking, able], Wish(capabilities=("search",)))
    assert match.agent is able


def test_a_tag_is_no_id() -> None:
    (match,) = rank(AGENTS, Wish(tags=("Translation",)))
    assert match.agent.agent_id == "skilled"
    assert rank(AGENTS, Wish(tags=("translate",))) == []


def test_what_nobody_asks_for_is_no_term() -> None:
    huge = agent("huge", description="x" * 300 + " " + " ".join(f"w{n}" for n in range(5000)))
    assert len(terms(huge)) <= MOST_WORDS + 1
    assert max(map(len, terms(huge))) <= LONGEST_TERM + 1
