"""What can go wrong between us and an upstream, by what can be done about it."""

from __future__ import annotations


class UpstreamError(Exception):
    """A call to Bitbucket, the Container Manager or a coordinator that did not do what it should."""


class Temporary(UpstreamError):
    """May heal by itself: try again, not before *retry_after* seconds where the upstream named a time."""

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class Unanswered(Temporary):
    """There was no answer, or not all of it, in the time that there is for one."""


class RateLimited(Temporary):
    """The budget of requests is spent (429)."""


class Spared(Temporary):
    """Nothing was sent: the upstream is left in peace for a while, our own budget has no request, or it is too late."""


class BudgetSpent(RateLimited, Spared):
    """Our own count of requests says that the upstream would not take another one now."""


class Unauthorized(Temporary):
    """The credentials were not accepted (401)."""


class DeadCredentials(Temporary):
    """Bitbucket will not give a token for these credentials again: heals only when the operator gives new ones."""


class Permanent(UpstreamError):
    """Would be answered the same way every time: a 4xx other than 401, 408 and 429, a 508, or a redirect."""

    def __init__(self, reason: str, status: int = 0) -> None:
        super().__init__(reason)
        self.status = status  # HTTP status, 0 where there was none


class NotFound(Permanent):
    """The upstream does not have it (404)."""
