from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from agentcore.kit.errors import StartupError
from agentcore.settings import (
    foreign_tokens,
    installation_name,
    load_container_settings,
    load_settings,
)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without an ``agentcore.toml`` of somebody's own."""
    monkeypatch.chdir(tmp_path)


def test_the_environment_is_over_the_file_and_overrides_are_over_both(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('[server]\nport = 1\nhost = "127.0.0.1"\nlog_level = "error"\n')
    environ = {"AGENTCORE_SERVER__PORT": "2", "AGENTCORE_SERVER__LOG_LEVEL": "debug"}
    found = load_settings(file, environ=environ, overrides={"server.port": 3})
    assert (found.server.port, found.server.log_level) == (3, "debug")


def test_the_file_is_found_by_its_name_and_by_its_variable(tmp_path: Path) -> None:
    (tmp_path / "agentcore.toml").write_text("[server]\nport = 5\n")
    (tmp_path / "other.toml").write_text("[server]\nport = 6\n")
    assert load_settings(environ={}).server.port == 5
    assert load_settings(environ={"AGENTCORE_CONFIG": "other.toml"}).server.port == 6


def test_the_designs_and_the_seeds_names_reach_their_settings() -> None:
    found = load_settings(
        environ={
            "AGENTCORE_HOME": "/somewhere",
            "AGENTCORE_DATABASE_URL": "postgresql://host/db",
            "AGENTCORE_REDIS_URL": "redis://host",
            "ACE_MONTHLY_BUDGET_USD": "12.5",
            "ACE_LLM_MODEL": "m",
        }
    )
    assert str(found.home) == "/somewhere"
    assert (found.database.url, found.cache.url) == ("postgresql://host/db", "redis://host")
    assert float(found.ace.ace_monthly_budget_usd) == 12.5
    assert found.ace.ace_llm_model == "m"


def test_secrets_are_taken_from_where_they_are_said_to_be(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("from-the-file\n")
    provider = '[{"name": "a", "kind": "openai", "api_key": "%s"}]'
    for reference, value in [
        ("env:KEY", "from-the-env"),
        (f"file:{tmp_path}/key", "from-the-file"),
    ]:
        found = load_settings(
            environ={
                "KEY": "from-the-env",
                "AGENTCORE_LLM_GATEWAY__PROVIDERS": provider % reference,
            }
        )
        key = found.llm_gateway.providers[0].api_key
        assert key is not None
        assert key.get_secret_value() == value
        assert value not in repr(found)


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"AGENTCORE_SERVER__PROT": "1"}, r"unknown setting server\.prot"),
        ({"AGENTCORE_NONSENSE": "1"}, "unknown setting nonsense"),
        ({"AGENTCORE_SERVER__PORT": "x"}, r"server\.port .*given 'x'"),
        ({"AGENTCORE_SERVER__PORT": "99999"}, r"server\.port"),
        ({"AGENTCORE_SERVER": "x", "AGENTCORE_SERVER__PORT": "1"}, "whole and in parts"),
        ({"AGENTCORE_SECURITY__JWT_SECRET": "env:NOWHERE"}, "'env:NOWHERE'"),
        ({"AGENTCORE_SECURITY__JWT_SECRET": "file:/nowhere"}, "cannot be read"),
        ({"AGENTCORE_CONFIG": "/nowhere.toml"}, "/nowhere.toml cannot be read"),
        ({"AGENTCORE_LLM_GATEWAY__PROVIDERS": "[{]"}, "providers"),
        ({"AGENTCORE_SERVER__HOST": "0.0.0.0"}, "needs a secret of your own"),
        (
            {"AGENTCORE_SERVER__HOST": "0.0.0.0", "AGENTCORE_SECURITY__AUTH": "false"},
            "authentication is off",
        ),
    ],
)
def test_a_bad_setting_is_named_in_one_line(environ: dict[str, str], message: str) -> None:
    with pytest.raises(StartupError, match=message) as caught:
        load_settings(environ=environ)
    assert "\n" not in caught.value.detail


def test_a_file_that_is_not_toml_is_named(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("server = {")
    with pytest.raises(StartupError, match="is not TOML"):
        load_settings(file, environ={})


def test_a_secret_is_never_quoted() -> None:
    bad = '[{"name": "a", "kind": "openai", "api_key": {"deep": "sk-very-secret"}}]'
    with pytest.raises(StartupError) as caught:
        load_settings(environ={"AGENTCORE_LLM_GATEWAY__PROVIDERS": bad})
    assert "sk-very-secret" not in caught.value.detail


def test_a_foreign_address_is_fine_with_an_own_secret() -> None:
    environ = {"AGENTCORE_SERVER__HOST": "0.0.0.0", "AGENTCORE_SECURITY__JWT_SECRET": "x" * 40}
    assert not load_settings(environ=environ).loopback


def test_variables_of_the_command_line_are_no_settings() -> None:
    others = {"AGENTCORE_TOKEN": "t", "AGENTCORE_DEV_DOWNLOAD_PYTHON": "1"}
    assert load_settings(environ=others) == load_settings(environ={})
    with pytest.raises(StartupError, match="unknown setting tokens"):
        load_settings(environ={"AGENTCORE_TOKENS": "t"})


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8001"),
        ("localhost", "http://localhost:8001"),
        ("::1", "http://[::1]:8001"),
        ("0.0.0.0", "http://127.0.0.1:8001"),
        ("::", "http://[::1]:8001"),
        ("10.0.0.5", "http://10.0.0.5:8001"),
    ],
)
def test_the_own_url_is_one_that_this_machine_can_call(host: str, url: str) -> None:
    environ = {"AGENTCORE_SERVER__HOST": host, "AGENTCORE_SECURITY__JWT_SECRET": "x" * 40}
    assert load_settings(environ=environ).server.own_url == url


def test_containers_listen_to_openenvs_variables_below_our_own() -> None:
    environ = {
        "OPENENV_MODE": "Production",
        "OPENENV_MAX_EPISODES": "1000",
        "OPENENV_MAX_STEPS_PER_EPISODE": "100",
        "LOG_LEVEL": "WARNING",
        "AGENTCORE_TRAINING__SERVER__MAX_EPISODE_STEPS": "50",
    }
    found = load_container_settings(environ=environ)
    server = found.training.server
    assert (server.mode, server.max_episodes, server.max_episode_steps) == ("production", 1000, 50)
    assert found.server.log_level == "warning"
    unmoved = load_settings(environ=environ)
    assert (unmoved.training.server.mode, unmoved.server.log_level) == ("simulation", "info")


def test_a_token_of_its_own_lets_a_container_listen_everywhere() -> None:
    everywhere = {"server.host": "0.0.0.0"}
    with pytest.raises(StartupError, match="needs a secret of your own"):
        load_container_settings(environ={}, overrides=everywhere)
    given = {**everywhere, "training.server.token": "t"}
    assert load_container_settings(environ={}, overrides=given).server.host == "0.0.0.0"
    with pytest.raises(StartupError, match="authentication is off"):
        load_container_settings(environ={}, overrides={**given, "security.auth": False})


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"AGENTCORE_SECURITY__JWKS": "http://login.example/keys"}, "security.jwks cannot be"),
        ({"AGENTCORE_SECURITY__JWKS": "/nowhere/keys.json"}, "/nowhere/keys.json cannot be read"),
        ({"AGENTCORE_SECURITY__JWT_ISSUER": "https://login.example"}, "without security.jwks"),
        ({"AGENTCORE_SECURITY__JWT_AUDIENCE": "our-api"}, "without security.jwks"),
    ],
)
def test_an_identity_provider_that_cannot_be_is_named(
    environ: dict[str, str], message: str
) -> None:
    with pytest.raises(StartupError, match=message) as caught:
        foreign_tokens(load_settings(environ=environ))
    assert "\n" not in caught.value.detail


def test_an_identity_provider_that_is_away_stops_no_start() -> None:
    environ = {"AGENTCORE_SECURITY__JWKS": "https://127.0.0.1:1/keys.json"}
    assert foreign_tokens(load_settings(environ=environ)) is not None
    assert foreign_tokens(load_settings(environ={})) is None


def test_an_installation_has_one_name_for_all_its_replicas() -> None:
    secrets = ["a" * 40, "a" * 40, "b" * 40]
    given = [{"AGENTCORE_SECURITY__JWT_SECRET": secret} for secret in secrets]
    one, same, other = [installation_name(load_settings(environ=each)) for each in given]
    assert one == same != other
    assert "a" * 8 not in one


def test_the_seeds_name_for_portkeys_key() -> None:
    key = {"PORTKEY_API_KEY": "pk"}
    (alone,) = load_settings(environ=key).llm_gateway.providers
    assert (alone.kind, alone.url) == ("portkey", "https://api.portkey.ai/v1")
    assert alone.api_key == SecretStr("pk")
    given = '[{"name": "a", "kind": "openai"}, {"name": "b", "kind": "portkey"}, {"name": "c", '
    given += '"kind": "portkey", "api_key": "own"}]'
    beside = load_settings(environ={**key, "AGENTCORE_LLM_GATEWAY__PROVIDERS": given})
    keys = [each.api_key for each in beside.llm_gateway.providers]
    assert keys == [None, SecretStr("pk"), SecretStr("own")]
    assert load_settings(environ={}).llm_gateway.providers == ()
