"""Commands against a running service and its home: data, tokens, remote, client, config."""

from __future__ import annotations

import httpx2
import jwt
import pytest

from tests.fakes.deployment import Deployment, agentcore, short_home, used_home
from tests.fakes.ports import free_port

# Settings as the service has them, in a shell without the keys that they refer to.
PROVIDER = '[{"name": "api", "kind": "openai", "api_key": "env:KEY_OF_THE_SERVICE"}]'
ELSEWHERE = {"AGENTCORE_LLM_GATEWAY__PROVIDERS": PROVIDER}


def run(deployment: Deployment, *arguments: str) -> str:
    ended = agentcore(*arguments, home=deployment.home, env={"COLUMNS": "200", **ELSEWHERE})
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""
    return ended.stdout


def test_data_commands_show_the_schema_and_the_servers(deployment: Deployment) -> None:
    assert "this version needs" in run(deployment, "db", "current")
    assert "schema and code agree" in run(deployment, "db", "check")
    status = run(deployment, "db", "status")
    assert "postgres: ready, in use" in status
    assert "valkey: ready, in use" in status


def test_servers_that_are_in_use_are_not_stopped(deployment: Deployment) -> None:
    refused = agentcore("db", "stop", home=deployment.home)
    assert refused.returncode == 1
    with short_home() as elsewhere:
        assert "nothing runs" in agentcore("db", "stop", home=elsewhere).stdout


def test_tokens_say_who_and_for_how_long(deployment: Deployment) -> None:
    token = run(
        deployment, "token", "--subject", "ann", "--tenant", "acme", "--scope", "llm",
        "--scope", "a2a", "--hours", "1",
    ).strip()  # fmt: skip
    claims = jwt.decode(token, options={"verify_signature": False})
    assert (claims["sub"], claims["tenant"], claims["scope"]) == ("ann", "acme", "llm a2a")
    assert claims["exp"] - claims["iat"] == 3600


def test_a_key_is_made_listed_and_revoked(deployment: Deployment) -> None:
    made = run(deployment, "keys", "create", "--subject", "bot", "--scope", "llm").strip()
    key_id = made.split("_")[1]
    assert httpx2.get(f"{deployment.url}/v1/models", headers={"x-api-key": made}).is_success
    listed = run(deployment, "keys", "list")
    assert key_id in listed
    assert made not in listed
    run(deployment, "keys", "revoke", key_id)
    with used_home() as elsewhere:
        unknown = agentcore("keys", "revoke", "nope", home=elsewhere)
    assert unknown.returncode == 1
    assert "nope" in unknown.stderr


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (("models",), "playbook-7b"),
        (("costs",), "spent $"),
        (("agents", "discover"), "playbook-agent"),
    ],
)
def test_remote_commands_ask_the_service(
    deployment: Deployment, arguments: tuple[str, ...], shown: str
) -> None:
    assert shown in run(deployment, *arguments, "--url", deployment.url)


def test_playbook_commands_show_and_evolve(deployment: Deployment) -> None:
    with deployment.client("admin") as http:
        made = {"agent_id": "cli-agent", "initial_context": {"goals": ["be brief"]}}
        assert http.post("/internal/context/playbooks", json=made).status_code == 201
    url = ("--url", deployment.url)
    assert "be brief" in run(deployment, "ace", "show", "cli-agent", *url)
    assert "position" in run(deployment, "ace", "evolve", "cli-agent", "--force", *url)
    assert "agent_id: cli-agent" in run(deployment, "ace", "status", "cli-agent", *url)


def test_refusals_of_the_service_and_its_absence_are_one_line(deployment: Deployment) -> None:
    missing = agentcore("ace", "show", "nobody", "--url", deployment.url, home=deployment.home)
    assert missing.returncode == 1
    assert "nobody" in missing.stderr
    refused = agentcore("models", "--url", deployment.url, "--token", "none", home=deployment.home)
    assert refused.returncode == 1
    assert refused.stderr.startswith("agentcore: the token is not valid")
    away = agentcore("models", "--url", f"http://127.0.0.1:{free_port()}", home=deployment.home)
    assert away.returncode == 1
    assert "no AgentCore answers" in away.stderr
    for ended in (missing, refused, away):
        assert "Traceback" not in ended.stderr
