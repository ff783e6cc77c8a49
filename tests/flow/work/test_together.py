"""Works that are waited for, and given up, together."""

from __future__ import annotations

import gc

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import LogEvent

from probo_bitbucket.flow.work.together import together
from tests.immediate import result_of, start


def test_who_gives_up_gives_up_all_and_nothing_is_logged(logged: list[LogEvent]) -> None:
    works: list[Deferred[int]] = [Deferred() for _ in range(3)]
    waiting = start(together(works))
    waiting.cancel()
    with pytest.raises(CancelledError):
        result_of(waiting)
    assert all(work.called for work in works)
    del works, waiting
    gc.collect()
    assert logged == []


def test_an_error_is_raised_as_it_is() -> None:
    works: list[Deferred[int]] = [Deferred(), Deferred()]
    waiting = start(together(works))
    works[1].errback(KeyError("c"))
    with pytest.raises(KeyError):
        result_of(waiting)
