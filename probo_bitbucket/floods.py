"""Floods: what strangers can have logged as often as they like is told in one line now and then."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import define, field
from twisted.logger import LogEvent

INTERVAL = 10.0  # seconds
FROM_OUTSIDE = frozenset({"http.forbidden", "http.crowded", "http.too_slow", "delivery.refused"})


@define(eq=False)
class _Told:
    """An event that was told, and how many of its kind were not since then."""

    event: LogEvent
    more: int = 0

    def sum(self, now: float) -> LogEvent:
        kept: LogEvent = {
            name: self.event[name] for name in ("log_level", "log_namespace", "event") if name in self.event
        }
        return {**kept, "log_time": now, "log_format": f"{self.more} more in {INTERVAL:.0f} s", "count": self.more}


@define(eq=False)
class Floods:
    """Of each kind of FROM_OUTSIDE the first event in an interval, and after it how many there were more.

    There is no timer: the sum is told with the next event of any kind.
    """

    _told: dict[str, _Told] = field(factory=dict)

    def thinned(self, event: LogEvent) -> Iterator[LogEvent]:
        """What is to be told now that *event* has happened."""
        now, kind = event["log_time"], event.get("event", "")
        for name, told in list(self._told.items()):
            if not 0 <= now - told.event["log_time"] < INTERVAL:  # a clock can be set back
                del self._told[name]
                if told.more:
                    yield told.sum(now)
        if kind in self._told:
            self._told[kind].more += 1
            return
        if kind in FROM_OUTSIDE:
            self._told[kind] = _Told(event)
        yield event
