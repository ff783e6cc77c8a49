"""A circuit breaker: an upstream that is down is left in peace for a while, then asked once."""

from __future__ import annotations

from attrs import define
from twisted.internet.interfaces import IReactorTime

from probo_bitbucket.errors import Spared


@define
class Breaker:
    """Opens after *threshold* failures in a row; lets one trial through every *pause* seconds while open."""

    clock: IReactorTime
    upstream: str
    threshold: int = 8
    pause: float = 10.0
    failures: int = 0
    next_trial: float = 0.0

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

    def failed(self) -> None:
        self.failures += 1
        if self.open:
            self.next_trial = self.clock.seconds() + self.pause
