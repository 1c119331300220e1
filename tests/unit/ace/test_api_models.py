from __future__ import annotations

from agentcore.ace.api_models import DeltaRequest, PlaybookDifference
from agentcore.ace.difference import difference
from agentcore.ace.ops import Add, Move, apply


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
