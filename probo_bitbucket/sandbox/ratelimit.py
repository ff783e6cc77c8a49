"""The simulated Bitbucket's budget of requests in a rolling hour."""

from __future__ import annotations

import math
from collections import defaultdict, deque

from twisted.internet.interfaces import IReactorTime

HOUR = 3600.0  # seconds
NEAR = 0.2  # the share of the budget below which it is said to be near its end


class RateLimitExceeded(Exception):
    """The budget is spent."""

    def __init__(self, retry_after: int) -> None:
        super().__init__("Rate limit for this resource has been exceeded.")
        self.retry_after = retry_after  # seconds


class RateLimit:
    """*limit* requests in any hour for each owner."""

    def __init__(self, clock: IReactorTime) -> None:
        self.limit = 1000
        self._clock = clock
        self._spent: defaultdict[str, deque[float]] = defaultdict(deque)

    def spend(self, owner: str) -> dict[str, str]:
        """Count a request and return the headers that tell of it. Raises RateLimitExceeded."""
        spent = self._spent[owner]
        now = self._clock.seconds()
        while spent and spent[0] <= now - HOUR:
            spent.popleft()
        if len(spent) >= self.limit:
            raise RateLimitExceeded(self._reset(spent, now))
        spent.append(now)
        return {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Resource": "api-repositories",
            "X-RateLimit-NearLimit": str(self.limit - len(spent) < NEAR * self.limit).lower(),
            "X-RateLimit-Reset": str(self._reset(spent, now)),
        }

    @staticmethod
    def _reset(spent: deque[float], now: float) -> int:
        """Whole seconds until the oldest request no longer counts."""
        return math.ceil(spent[0] + HOUR - now) if spent else 0
