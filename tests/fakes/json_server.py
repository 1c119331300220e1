"""The service as a command sees it: JSON by path, and what it was asked."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


class JsonServer:
    """``asked`` has each path with its query, and what was posted to it, else None."""

    def __init__(self, url: str, asked: list[tuple[str, object]]) -> None:
        self.url = url
        self.asked = asked

    @property
    def posted(self) -> list[tuple[str, object]]:
        return [each for each in self.asked if each[1] is not None]


@contextmanager
def json_server(answers: Mapping[str, object]) -> Iterator[JsonServer]:
    """``answers`` by path, with its query or without; an empty object at any other."""
    asked: list[tuple[str, object]] = []

    class Routes(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(None)

        def do_POST(self) -> None:
            self._answer(json.loads(self.rfile.read(int(self.headers["content-length"]))))

        def do_PUT(self) -> None:
            self.do_POST()

        def do_DELETE(self) -> None:
            self.do_GET()

        def log_message(self, *args: object) -> None: ...

        def _answer(self, posted: object) -> None:
            asked.append((self.path, posted))
            usual = answers.get(self.path.partition("?")[0], {})
            body = json.dumps(answers.get(self.path, usual)).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with ThreadingHTTPServer(("127.0.0.1", 0), Routes) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield JsonServer(f"http://127.0.0.1:{server.server_port}", asked)
        finally:
            server.shutdown()
            thread.join()
