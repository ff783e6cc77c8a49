"""Wanting: repositories whose work waits for credentials that nobody gave."""

from __future__ import annotations

from attrs import define, field
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

WAITS = 120.0  # seconds; work that waits for credentials asks for them twice a minute


@define(eq=False)
class Wanting:
    """What waits is known by its asking, so that what is given up or withdrawn is forgotten by itself."""

    clock: IReactorTime
    _asked: dict[str, float] = field(factory=dict)

    log = Logger()

    def miss(self, full_name: str, reason: str) -> None:
        """There are no credentials for a repository. That is told once, until there are some."""
        if full_name not in self._asked:
            self.log.error(
                "Credentials are wanted that nobody gave",
                event="credentials.missing",
                repository=full_name,
                reason=reason,
            )
        self._asked[full_name] = self.clock.seconds()

    def found(self, full_name: str) -> None:
        """There are credentials now."""
        self._asked.pop(full_name, None)

    def names(self) -> list[str]:
        """The repositories whose work waits now. Also for the store's thread, while the reactor's goes on."""
        since = self.clock.seconds() - WAITS
        return sorted(name for name, asked_at in self._asked.copy().items() if asked_at >= since)
