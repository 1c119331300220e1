"""What a runtime tells while it works: lines for somebody who waits."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str], None]
