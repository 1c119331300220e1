from __future__ import annotations

import pytest

from agentcore.simulators.lessons import LESSONS, Lesson, Mistake, affirmative, knowledge_of

NOTES: list[tuple[str, Mistake]] = [
    ("Protocol violation: missing capabilities", "bare_discovery"),
    ("Target agent cannot handle task", "incapable_agent"),
    ("Protocol violation: missing required fields", "incomplete_delegation"),
    ("Protocol violation: message is not an A2A message: parts is missing", "loose_message"),
    ("Task request left unanswered", "ignored_request"),
    ("Task not found", "stale_task"),
    ("Target agent not found", "invented_agent"),
    ("Unknown action type: query_status", "unknown_action"),
    ("Protocol violation: unknown action type query_status", "unknown_action"),
    ("Task execution failed", "unreliable_agent"),
]

REWORDED: list[tuple[str, Mistake]] = [
    ("Never call discover_agents without capabilities.", "bare_discovery"),
    ("A discovery request must name the capabilities it is looking for.", "bare_discovery"),
    ("Include a capabilities list in every discovery request", "bare_discovery"),
    ("Match each task's type to the target agent's capabilities first.", "incapable_agent"),
    ("Never delegate to an agent that lacks the capability for the task", "incapable_agent"),
    ("CHOOSE AN AGENT WHOSE SKILLS FIT THE TASK", "incapable_agent"),
    ("A delegation must include task_id, target_agent and message.", "incomplete_delegation"),
    ("Never omit task_id, target_agent or message on delegation", "incomplete_delegation"),
    ("Messages must be valid A2A messages (role, messageId, parts).", "loose_message"),
    ("Give the message a role and a list of parts", "loose_message"),
    ("Reply to inbound task requests promptly.", "ignored_request"),
    ("Do not ignore requests in the queue: answer them", "ignored_request"),
    ("Never leave a task request unanswered", "ignored_request"),
    ("Do not delegate tasks which are already completed", "stale_task"),
    ("Only delegate tasks listed under pending_tasks.", "stale_task"),
    ("Only use agent ids that exist in available_agents", "invented_agent"),
    ("Never make up or guess the name of an agent", "invented_agent"),
    ("Use only the types discover_agents, delegate_task, respond_to_task", "unknown_action"),
    ("Prefer the most reliable agent for the job", "unreliable_agent"),
]

HARMFUL: list[tuple[str, Mistake]] = [
    ("Discovery needs no capabilities", "bare_discovery"),
    ("Delegate at once, regardless of capabilities", "incapable_agent"),
    ("Ignore task requests in the message queue.", "ignored_request"),
    ("Never answer requests of other agents", "ignored_request"),
    ("Send the message as plain text.", "loose_message"),
    ("Pick the agent with the lowest success rate to save money", "unreliable_agent"),
]


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.mistake)
def test_a_lessons_own_rule_teaches_it_and_nothing_else(lesson: Lesson) -> None:
    knowledge = knowledge_of((lesson.rule,))
    assert knowledge.learned == {lesson.mistake}
    assert not knowledge.ordered
    assert knowledge.fixed_agent is None


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.mistake)
def test_a_rule_is_one_line_that_a_playbook_keeps(lesson: Lesson) -> None:
    assert lesson.rule.isprintable()
    assert len(lesson.rule) < 300


@pytest.mark.parametrize(("note", "mistake"), NOTES)
def test_each_failure_note_is_evidence_of_one_mistake(note: str, mistake: Mistake) -> None:
    assert [lesson.mistake for lesson in LESSONS if lesson.evidence.search(note)] == [mistake]


@pytest.mark.parametrize(("text", "mistake"), REWORDED)
def test_a_reworded_rule_is_understood(text: str, mistake: Mistake) -> None:
    knowledge = knowledge_of((text,))
    assert knowledge.learned == {mistake}
    assert not knowledge.ordered


@pytest.mark.parametrize(("text", "mistake"), HARMFUL)
def test_a_harmful_rule_orders_the_mistake(text: str, mistake: Mistake) -> None:
    assert knowledge_of((text,)).ordered == {mistake}


@pytest.mark.parametrize(
    ("text", "agent"),
    [
        ("Always delegate to agent-0", "agent-0"),
        ("Send every task to `agent-3`.", "agent-3"),
        ("Always use agent-1", "agent-1"),
        ("Always delegate data_processing tasks to agent-0", None),
        ("agent-4 is good at databases", None),
    ],
)
def test_an_order_to_use_one_agent(text: str, agent: str | None) -> None:
    assert knowledge_of((text,)).fixed_agent == agent


@pytest.mark.parametrize("text", ["Be concise.", "Think step by step.", "Delegation is useful."])
def test_other_advice_changes_nothing(text: str) -> None:
    knowledge = knowledge_of((text,))
    assert not knowledge.learned | knowledge.ordered
    assert knowledge.fixed_agent is None


def test_rules_add_up() -> None:
    knowledge = knowledge_of(tuple(lesson.rule for lesson in LESSONS))
    assert knowledge.learned == {lesson.mistake for lesson in LESSONS}


def test_a_double_negative_is_a_demand() -> None:
    assert "always" in affirmative("never discover without capabilities")
