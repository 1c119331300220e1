"""The least that one more process on the way costs: bytes go through and nobody looks at them.

``python -m benchmarks.relay PORT UPSTREAM_PORT``; what is above its latency is a gateway's own.
"""

from __future__ import annotations

import selectors
import socket
import sys

PIECE = 65_536


def relay(port: int, upstream: int) -> None:
    """Serve for ever."""
    ready = selectors.DefaultSelector()
    with socket.create_server(("127.0.0.1", port)) as listener:
        ready.register(listener, selectors.EVENT_READ)
        while True:
            for key, _ in ready.select():
                if key.data is None:
                    _join(ready, listener.accept()[0], upstream)
                else:
                    _pass_on(ready, *key.data)


def _join(ready: selectors.BaseSelector, caller: socket.socket, upstream: int) -> None:
    asked = socket.create_connection(("127.0.0.1", upstream))
    for one, other in ((caller, asked), (asked, caller)):
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        ready.register(one, selectors.EVENT_READ, (one, other))


def _pass_on(ready: selectors.BaseSelector, one: socket.socket, other: socket.socket) -> None:
    piece = one.recv(PIECE)
    if piece:
        other.sendall(piece)
        return
    for end in (one, other):
        ready.unregister(end)
        end.close()


if __name__ == "__main__":
    relay(int(sys.argv[1]), int(sys.argv[2]))
