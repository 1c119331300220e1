"""Valkey 9 of one home: a cache on a unix socket that forgets on stop and never fills the disk."""

from __future__ import annotations

import os
import signal
import socket
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

from agentcore.kit.embedded import processes
from agentcore.kit.embedded.binaries import valkey_binary
from agentcore.kit.embedded.layout import Home, is_private
from agentcore.kit.embedded.unit import Launch, Probe, Reason, StopSteps

_ANSWER_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Valkey:
    home: Home
    max_memory_mb: int = 64
    name: ClassVar[str] = "valkey"
    stop_steps: ClassVar[StopSteps] = ((signal.SIGTERM, 5), (signal.SIGKILL, 5))

    @property
    def url(self) -> str:
        return f"unix://{quote(str(self.socket), safe='/')}"

    @property
    def socket(self) -> Path:
        return self.home.socket_folder(os.geteuid()) / "valkey.sock"

    def probe(self) -> Probe:
        if not is_private(self.socket.parent, os.geteuid()):
            return "silent"
        try:
            with closing(socket.socket(socket.AF_UNIX)) as wire:
                wire.settimeout(_ANSWER_SECONDS)
                wire.connect(str(self.socket))
                wire.sendall(b"PING\r\n")
                return "ready" if wire.recv(64).startswith(b"+PONG") else "busy"
        except OSError:
            return "silent"

    def noted_pid(self) -> int | None:
        return processes.listener(self.socket)

    def is_process(self, pid: int) -> bool:
        return processes.runs(pid, "--unixsocket", str(self.socket))

    def prepare(self) -> Launch:
        folder = self.socket.parent
        self.home.make_private(folder, os.geteuid())
        self.socket.unlink(missing_ok=True)
        options = {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "dir": str(folder),
            "save": "",
            "appendonly": "no",
            "maxmemory": f"{self.max_memory_mb}mb",
            "maxmemory-policy": "allkeys-lru",
            "set-proc-title": "no",
            "daemonize": "no",
            "logfile": "",
        }
        command = [str(valkey_binary())]
        for name, value in options.items():
            command += [f"--{name}", value]
        return Launch(command=tuple(command))

    def reason(self, said: str) -> Reason:
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        return Reason(lines[-1] if lines else "it said nothing", known=False)
