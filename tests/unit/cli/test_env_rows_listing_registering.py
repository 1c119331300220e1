from __future__ import annotations

from typing import Any

import pytest

from agentcore.cli.env.listing import row


@pytest.mark.parametrize(
    ("entry", "shown"),
    [
        ({"name": "a", "source": "bundled"}, {"source": "bundled", "mode": None, "capacity": ""}),
        (
            {"name": "a", "source": "bundled", "info": {"mode": "simulation"}},
            {"mode": "simulation", "capacity": ""},
        ),
        (
            {
                "name": "a",
                "source": "hub",
                "source_id": "ann/a",
                "mode": "production",
                "capacity": {"active": 0, "maximum": 4},
                "info": None,
            },
            {"source": "hub:ann/a", "mode": "production", "capacity": "0 of 4"},
        ),
        ({"name": "a", "source": "manual", "source_id": "a"}, {"source": "manual"}),
    ],
)
def test_a_row_is_short_and_says_what_is_known(entry: Any, shown: Any) -> None:
    found = row(entry)
    assert {key: found[key] for key in shown} == shown
