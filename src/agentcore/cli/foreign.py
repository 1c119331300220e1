"""What somebody else wrote, fit for a terminal."""

from __future__ import annotations

LONGEST = 1000


def shown(text: str, most: int = LONGEST) -> str:
    """``text`` up to ``most`` characters; what could steer a terminal is escaped, not sent."""
    cut = text if len(text) <= most else f"{text[:most]}…"
    return "".join(
        char if char.isprintable() or char == "\n" else char.encode("unicode_escape").decode()
        for char in cut
    )
