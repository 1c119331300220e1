"""docs/_generate.py on settings of its own: what the page says of each form of a field."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from docs import _generate
from pydantic import BaseModel, Field, SecretStr


class Upstream(BaseModel):
    name: str = Field(description="Unique name.")
    models: dict[str, str] = Field(
        default_factory=dict, description="Served name by upstream name."
    )


class Gateway(BaseModel):
    seconds: float = Field(2.5, gt=0, le=60, description="Patience.")
    mode: Literal["a", "b"] = Field("a", description="Choice.")
    key: SecretStr = Field(SecretStr("hush"), description="Secret.")
    upstreams: tuple[Upstream, ...] = Field((), description="Where to send.")


class Root(BaseModel):
    home: Path = Field(default_factory=lambda: Path("/somewhere"), description="Directory.")
    limit: int | None = Field(None, ge=1, description="Most at once.")
    gateway: Gateway = Field(default_factory=Gateway, description="The gateway.")


VARIABLES = {"home": ("APP_HOME",), "gateway.seconds": ("APP_GATEWAY__SECONDS",)}


def test_each_form_of_a_field_is_told() -> None:
    text = "\n".join(str(section) for section in _generate.sections(Root, VARIABLES))
    for row in [
        "## At the top",
        "| `home`<br>`APP_HOME` | path | the platform's data directory | Directory. |",
        "| `limit` | integer, optional, ≥ 1 | – | Most at once. |",
        "## `[gateway]`",
        "| `seconds`<br>`APP_GATEWAY__SECONDS` | number, > 0, ≤ 60 | `2.5` | Patience. |",
        "| `mode` | `a`, `b` | `a` | Choice. |",
        "| `upstreams` | list of table | – | Where to send. |",
        "## `[[gateway.upstreams]]`",
        "| `name` | text | required | Unique name. |",
        "| `models` | table of text | – | Served name by upstream name. |",
    ]:
        assert row in text.splitlines(), row


def test_a_secret_never_reaches_the_page() -> None:
    assert "hush" not in "".join(str(each) for each in _generate.sections(Root, {}))


def test_keys_are_those_a_variable_can_set() -> None:
    assert list(_generate.keys(Root)) == [
        "home",
        "limit",
        "gateway.seconds",
        "gateway.mode",
        "gateway.key",
        "gateway.upstreams",
    ]


def test_the_page_of_checks_is_up_to_date() -> None:
    assert _generate.CHECKS_PAGE.read_text(encoding="utf-8") == _generate.checks_page()
