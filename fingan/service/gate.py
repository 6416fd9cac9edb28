"""A gate of so many places before two queues.

One queue is for answers that begin, the other for those that go on. In a single queue an answer under
way would stand behind all who have just come, for each of its calls anew, and more and more would be
under way; always served first, long downloads would let nobody else begin. So those that go on come
first, but not more than a few in a row.
"""

from __future__ import annotations

import asyncio
from collections import deque

BEGIN, GO_ON = 0, 1
IN_A_ROW = 4
"""Of those that go on, before one that begins."""


class Gate:
    """Lets so many pass at a time; belongs to one event loop.

    Args:
        places: how many.
    """

    def __init__(self, places: int) -> None:
        self._free = places
        self._queues: tuple[deque[asyncio.Future[None]], ...] = (deque(), deque())
        self._row = 0

    @property
    def is_full(self) -> bool:
        """Whether who comes now has to wait."""
        return self._free == 0

    @property
    def waiting(self) -> int:
        """How many wait, in both queues."""
        return sum(not place.done() for queue in self._queues for place in queue)

    async def enter(self, queue: int) -> None:
        """Wait for a place.

        Args:
            queue: `BEGIN` or `GO_ON`.
        """
        if self._free:
            self._free -= 1
            return
        place = asyncio.get_running_loop().create_future()
        self._queues[queue].append(place)
        try:
            await place
        except asyncio.CancelledError:
            # A place that came at the same moment goes to the next.
            if place.done() and not place.cancelled():
                self.leave()
            raise

    def leave(self) -> None:
        """Give a place to whoever waits."""
        for queue in (BEGIN, GO_ON) if self._row >= IN_A_ROW else (GO_ON, BEGIN):
            while self._queues[queue]:
                place = self._queues[queue].popleft()
                if not place.done():
                    self._row = self._row + 1 if queue == GO_ON else 0
                    place.set_result(None)
                    return
        self._free += 1
