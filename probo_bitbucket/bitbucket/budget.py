"""How many requests Bitbucket still takes from one consumer this hour, and who may have them."""

from __future__ import annotations

from collections import Counter

from attrs import define, field
from twisted.internet.interfaces import IReactorTime

from probo_bitbucket.errors import BudgetSpent
from probo_bitbucket.upstream import Answer

HOUR = 60  # minutes
MINUTE = 60.0  # seconds
RESERVE = 0.2  # of the limit: kept for what cannot wait, reading configurations and reporting final states
MOST = 1_000_000  # requests an hour
PAUSE = 60.0  # seconds to be silent after a 429 that names no time


@define(eq=False)
class Budget:
    """Counts requests by the minute over a rolling hour. *elsewhere* is what other nodes spent of it.

    *limit* is what the settings allow; where Bitbucket tells of less, that counts.
    """

    clock: IReactorTime
    limit: int
    elsewhere: int = 0
    silent_until: float = 0.0
    near_until: float = 0.0
    _told: int = MOST
    _sent: Counter[int] = field(factory=Counter)

    def spend(self, *, urgent: bool) -> None:
        """Take one request. Raises BudgetSpent, with the seconds to wait, when there is none left for this purpose."""
        now = self.clock.seconds()
        if now < self.silent_until:
            raise BudgetSpent("Bitbucket's limit of requests is reached", self.silent_until - now)
        if not urgent and now < self.near_until:
            raise BudgetSpent("Bitbucket's limit of requests is near", min(PAUSE, self.near_until - now))
        if self.left(now) <= (0 if urgent else int(self.allowed * RESERVE)):
            raise BudgetSpent(f"{self.allowed} requests an hour are spent", PAUSE)
        self._sent[minute_of(now)] += 1

    @property
    def allowed(self) -> int:
        """Requests in any hour."""
        return min(self.limit, self._told)

    def left(self, now: float) -> int:
        """Requests left of the rolling hour that ends at *now*."""
        oldest = minute_of(now) - HOUR
        for minute in [minute for minute in self._sent if minute <= oldest]:
            del self._sent[minute]
        return self.allowed - self.elsewhere - self._sent.total()

    def sent_in(self, minute: int) -> int:
        """Requests sent from here in one minute since the epoch."""
        return self._sent[minute]

    def learn(self, answer: Answer) -> None:
        """Take over what Bitbucket says of the limit in an answer."""
        now = self.clock.seconds()
        self._told = int(answer.number("x-ratelimit-limit", MOST) or self._told)
        reset = answer.seconds("x-ratelimit-reset")
        if answer.status == 429:
            self.silent_until = now + (answer.retry_after() or reset or PAUSE)
        elif answer.header("x-ratelimit-nearlimit").lower() == "true":
            self.near_until = now + (reset or PAUSE)

    def heed(self, silent_until: float, near_until: float) -> None:
        """Take over what Bitbucket said to another node."""
        self.silent_until = max(self.silent_until, silent_until)
        self.near_until = max(self.near_until, near_until)


def minute_of(now: float) -> int:
    """The minute since the epoch by which what is sent *now* is counted."""
    return int(now // MINUTE)
