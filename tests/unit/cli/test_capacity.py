from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from agentcore.cli.main import run

REPORT = {
    "provider": "cluster",
    "health": "ready",
    "limit": 8,
    "in_flight": 3,
    "queued": 0,
    "start_tokens": None,
    "source": "reported",
    "models": ["Qwen/Qwen3-8B"],
}
SWITCHED = {"cluster": "cluster", "model": "new", "before": "old", "seconds": 48.2}
ORDERS: list[tuple[str, object]] = []


class CapacityRoutes(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self._answer([REPORT] if self.path == "/internal/capacity" else [])

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        ORDERS.append((self.path, json.loads(body)))
        self._answer(SWITCHED)

    def log_message(self, *args: object) -> None: ...

    def _answer(self, document: object) -> None:
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), CapacityRoutes) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_capacity_is_shown(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["capacity", "show", "--url", url, "--token", "t"]) == 0
    shown = capsys.readouterr().out
    assert "cluster" in shown
    assert "reported" in shown


def test_a_cluster_is_given_another_model(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["capacity", "preload", "a cluster", "new", "--url", url, "--token", "t"]) == 0
    assert "cluster serves new (before: old, 48.2 s without service)" in capsys.readouterr().out
    assert ORDERS == [("/internal/capacity/a%20cluster/model", {"model": "new"})]
