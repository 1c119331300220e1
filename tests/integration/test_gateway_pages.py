"""docs/how-to/steer-traffic.md: what it configures is taken, what it asks is understood."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any, get_args

import pytest

from agentcore.llm_gateway.asking import LONGEST_SECONDS
from agentcore.llm_gateway.dialects.chat import CHAT
from agentcore.llm_gateway.fleet import TAKEN
from agentcore.llm_gateway.models import Reason
from agentcore.llm_gateway.policy import READERS, policy_of
from agentcore.llm_gateway.traffic import TrafficConfig
from agentcore.settings import load_settings

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "how-to" / "steer-traffic.md").read_text(encoding="utf-8")
REFERENCE = (DOCS / "reference" / "gateway.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("text", blocks("toml"))
def test_each_configuration_is_one(text: str, tmp_path: Path) -> None:
    file = tmp_path / "agentcore.toml"
    file.write_text(text)
    settings = load_settings(file, environ={})
    given: dict[str, Any] = tomllib.loads(text)["llm_gateway"]["traffic"]
    traffic = settings.llm_gateway.traffic
    assert traffic == TrafficConfig.model_validate(given)
    assert traffic.model_fields_set == given.keys()


def test_each_request_is_one() -> None:
    (text,) = blocks("json")
    body = CHAT.parse(text.encode())
    assert policy_of(body["provider"]).deny_collection
    assert policy_of(json.loads(text)["provider"]).max_completion_price == 10


def test_every_member_and_setting_is_named() -> None:
    assert [name for name in READERS if f"`{name}`" not in PAGE] == []
    named = {*TrafficConfig.model_fields} - {"ranking", "canaries", "shadows", "hedge"}
    assert [name for name in named if name not in PAGE] == []


def test_what_is_taken_on_while_it_runs_is_named() -> None:
    _, _, section = PAGE.partition("## Change it while it runs")
    assert [name for name in TAKEN if name.partition("_")[0] not in section.lower()] == []


def test_the_reference_names_every_reason() -> None:
    assert [reason for reason in get_args(Reason) if f"| `{reason}` |" not in REFERENCE] == []


def test_the_reference_names_the_longest_time_that_headers_may_ask_for() -> None:
    rows = [line for line in REFERENCE.splitlines() if f"at most {LONGEST_SECONDS:.0f}" in line]
    assert [row.split("`")[1] for row in rows] == ["x-agentcore-timeout", "x-agentcore-cache"]
