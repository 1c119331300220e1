"""The pages about serving name what is there."""

from __future__ import annotations

import re
from pathlib import Path

from agentcore.training.openenv.environments.examples.guess_number import GuessNumber
from agentcore.training.openenv.models import EnvironmentServerConfig
from agentcore.training.openenv.server import EnvironmentServer
from agentcore.training.openenv.serving.sockets import FRAMES

DOCS = Path(__file__).parent.parent.parent / "docs"
REFERENCE = (DOCS / "reference" / "environment-server.md").read_text(encoding="utf-8")
HOW_TO = (DOCS / "how-to" / "serve-an-environment.md").read_text(encoding="utf-8")


def test_the_reference_names_every_route() -> None:
    server = EnvironmentServer("guess_number", GuessNumber)
    named = set(re.findall(r"`(?:GET |POST |WS )?(/[^`?]*)", REFERENCE))
    assert [path for path in server.paths if path not in named] == []


def test_the_reference_names_every_frame() -> None:
    assert [kind for kind in FRAMES if f'{{"type":"{kind}"' not in REFERENCE] == []


def test_the_how_to_names_every_limit() -> None:
    fields = set(EnvironmentServerConfig.model_fields) - {"token", "agent_token"}
    assert [name for name in fields if f"`{name}`" not in HOW_TO] == []
