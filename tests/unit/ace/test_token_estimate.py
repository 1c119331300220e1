from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcore.ace.token_estimate import estimated_tokens

# What OpenAI's cl100k takes, measured.
REAL = [
    ("- [b12] When a refund is asked for, check the order number and say what is missing.\n", 22),
    (
        "- [b7] Order 0193f2c4-1b1e-7a52-8d3c-5f0e9ab1c2d4 failed at 2026-11-22T03:22:56.417450Z\n",
        59,
    ),
    ('{"success":false,"seconds":1.25,"error":"HTTP 404","metadata":{"tool":"search"}}', 23),
    ("GET /v1/agents/8f14e45fceea167a5a36dedd4bea2543?page=3&limit=200 502 0.0123", 40),
    ("def get_playbook(self, agent_id: str) -> ContextPlaybook | None: return None", 20),
    ("Prüfen Sie zuerst die Bestellnummer, bevor Sie eine Rückerstattung veranlassen.", 24),
    ("Vérifiez d'abord le numéro de commande avant de procéder au remboursement.", 23),
    ("\u043f\u0440\u043e\u0432\u0435\u0440\u044c\u0442\u0435 \u043d\u043e\u043c\u0435\u0440", 5),
    ("在处理退款之前请先检查订单号码并报告缺少的内容", 21),
    ("返金を処理する前に注文番号を確認してください", 21),
    ("환불을 처리하기 전에 주문 번호를 확인하십시오.", 20),
    ("धनवापसी से पहले ऑर्डर नंबर जांचें", 35),
    ("Done ✅ 🙂🚀", 7),
    ("4111 0012 998877 0.00017 1e-9 12,345,678.90", 26),
]


@pytest.mark.parametrize(("text", "tokens"), REAL)
def test_a_budget_that_is_kept_by_the_estimate_is_kept(text: str, tokens: int) -> None:
    assert 0.95 * tokens <= estimated_tokens(text) <= 1.6 * tokens


def test_nothing_takes_nothing() -> None:
    assert estimated_tokens("") == 0


@given(st.lists(st.text(st.characters(exclude_characters="\n"), max_size=40), max_size=5))
def test_lines_may_be_counted_one_by_one(lines: list[str]) -> None:
    """In one text all words count as foreign if some letters are, so the sum is the lesser one."""
    page = "".join(f"- {line}\n" for line in lines)
    apart = sum(estimated_tokens(f"- {line}\n") for line in lines)
    assert apart <= estimated_tokens(page)
    assert apart == estimated_tokens(page) or not page.isascii()
