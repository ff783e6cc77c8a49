"""A circuit breaker: an upstream that is down is left in peace for a while, then asked once."""

from __future__ import annotations

from attrs import define, field
from twisted.internet.interfaces import IReactorTime

from probo_bitbucket.errors import Spared


@define(eq=False)
class Breaker:
    """Opens after *threshold* failures in a row; lets one trial through every *pause* seconds while open.

    That there is no answer in time is a failure of the upstream where *several* wait in vain: one repository that is
    slow says nothing of the others.
    """

    clock: IReactorTime
    upstream: str
    threshold: int = 8
    several: int = 3
    pause: float = 10.0
    failures: int = field(default=0, init=False)
    next_trial: float = field(default=0.0, init=False)
    # Who had no answer in time since the last success; *several* at most.
    _waiting: set[str] = field(factory=set, init=False)

    @property
    def open(self) -> bool:
        return self.failures >= self.threshold

    def enter(self) -> None:
        """Call before a request. Raises Spared while the upstream is to be spared."""
        if not self.open:
            return
        now = self.clock.seconds()
        if now < self.next_trial:
            raise Spared(f"{self.upstream} is down; spared for a while", self.next_trial - now)
        self.next_trial = now + self.pause  # this caller is the trial; the others go on waiting

    def succeeded(self) -> None:
        self.failures = 0
        self._waiting.clear()

    def failed(self) -> None:
        self.failures += 1
        if self.open:
            self.next_trial = self.clock.seconds() + self.pause

    def unanswered(self, whose: str) -> None:
        """There was no answer in time to a request that is *whose* work."""
        if len(self._waiting) < self.several:
            self._waiting.add(whose)
        if len(self._waiting) >= self.several:
            self.failed()
