"""Turn: who of several tasks may use something now; the others wait in line."""

from __future__ import annotations

import asyncio
from collections import deque


class Turn:
    """A lock that is handed on in the order of asking, and can be asked for without waiting.

    ``asyncio.Lock`` has no such question, and costs a coroutine where nobody waits.
    """

    __slots__ = ("_line", "_taken")

    def __init__(self) -> None:
        self._taken = False
        self._line: deque[asyncio.Future[None]] = deque()

    def take(self) -> bool:
        """Take it if nobody has it; a True is followed by ``release``."""
        if self._taken:
            return False
        self._taken = True
        return True

    async def wait(self) -> None:
        """Take it once all who came before are done; on return it is followed by ``release``."""
        if self.take():
            return
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._line.append(mine)
        try:
            await mine
        except BaseException:
            # Given and cancelled in the same moment: the next one must not wait for ever.
            if not mine.cancel() and not mine.cancelled():
                self.release()
            raise

    def release(self) -> None:
        while self._line:
            following = self._line.popleft()
            if not following.done():
                # It is never free in between: who has waited comes before who asks just now.
                following.set_result(None)
                return
        self._taken = False

    async def __aenter__(self) -> None:
        await self.wait()

    async def __aexit__(self, *_: object) -> None:
        self.release()
