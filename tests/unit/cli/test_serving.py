from __future__ import annotations

import subprocess
import sys

# Large buffers come and go between small ones that stay.
PROGRAM = """
import sys
from pathlib import Path
from agentcore.cli.serving import return_large_memory

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 // 2**20

if sys.argv[1:]:
    return_large_memory()
# The C library takes the size of what is freed first as what is usual.
bytearray(3_000_000)
content = b"x" * 1_200_000
before = resident()
small, large = [], []
for _ in range(34):
    large.append(bytearray(content))
    small.append(bytearray(content[:60_000]))
del large
print(resident() - before)
"""


def kept(*arguments: str) -> int:
    """MiB of 40 that were freed."""
    command = [sys.executable, "-c", PROGRAM, *arguments]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def test_large_buffers_are_given_back() -> None:
    assert kept("return") < 15
    assert kept() > 25
