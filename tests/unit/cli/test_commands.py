from __future__ import annotations

from agentcore.cli import commands, starting


def test_to_serve_is_the_same_among_all_commands_and_alone() -> None:
    (alone,) = starting.app.registered_commands
    assert alone.callback in {each.callback for each in commands.app.registered_commands}
