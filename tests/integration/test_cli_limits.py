"""``agentcore keys``, ``budgets``, ``rates`` and ``costs`` beside a running service."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2

from tests.fakes.deployment import Deployment, agentcore, wait_until
from tests.integration.test_cli_remote_tokens_config import run


def refused(deployment: Deployment, *arguments: str) -> str:
    ended = agentcore(*arguments, home=deployment.home)
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    return ended.stderr


def test_keys_have_limits(deployment: Deployment) -> None:
    tenant = ("--tenant", "cli-limits")
    key = run(
        deployment, "keys", "create", "--subject", "bot", "--scope", "llm", *tenant, "--model",
        "nothing-*", "--requests", "60", "--priority", "low", "--days", "2", "--budget", "12.5",
    ).strip()  # fmt: skip
    key_id = key.split("_")[1]
    models = httpx2.get(f"{deployment.url}/v1/models", headers={"x-api-key": key}).json()
    assert models["data"] == []
    listed = run(deployment, "keys", "list", *tenant)
    assert "nothing-*" in listed
    assert "at most low" in listed
    budgets = run(deployment, "budgets", "list", *tenant)
    assert f"key {key_id}" in budgets
    assert "12.5" in budgets
    run(deployment, "keys", "change", key_id, *tenant)
    assert "nothing-*" not in run(deployment, "keys", "list", *tenant)
    assert "no API key" in refused(deployment, "keys", "change", key_id)


def test_budgets_and_rates_are_set_and_shown(deployment: Deployment) -> None:
    tenant = ("--tenant", "cli-limits-2")
    budget = run(deployment, "budgets", "set", "5", "--agent", "planner", "--soft", *tenant).strip()
    again = run(
        deployment, "budgets", "set", "7.25", "--agent", "planner", "--alert", "0", *tenant
    ).strip()
    assert again == budget
    listed = run(deployment, "budgets", "list", *tenant)
    assert "agent planner" in listed
    assert "7.25" in listed
    assert "(soft)" not in listed
    assert run(deployment, "rates", "set", "--tokens", "9", *tenant) == "9 tokens a minute\n"
    assert run(deployment, "rates", "show", *tenant) == "9 tokens a minute\n"
    assert run(deployment, "rates", "set", *tenant) == "no limit\n"
    run(deployment, "budgets", "delete", budget, *tenant)
    assert "there is no budget" in refused(deployment, "budgets", "delete", budget, *tenant)
    assert "is no amount" in refused(deployment, "budgets", "set", "much")
    assert "period" in refused(deployment, "budgets", "set", "5", "--period", "week")
    wrong = refused(deployment, "budgets", "set", "5", "--key", "k", "--agent", "a")
    assert "give --key or --agent" in wrong


def test_costs_are_shown_by_everything_and_appraised(
    deployment: Deployment, tmp_path: Path
) -> None:
    token = run(deployment, "token", "--subject", "ann", "--scope", "llm").strip()
    ask = {"model": "playbook-7b", "messages": [{"role": "user", "content": "Hello"}]}
    headers = {"authorization": f"Bearer {token}", "x-agentcore-agent": "cost-teller"}
    answer = httpx2.post(f"{deployment.url}/v1/chat/completions", json=ask, headers=headers)
    assert answer.is_success
    url = ("--url", deployment.url)
    with deployment.client("metrics") as http:
        wait_until(
            lambda: "cost-teller" in http.get("/internal/costs/by/agent").text,
            "the ledger has the call",
        )
    assert "cost-teller" in run(deployment, "costs", "--by", "agent", *url)
    assert "playbook-7b" in run(deployment, "costs", "--by", "model", *url)
    assert "cluster" in run(deployment, "costs", "--by", "provider", *url)
    today = datetime.now(UTC).date()
    shown = run(deployment, "costs", "--by", "day", *url)
    assert str(today) in shown or str(today - timedelta(days=1)) in shown
    picture = tmp_path / "roi.png"
    told = run(
        deployment, "costs", "--roi", "--gpus", "1", "--gpu-price", "10", "--hosting", "0",
        "--plot", str(picture), *url,
    )  # fmt: skip
    assert "break-even of $10.00 upfront: after" in told
    assert picture.read_bytes().startswith(b"\x89PNG")
