"""The daemon as twistd runs it, on schedules of seconds in place of minutes, and with a bug in it if one is asked for.

`python -m tests.chaos.launcher BUG SKEW …`: a name of BUGS or `none`, the seconds by which its clock is fast, then what
twistd takes.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from functools import partial
from typing import Any

from twisted.internet.base import ReactorBase
from twisted.internet.defer import Deferred
from twisted.scripts.twistd import run

from probo_bitbucket import upstream
from probo_bitbucket.assembly import periodic
from probo_bitbucket.bitbucket import budget
from probo_bitbucket.breaker import Breaker
from probo_bitbucket.flow.builds import watch
from probo_bitbucket.flow.credentials.chain import TokenChain
from probo_bitbucket.flow.deliveries.intake import Intake
from probo_bitbucket.flow.work import leases, schedule
from probo_bitbucket.model import BuildState
from probo_bitbucket.store import builds, credentials, nodes, sql

LEASE = 3.0  # seconds
REQUEST_TIMEOUT = 3.0  # seconds
BREAKER_PAUSE = 2.0  # seconds
MINUTE = 0.5  # seconds; of these an hour has 60, in which there are as many requests as the settings allow

SHORTER: tuple[tuple[Any, str, float], ...] = (
    (sql, "LEASE", LEASE),
    (nodes, "LEASE", LEASE),
    (builds, "IN_FLIGHT", LEASE / 3 + REQUEST_TIMEOUT + 2.0 - LEASE),
    (periodic, "LEASE", LEASE),
    (credentials, "LOCK", 3 * REQUEST_TIMEOUT),
    (upstream, "REQUEST_TIMEOUT", REQUEST_TIMEOUT),
    (leases, "STANDSTILL", LEASE / 3),
    (watch, "QUIET", 2.0),
    (schedule, "FIRST", 0.2),
    (schedule, "LONGEST", 2.0),
    (budget, "PAUSE", 2.0),
    (budget, "MINUTE", MINUTE),
    (periodic, "SHARING_INTERVAL", MINUTE / 2),
)


def shorten() -> None:
    for module, name, seconds in SHORTER:
        assert hasattr(module, name), f"{module.__name__} has no {name} any more"
        setattr(module, name, seconds)
    upstream.Breaker = partial(Breaker, pause=BREAKER_PAUSE)  # type: ignore[assignment, attr-defined]


def skew(seconds: float) -> None:
    """Let the clock go wrong."""
    ReactorBase.seconds = staticmethod(lambda: time.time() + seconds)


def answer_before_commit() -> None:
    """A delivery is answered at once, and written down half a second later."""
    from twisted.internet import reactor  # not before twistd has chosen one

    accept = Intake.accept

    async def answered(self: Intake, delivery: Any, *, signed: bool) -> int:
        reactor.callLater(0.5, lambda: Deferred.fromCoroutine(accept(self, delivery, signed=signed)))
        return 0

    Intake.accept = answered  # type: ignore[method-assign]


def start_unasked() -> None:
    """Nobody notes that a build was sent, and so nobody asks the Container Manager before the second try."""
    advance = builds.advance

    def forgetful(tx: Any, stored: Any, state: BuildState, now: float, *, configured: bool = False) -> None:
        advance(tx, stored, BuildState.READY, now, configured=configured)

    builds.advance = forgetful


async def die(*_: Any) -> Any:
    """As by SIGKILL from outside: nothing is ended, and nothing is flushed."""
    os.kill(os.getpid(), signal.SIGKILL)


def die_before_storing() -> None:
    """The process is killed when it has read new tokens, and stored nothing of them."""
    TokenChain._keep = die  # type: ignore[method-assign, assignment]


def die_before_using() -> None:
    """The process is killed when new tokens are stored, and nobody has used them."""
    keep = TokenChain._keep

    async def kept(self: TokenChain, *arguments: Any) -> Any:
        await keep(self, *arguments)
        await die()

    TokenChain._keep = kept  # type: ignore[method-assign, assignment]


BUGS = {
    "none": lambda: None,
    "answer-before-commit": answer_before_commit,
    "start-unasked": start_unasked,
    "die-before-storing": die_before_storing,
    "die-before-using": die_before_using,
}


if __name__ == "__main__":
    shorten()
    bug, seconds = sys.argv[1:3]
    del sys.argv[1:3]
    skew(float(seconds))
    BUGS[bug]()
    run()
