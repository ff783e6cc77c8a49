"""When to try again: exponential backoff with jitter, for hours, from what the store knows of earlier tries."""

from __future__ import annotations

from collections.abc import Callable

from attrs import frozen

from probo_bitbucket.errors import DeadCredentials, Spared, Temporary
from probo_bitbucket.store import Effort

FIRST = 2.0  # seconds before the second try, on average
LONGEST = 600.0  # seconds between two tries
CREDENTIALS_PAUSE = 30.0  # seconds before looking whether there are new credentials


def effort_after(effort: Effort, error: BaseException, now: float) -> Effort:
    """What was tried on a job, after a try that ended with *error*.

    Waiting is no failing, whether for credentials or a token, for a request of our own budget, or for an upstream that
    is spared: that time must not count when the first try after it meets a passing trouble.
    """
    if isinstance(error, DeadCredentials):
        return Effort(0, None)
    if isinstance(error, Spared):
        return Effort(effort.attempts + 1, effort.failing_since)
    return effort.failed(now)


def told_already(error: BaseException) -> bool:
    """Whether the log has said what to do about *error*: once, and not for every job that waits."""
    return isinstance(error, DeadCredentials)


@frozen
class Schedule:
    """Tries again for *retry_for* seconds after the first failure. *random* gives numbers from 0 up to 1."""

    retry_for: float
    random: Callable[[], float]

    def due_at(self, effort: Effort, error: BaseException, now: float) -> float | None:
        """The time of the next try, None when it is time to give up.

        Work that waits for credentials is never given up: it is an operator who is waited for. Nor is what was not
        sent: it is given up after a try that failed.
        """
        if isinstance(error, DeadCredentials):
            return now + CREDENTIALS_PAUSE
        since = effort.failing_since
        if since is not None and now - since >= self.retry_for and not isinstance(error, Spared):
            return None
        backoff = min(LONGEST, FIRST * 2.0 ** min(effort.attempts, 20)) * (0.5 + self.random())
        asked = error.retry_after if isinstance(error, Temporary) else None
        return now + max(backoff, asked or 0.0)
