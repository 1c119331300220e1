from __future__ import annotations

from agentcore.ace.api_models import DeltaRequest, PlaybookDifference, PlaybookRead
from agentcore.ace.difference import difference
from agentcore.ace.ops import Add, Move, apply
from tests.fakes.playbooks import NOW, made_playbook


def test_a_difference_shows_both_sides_of_what_moved() -> None:
    before = apply({"name": "x"}, [Add(section="a", text="Rule.")], version=2).content
    after = apply(before, [Move(id="b1", section="b")], version=3).content
    shown = PlaybookDifference.of("agent-123", 2, 3, difference(before, after))
    assert shown.owner == []
    [change] = shown.bullets
    assert change.before is not None
    assert change.after is not None
    assert (change.change, change.before.section, change.after.section) == ("moved", "a", "b")


def test_the_specification_s_delta_needs_no_reasoning() -> None:
    sent = DeltaRequest(delta_id="delta-789", changes={"goals": ["a"]}, confidence=0.85)
    assert (sent.reasoning, sent.expected_version) == ("not given", None)


def test_what_is_written_at_once_is_what_the_model_would_have_written() -> None:
    playbook = made_playbook({"ü": [1]}, version=3)
    read = PlaybookRead.model_validate_json(PlaybookRead.written(playbook))
    assert (read.playbook_id, read.agent_id, read.version) == ("p", "a", 3)
    assert (read.content, read.last_updated) == ({"ü": [1]}, NOW)
