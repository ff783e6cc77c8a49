"""What the tests of the flows share: a clock, a store that answers at once, and what was logged."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher

from tests.immediate import ImmediateStore


@pytest.fixture
def clock() -> Clock:
    clock = Clock()
    clock.advance(1_000_000)  # so that a time of 0 is long ago, as in life
    return clock


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ImmediateStore]:
    store = ImmediateStore(tmp_path / "store.sqlite")
    yield store
    store.close()


@pytest.fixture
def logged() -> Iterator[list[LogEvent]]:
    """The events that were logged so far."""
    events: list[LogEvent] = []
    observer = cast(ILogObserver, events.append)
    globalLogPublisher.addObserver(observer)
    yield events
    globalLogPublisher.removeObserver(observer)
