"""Precedence: deliveries are accepted first. Who sent one waits for its answer; what it leads to is in the store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from attrs import define
from twisted.internet.interfaces import IReactorTime

MANY = 8  # deliveries that are accepted at once, from which on they come thick and fast
LASTING = 0.2  # seconds for which that is believed: their answers come in one burst after each commit


@define(eq=False)
class Precedence:
    """Knows whether there are so many deliveries to accept that other work has to hold back."""

    clock: IReactorTime
    _in_hand: int = 0
    _until: float = 0.0

    @contextmanager
    def accepting(self) -> Iterator[None]:
        """While a delivery is being accepted."""
        self._in_hand += 1
        if self._in_hand >= MANY:
            self._until = self.clock.seconds() + LASTING
        try:
            yield
        finally:
            self._in_hand -= 1

    @property
    def claimed(self) -> bool:
        return self.clock.seconds() < self._until
