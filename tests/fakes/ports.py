"""Ports for servers that are told theirs, and ports that nobody answers at."""

from __future__ import annotations

import socket
import sys


def free_port() -> int:
    """Kept for whoever names it as long as this process lives; nobody gets it by chance.

    Other tests take free ports all the time, one of them perhaps before this one is listened at.
    """
    keeper = socket.socket()
    # A second socket that says so, too, may be bound and listen beside one that does not listen.
    keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    keeper.bind(("127.0.0.1", 0))
    port: int = keeper.getsockname()[1]
    if sys.platform == "linux":
        keeper.detach()  # and so never closed
    else:
        keeper.close()
    return port
