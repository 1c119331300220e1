from __future__ import annotations

from agentcore.ace.trial_mark import TRIAL, TrialMark
from tests.fakes.playbooks import NOW, made_playbook


def test_a_mark_is_kept_with_the_playbook() -> None:
    mark = TrialMark(requested_at=NOW, experiment="e1")
    assert TrialMark.of(made_playbook(metadata={TRIAL: mark.as_json()})) == mark
    assert TrialMark.of(made_playbook(metadata={TRIAL: None})) is None
    assert TrialMark.of(made_playbook()) is None
