from __future__ import annotations

import pytest

from agentcore.cli.main import run


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--fault", "nonsense"], "kind"),
        (["--fault", "stall,rate"], "--fault"),
        (["--capacity", "0"], "capacity"),
        (["--model", "gpt-5"], "model"),
        (["--role", "king"], "role"),
    ],
)
def test_a_wrong_option_is_named(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["simulate", "cluster", "--port", "0", *options]) == 2
    told = capsys.readouterr().err
    assert message in told
    assert "hint:" in told
