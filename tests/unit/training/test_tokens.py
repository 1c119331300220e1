from __future__ import annotations

import pytest

from agentcore.training.openenv.tokens import fits_a_header


@pytest.mark.parametrize(
    ("token", "fits"),
    [("", True), ("a.b-c~9", True), ("a\nb", False), ("\x7f", False), ("é", False)],
)
def test_only_a_line_of_ascii_fits(token: str, fits: bool) -> None:
    assert fits_a_header(token) is fits
