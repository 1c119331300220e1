"""What the scripted model can get wrong, and the rule that stops it: one table.

Each lesson names the mistake it switches off, the failure notes in traces that give it away, the
rule that the model writes when it reflects, and how such a rule is recognised in a playbook: every
pattern of ``says`` must occur in one bullet, in any wording and order, and ``unless`` must not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

Mistake = Literal[
    "bare_discovery",
    "incapable_agent",
    "incomplete_delegation",
    "loose_message",
    "ignored_request",
    "stale_task",
    "invented_agent",
    "unknown_action",
    "unreliable_agent",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """``rate`` is the share of occasions on which the model makes the mistake unruled."""

    mistake: Mistake
    rate: float
    evidence: re.Pattern[str]
    rule: str
    says: tuple[re.Pattern[str], ...]
    unless: re.Pattern[str]

    def taught_by(self, bullet: str) -> bool:
        text = affirmative(bullet)
        return all(p.search(text) for p in self.says) and not self.unless.search(text)


def _lesson(
    mistake: Mistake, rate: float, *, evidence: str, rule: str, says: tuple[str, ...], unless: str
) -> Lesson:
    return Lesson(
        mistake=mistake,
        rate=rate,
        evidence=re.compile(evidence, re.IGNORECASE),
        rule=rule,
        says=tuple(re.compile(pattern, re.IGNORECASE) for pattern in says),
        unless=re.compile(unless, re.IGNORECASE),
    )


_NOT = r"\b(?:never|do not|don't|must not|should not|shouldn't|cannot|avoid)\b"
_LACKING = (
    r"\b(?:without|omit\w*|skip\w*|lack\w*|missing|forget\w*|ignor\w*|leav\w+ out|drop\w*"
    r"|fail to)\b"
)
_DOUBLE_NEGATIVE = re.compile(rf"{_NOT}([^.;:]{{0,80}}?){_LACKING}", re.IGNORECASE)


def affirmative(text: str) -> str:
    """``text`` with its double negatives undone: "never X without Y" demands Y."""
    return _DOUBLE_NEGATIVE.sub(r" always \1 with ", text)


LESSONS: tuple[Lesson, ...] = (
    _lesson(
        "bare_discovery",
        0.9,
        evidence=r"missing '?capabilit(?:y|ies)'?",
        rule=(
            "Discover agents by capability: discover_agents must always carry `capabilities`, a "
            "non-empty list made of the types of the pending tasks."
        ),
        says=(r"discover", r"capabilit", r"always|must|need|include|send|pass|list|name|provide"),
        unless=rf"(?:{_NOT}|{_LACKING}|no need)[^.;]{{0,40}}capabilit|delegat",
    ),
    _lesson(
        "incapable_agent",
        0.7,
        evidence=r"(?:agent )?cannot handle (?:the |this )?task|lacks the capabilit",
        rule=(
            "Delegate a task only to an agent whose capabilities contain the type of that task; "
            "the first agent of the list is often the wrong one."
        ),
        says=(
            r"delegat|assign|hand\b|target|choose|pick|select|route",
            r"agent",
            r"capab|skill|qualified|able to|can handle",
            r"match|contain|includ|cover|fit|whose|suit|capable|able to|can handle|support|with",
        ),
        unless=r"regardless|irrespective|no matter|whatever|any agent|ignor\w*[^.;]{0,20}capab",
    ),
    _lesson(
        "incomplete_delegation",
        0.25,
        evidence=r"missing required fields?",
        rule=(
            "Fill every parameter of delegate_task: task_id, target_agent and message are all "
            "required."
        ),
        says=(
            r"delegat",
            r"task[_ ]?id|required (?:field|parameter)s?|every (?:field|parameter)",
            r"message|required (?:field|parameter)s?|every (?:field|parameter)",
            r"all\b|always|must|every|need|require|complete|include|fill",
        ),
        unless=rf"(?:{_NOT}|{_LACKING})[^.;]{{0,60}}(?:message|task[_ ]?id|target|parameter|field)",
    ),
    _lesson(
        "loose_message",
        0.6,
        evidence=r"not an? (?:valid )?A2A message|invalid A2A message|malformed A2A message",
        rule=(
            "The message of a delegation is an A2A message: an object with `role`, a unique "
            "`messageId` and a non-empty `parts` list that holds the request as text."
        ),
        says=(r"message", r"\bparts?\b|a2a message", r"\brole\b|message[_ ]?id|a2a|parts"),
        unless=(
            rf"(?:{_NOT}|{_LACKING})[^.;]{{0,40}}(?:parts|role|message_?id)"
            r"|plain text|free text"
        ),
    ),
    _lesson(
        "ignored_request",
        0.8,
        evidence=r"requests? (?:was |were )?(?:left )?unanswered|unanswered (?:task )?request",
        rule=(
            "Answer first: whenever message_queue holds a task request, send respond_to_task with "
            "its task_id, a result and a status before doing anything else."
        ),
        says=(r"respon[ds]|answer|repl(?:y|ies)", r"request|inbound|incoming|message_?queue"),
        unless=(
            r"\b(?:ignore|skip)\b[^.;]{0,40}(?:request|queue|message)"
            rf"|{_NOT}\s+(?:\w+\s+)?(?:answer|respond|reply)"
        ),
    ),
    _lesson(
        "stale_task",
        0.2,
        evidence=r"task not found|unknown task|task (?:is )?already (?:completed|finished)",
        rule=(
            "Work only on tasks that still stand in pending_tasks; a finished or unknown task_id "
            "must never be sent again."
        ),
        says=(
            r"\btasks?\b",
            r"pending|finished|completed|unknown task|already done",
            r"\bonly\b|never|not\b|still|again|repeat|exist",
            r"work|delegat|send|sent|pick|choose|take|repeat|use",
        ),
        unless=r"retry (?:finished|completed)|repeat (?:every|all|each)|capabilit",
    ),
    _lesson(
        "invented_agent",
        0.12,
        evidence=r"target agent not found|unknown (?:target )?agent|no such agent",
        rule=(
            "Copy target_agent exactly from an id in available_agents; never invent an agent id."
        ),
        says=(
            r"agent",
            r"invent|made[- ]up|guess|exact|copy|exist|known",
            r"\bids?\b|identifier|name|target_agent|available_agents",
        ),
        unless=r"(?:^|[.;,] |may |should |must |can )(?:invent|guess|make up) (?:a|an|the|new)\b",
    ),
    _lesson(
        "unknown_action",
        0.08,
        evidence=r"unknown action",
        rule=(
            "There are three actions and no others: discover_agents, delegate_task and "
            "respond_to_task."
        ),
        says=(r"action|type", r"discover", r"delegat", r"respond"),
        unless=r"any other action is fine|free to invent",
    ),
    _lesson(
        "unreliable_agent",
        0.9,
        evidence=r"task execution failed|task failed|execution of the task failed",
        rule=(
            "Where several agents can do a task, prefer the one with the highest success_rate: "
            "a failed execution costs a point."
        ),
        says=(
            r"agent",
            r"success[_ ]?rate|reliab|track record",
            r"high|best|prefer|most|greatest|maxim|top",
        ),
        unless=r"lowest|least reliable|worst|ignor\w*[^.;]{0,20}(?:success|reliab)",
    ),
)

BY_MISTAKE: dict[Mistake, Lesson] = {lesson.mistake: lesson for lesson in LESSONS}

# Rules that do harm are obeyed like all others, and before them.
_GIVE = r"(?:delegate|send|assign|route|give)"
_EVERY = r"(?:everything|(?:every|all|each|any)(?: \w+)? tasks?)"
_FIXED_AGENT = re.compile(
    rf"\b(?:always {_GIVE}(?: (?:it|them|work|tasks?|{_EVERY}))? to|{_GIVE} {_EVERY} to"
    r"|(?:always|only) (?:use|choose|pick|ask))\s+[`'\"]?(?P<agent>agent-[\w-]+)",
    re.IGNORECASE,
)
_REFUSE = rf"(?:ignore|skip|{_NOT} (?:answer|respond to|reply to))"
_HARMFUL: tuple[tuple[Mistake, str], ...] = (
    ("bare_discovery", rf"discover[^.;]{{0,60}}(?:{_LACKING}|no\b)[^.;]{{0,20}}capabilit"),
    ("incapable_agent", r"regardless of (?:\w+ ){0,2}capabilit|first agent (?:will do|suffices)"),
    ("ignored_request", rf"{_REFUSE}[^.;]{{0,30}}requests?"),
    ("loose_message", r"message[^.;]{0,40}(?:plain text|free text|a plain string)"),
    ("unreliable_agent", r"(?:lowest|worst) success[_ ]?rate"),
)
_ORDERS = tuple((mistake, re.compile(text, re.IGNORECASE)) for mistake, text in _HARMFUL)


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What a playbook's rules make of the model: lessons learned, mistakes ordered."""

    learned: frozenset[Mistake]
    ordered: frozenset[Mistake]
    fixed_agent: str | None = None


@lru_cache(maxsize=4096)
def _reading(bullet: str) -> tuple[frozenset[Mistake], frozenset[Mistake], str | None]:
    learned = frozenset(lesson.mistake for lesson in LESSONS if lesson.taught_by(bullet))
    text = affirmative(bullet)
    ordered = frozenset(mistake for mistake, pattern in _ORDERS if pattern.search(text))
    fixed = _FIXED_AGENT.search(text)
    return learned, ordered, fixed["agent"] if fixed else None


@lru_cache(maxsize=512)
def knowledge_of(rules: tuple[str, ...]) -> Knowledge:
    learned: set[Mistake] = set()
    ordered: set[Mistake] = set()
    fixed_agent: str | None = None
    for bullet in rules:
        taught, demanded, agent = _reading(bullet)
        learned |= taught
        ordered |= demanded
        fixed_agent = agent or fixed_agent
    return Knowledge(frozenset(learned), frozenset(ordered), fixed_agent)
